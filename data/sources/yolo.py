"""YOLO: one .txt per picture, one object per line: class cx cy w h, as parts of the picture's size.

Folders `images/train` with `labels/train`, Roboflow's `train/images` with `train/labels`, or labels
beside pictures; configuration, names and splits: data/sources/yolo_layout.py. A picture that
several lists name is listed once for each. Without a .txt, or with an empty one, it has no objects.

After the class come 4 numbers, a box; 5, a box and its score, which is left out and told; or x y of
3 points and more, an outline: its mask and the box around it. With kpt_shape in data.yaml: a box
and its keypoints. Coordinates are continuous, 0 and 1 are the borders; what lies beyond by no more
than rounding (0.00001) is moved to them. They are of the picture as EXIF turns it: data/frame.py.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Sequence

import numpy as np

from convoy.data import masks
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, ignore, yolo_layout
from convoy.data.sources.layout import pictures, split_of
from convoy.data.sources.number import commas
from convoy.data.sources.numbered import label_by_number
from convoy.data.sources.split import hashed_split

_PROBE = 20  # label files looked into by detect
_ROUNDING = 1e-5


def detect(tree: files.Tree) -> bool:
    """Most label files of pictures read as such; or a data.yaml with names and splits."""
    names = pictures(tree)
    if not names:
        return False
    labels, _ = yolo_layout.label_files(tree, names)
    some = sorted(set(labels.values()))
    try:
        config = yolo_layout.config(tree) if some else yolo_layout.Config()
    except SourceError:
        config = yolo_layout.Config()
    good = bad = 0
    for name in some[:: max(1, len(some) // _PROBE)]:
        if files.size(tree.where(name)):
            try:
                rows = _rows(tree.where(name), config.keypoints)
                inside = all(-1 <= value <= 2 for _, values in rows for value in values[:4])
                good, bad = good + (inside and bool(rows)), bad + (not inside)
            except BadSample:  # one bad line does not make it another format
                bad += 1
    return good > bad or (not bad and bool(labels) and bool(config.splits))


def outnumbers(tree: files.Tree, others: int) -> bool:
    """Whether the set is one of this format, with label files of more than twice as many pictures
    as `others` annotate otherwise.
    """
    labels, _ = yolo_layout.label_files(tree, pictures(tree))
    return len(labels) > 2 * others and detect(tree)


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture of the splits. Raises SourceError."""
    tree = files.tree(path)
    names = pictures(tree)
    if not names:
        raise SourceError(
            f"{tree.root}: expected pictures such as images/train/a.jpg with labels/train/a.txt, "
            "found no picture"
        )
    config = yolo_layout.config(tree)
    labels, alone = yolo_layout.label_files(tree, names)
    masks_ = set(yolo_layout.masks(labels, names)) if labels else set()
    names = [name for name in names if name not in masks_]
    numbers = config.names or _numbers(tree, labels)
    if not numbers and not options.labels:
        raise SourceError(
            f"{tree.root}: no names of classes (data.yaml, classes.txt, obj.names), and no object "
            f"in {len(labels)} label files; expected labels such as labels/train/a.txt"
        )
    lists, ambiguous = _lists(tree, config, labels)
    if not config.names and not config.lists:
        why = "no list names them: called by their numbers; give classes.txt"
        ambiguous = (*ambiguous, Told("classes", len(numbers), why))
    numbers = tuple(dict.fromkeys([*numbers, *(name for _, names in lists for name in names)]))
    classes, by_number = label_by_number(numbers, options.labels, tree.root)
    label_of = dict(zip(numbers, by_number, strict=True))
    index = _index(numbers, label_of, classes)
    placed, missing = _splits(tree, names, config, options)
    references, rejected = (
        [],
        [(n, "missing_image", f"{n}: no picture of this name") for n in alone],
    )
    for label, own in yolo_layout.shared(labels).items():
        detail = f"{label} has the name of {' and of '.join(own)}; keep one of them in the folder"
        rejected += [(name, "ambiguous_picture", detail) for name in own]
    unclear = {name for name, reason, _ in rejected if reason == "ambiguous_picture"}
    for split, name in placed:
        if name in unclear:
            continue
        label = tree.where(labels[name]) if name in labels else None
        own = yolo_layout.list_of(labels[name], lists) if name in labels and lists else None
        numbered = index if own is None else _index(own, label_of, classes)
        annotation = (label, numbered, config.keypoints)
        references.append(Reference(name, split, tree.where(name), annotation))
    for split, name in missing:  # `read` rejects it
        references.append(Reference(name, split, tree.where(name), (None, index, config.keypoints)))
    used = {name for _, name in placed}
    return Listing(
        tuple(sorted(references, key=lambda r: (r.split, r.source_id))),
        classes,
        tuple(sorted(rejected)),
        keypoints=tuple(str(i) for i in range(config.keypoints[0])),
        keypoint_pairs=tuple((i, j) for i, j in enumerate(config.flips) if i < j),
        notes=(
            *_notes(config, len(used - labels.keys()), len(set(names) - used)),
            *_notes_of_names(labels, sorted(masks_)),
        ),
        ambiguous=ambiguous,
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects. Raises BadSample."""
    where, index, keypoints = reference.annotation
    rows = [] if where is None else _rows(where, keypoints)
    file_name = "" if where is None else files.name_of(where)
    picture = images.load(reference.image, max_pixels)
    objects = Objects(reference, picture, labels, warn, where=file_name)
    size = np.array([objects.width, objects.height])
    if scored := sum(len(values) == 5 for _, values in rows if not keypoints[0]):
        told = f"{file_name}: {scored} objects have a sixth number, a score or a track: not used"
        warn("sixth_number", told)
    for number, values in rows:
        place = index[number] if number < len(index) else -1 if index else number
        name = labels[place] if 0 <= place < len(labels) else f"number {number}"
        values = np.array(values)
        if len(values) in (4, 5) or keypoints[0]:
            (cx, cy, width, height), rest = values[:4], values[4:]
            corners = np.array(
                [[cx - width / 2, cy - height / 2], [cx + width / 2, cy + height / 2]]
            )
            points = _points(rest, keypoints, size) if keypoints[0] else None
            objects.add(name, _box(corners, size), keypoints=points)
        else:
            outline = values.reshape(-1, 2)
            polygon = np.clip(outline, 0, 1) * size
            mask = masks.of_polygons([polygon.ravel().tolist()], objects.height, objects.width)
            objects.add(name, _box(outline, size), mask=mask)
    return objects.sample()


def _index(names: Sequence[str], label_of: dict, classes: Sequence[str]) -> tuple[int, ...]:
    """Class by number, -1 = none; () where these are the same, in few bytes."""
    wanted = (label_of[name] for name in names)
    index = tuple(-1 if name is None else classes.index(name) for name in wanted)
    return () if index == tuple(range(len(classes))) else index


def _lists(tree, config, labels: dict[str, str]):
    """(lists to follow where each holds, what is told): of several that say different things.

    A configuration's names count for all. Without one, each label file is read by the list in the
    innermost folder around it, as labelling tools write one into each. Raises SourceError where a
    label file has none.
    """
    others = [row for row in config.lists if row[1] != config.names]
    if not others:
        return (), ()
    files_ = tuple(file for file, _ in others)
    top = posixpath.dirname(config.file)
    everywhere = not top or all(label.startswith(f"{top}/") for label in labels.values())
    if everywhere and config.file.lower().endswith((".yaml", ".yml", ".data")):
        why = f"not followed: other names than in {config.file}, which counts"
        return (), (Told("lists of classes", len(others), why, files_[:3]),)
    lost = [n for n in labels.values() if yolo_layout.list_of(n, config.lists) is None]
    if lost:
        raise SourceError(
            f"{tree.root}: {', '.join(files_[:5])} name different classes, and none of them lies "
            f"above {lost[0]}; keep one list, or write a data.yaml"
        )
    why = "lists of classes differ: each label file is read by the list of the folder it is in"
    every = tuple(file for file, _ in config.lists)
    return config.lists, (Told("lists of classes", len(every), why, every[:3]),)


def _box(points: np.ndarray, size: np.ndarray) -> tuple[float, ...]:
    """Around [N, (x, y)], as parts of the size -> (ymin, xmin, ymax, xmax) in pixels."""
    near = (np.abs(points - np.round(points)) <= _ROUNDING) & ((points < 0) | (points > 1))
    points = np.where(near, np.round(points), points) * size
    (xmin, ymin), (xmax, ymax) = points.min(0), points.max(0)
    return float(ymin), float(xmin), float(ymax), float(xmax)


def _points(values: np.ndarray, shape: tuple[int, int], size: np.ndarray) -> np.ndarray:
    """[K, (y, x, visibility)]; where no visibility is given, (0, 0) is not labelled."""
    points = values.reshape(shape)
    place = points[:, 1::-1] * size[::-1]
    visibility = points[:, 2] if shape[1] == 3 else 2 * (points[:, :2] != 0).any(axis=1)
    return np.concatenate([place, np.clip(np.round(visibility), 0, 2)[:, None]], axis=1)


def _rows(where: files.Where, keypoints=(0, 0)) -> list[tuple[int, list[float]]]:
    """(class, numbers) of each line. Raises BadSample with the number of the line."""
    path = files.name_of(where)
    try:
        text = files.read(where).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None
    rows = []
    for line, cells in enumerate(map(str.split, text.splitlines()), start=1):
        if not cells:
            continue
        try:
            number, *values = map(float, cells)
        except ValueError:
            number, values = -1.0, []
        count = len(values)
        if keypoints[0]:
            right = count == 4 + keypoints[0] * keypoints[1]
            alternative = f"and {keypoints[0]} keypoints of {keypoints[1]} numbers"
        else:
            right = count in (4, 5) or (count >= 6 and count % 2 == 0)
            alternative = "or the points of an outline"
        if not right or number < 0 or number % 1 or not all(map(math.isfinite, values)):
            raise BadSample(
                "corrupt_annotation",
                f"{path} line {line}: expected a class, from 0, and cx cy w h {alternative}; got "
                f"{' '.join(cells)[:80]!r}{commas(cells)}",
            )
        rows.append((int(number), values))
    return rows


def _numbers(tree: files.Tree, labels: dict[str, str]) -> tuple[str, ...]:
    """The classes of all label files, where nothing names them."""
    largest = -1
    for name in labels.values():
        try:
            largest = max([largest, *(number for number, _ in _rows(tree.where(name)))])
        except BadSample:  # counted when it is read
            continue
    if largest >= 100_000:
        raise SourceError(f"{tree.root}: label files count {largest:,} classes; expected names")
    return tuple(str(number) for number in range(largest + 1))


def _splits(tree, names: Sequence[str], config, options: Options):
    """(split, name) of pictures, and of those that lists name and that are not there."""
    sources = config.splits or yolo_layout.lists_at_top(tree)
    name_set, placed, missing = set(names), set(), set()
    for split, path in sources:
        if path not in tree:
            placed |= {(split, name) for name in tree.under(path) if name in name_set}
            continue
        for line in yolo_layout.lines(tree, path):
            name = yolo_layout.resolve(tree, posixpath.dirname(path), line)
            row = (split, name or line.replace("\\", "/").lstrip("/"))
            (placed if name in name_set else missing).add(row)
    if not placed:
        for name in names:
            split = split_of(name) or hashed_split(name, options.holdout, options.seed)
            placed.add((split, name))
    return sorted(placed), sorted(missing)


def _notes(config, unlabelled: int, unused: int) -> tuple[str, ...]:
    notes = [f"{config.file} names {path}, which is not there" for path in config.unknown]
    if config.count and config.names and config.count != str(len(config.names)):
        names = f"names {len(config.names)} classes"
        notes.append(f"{config.file} says nc: {config.count}, but {names}")
    if unlabelled:
        notes.append(f"{unlabelled} pictures have no label file: taken to have no objects")
    if unused:
        notes.append(f"{unused} pictures are in no split that is named, and are not used")
    return tuple(notes)


def _notes_of_names(labels: dict[str, str], masks_: Sequence[str]) -> list[str]:
    notes = []
    if cased := yolo_layout.other_case(labels):
        notes.append(
            f"{len(cased)} label files have their picture's name in other upper and lower case, as "
            f"{labels[cased[0]]} of {cased[0]}: taken as its"
        )
    if masks_:
        notes.append(
            f"{len(masks_)} pictures in a folder of masks, such as {masks_[0]}, have no label "
            "file: not used, and not taken for pictures without objects"
        )
    return notes
