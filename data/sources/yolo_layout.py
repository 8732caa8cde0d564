"""How a YOLO data set is laid out: its configuration, names of classes, splits and label files.

Configurations: `data.yaml` (names as a list or by number; train, val, test as folders or lists of
pictures, below `path`), darknet's `obj.data` (names = ..., train = ..., valid = ...). Their paths
are often of another machine: what counts is the longest end of a path that is there. Without one,
lists such as train.txt at the top, or folders called train, val, ... give the splits. Names are
also in classes.txt, obj.names or _darknet.labels.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

import yaml

from convoy.data.files import files
from convoy.data.sources import SourceError
from convoy.data.sources.split import SPLITS
from convoy.data.sources.voc_layout import decoded

_NAMES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
_SPECIAL = re.compile(
    r"(?i)(.*/)?(classes|predefined_classes|readme.*|notes|train|val|valid|test)\.txt"
)
_MASKS = frozenset(("mask", "masks", "groundtruth", "gt", "segmentations"))
_FOLDERS = ("images", "image", "jpegimages", "imgs", "img")  # beside "labels"
_MOST_CLASSES = 100_000


class Config(NamedTuple):
    """What the configuration says; names by number, () = not said."""

    names: tuple[str, ...] = ()
    splits: tuple[tuple[str, str], ...] = ()  # (split, folder or list of pictures in the tree)
    keypoints: tuple[int, int] = (0, 0)  # how many, and 2 or 3 values each
    flips: tuple[int, ...] = ()
    file: str = ""  # that names the classes
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()  # further lists: (file, names by number)
    unknown: tuple[str, ...] = ()  # paths that are not there
    count: str = ""  # of classes, as it is written beside the names


def config(tree: files.Tree) -> Config:
    """Of the first data.yaml, or obj.data, nearest to the top. Raises SourceError."""
    for name in sorted(tree.names, key=lambda n: (n.count("/"), n)):
        if name.lower().endswith((".yaml", ".yml")):
            settings = _yaml(tree, name)
            if isinstance(settings, dict) and "names" in settings:
                return _with_other_yamls(tree, _from_yaml(tree, name, settings))
            tree.pass_over(name, "it has no names of classes")
        elif name.lower().endswith(".data"):
            pairs = (line.partition("=") for line in lines(tree, name))
            settings = {key.strip(): value.strip() for key, _, value in pairs if value}
            if {"train", "valid", "names"} & settings.keys():
                names = resolve(tree, posixpath.dirname(name), settings.get("names", ""))
                classes = tuple(lines(tree, names)) if names in tree else ()
                found = Config(classes, lists=class_lists(tree))
                found = found if classes else _first_list(found)
                return _with_splits(tree, name, "", settings, found)
    return _first_list(Config(lists=class_lists(tree)))


def _with_other_yamls(tree: files.Tree, found: Config) -> Config:
    """Every data.yaml may name classes of its own, such as one in each folder of a split."""
    lists = [(found.file, found.names)]
    for name in tree.names:
        if name.lower().endswith((".yaml", ".yml")) and name != found.file:
            settings = _yaml(tree, name)
            if isinstance(settings, dict) and "names" in settings:
                lists.append((name, _names_of(tree, name, settings["names"])))
            else:
                tree.pass_over(name, "it has no names of classes")
    return found._replace(lists=(*lists, *found.lists))


def class_lists(tree: files.Tree) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(file, names) of every list with one name per line, those nearest to the top first."""
    lists = [n for n in tree.names if posixpath.basename(n) in _NAMES or n.endswith(".names")]
    found = ((n, tuple(lines(tree, n))) for n in sorted(lists, key=lambda n: (n.count("/"), n)))
    lists = [(name, names) for name, names in found if names]
    return tuple(row for row in lists if not _numbers_alone(tree, row[0]))  # of classes.jpg


def _first_list(found: Config) -> Config:
    return found._replace(file=found.lists[0][0], names=found.lists[0][1]) if found.lists else found


def list_of(label: str, lists) -> tuple[str, ...] | None:
    """The names of the list in the innermost folder that holds a label file."""
    near = [
        (posixpath.dirname(file), names)
        for file, names in lists
        if not posixpath.dirname(file) or label.startswith(f"{posixpath.dirname(file)}/")
    ]
    return max(near, key=lambda item: len(item[0]))[1] if near else None


def lines(tree: files.Tree, name: str) -> list[str]:
    """Without blank ones. Raises SourceError."""
    try:
        text = decoded(tree.read(name), errors="surrogateescape")
    except UnicodeDecodeError as error:  # UTF-16 alone can be that damaged
        raise SourceError(f"{tree.root}: {name} is damaged text: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def resolve(tree: files.Tree, folder: str, path: str) -> str | None:
    """The file or folder of the tree that a path means; folder: where it is relative to."""
    path = path.strip().strip("\"'").replace("\\", "/")
    if not path:
        return None
    parts = [part for part in path.split("/") if part not in ("", ".")]
    near = posixpath.normpath(posixpath.join(folder, *parts)) if parts else folder
    parts = [part for part in parts if part != ".."]
    ends = ["/".join(parts[i:]) for i in range(len(parts))]
    candidates = [near, *(posixpath.join(folder, end) for end in ends), *ends]
    return next((c for c in candidates if c in tree or (c != "." and tree.under(c) and c)), None)


def lists_at_top(tree: files.Tree) -> tuple[tuple[str, str], ...]:
    """(split, train.txt) and so on, where the first line is the path of a picture."""
    lists = []
    for name in tree.names:
        stem, ending = posixpath.splitext(posixpath.basename(name))
        split = SPLITS.get(stem.lower())
        if split and ending == ".txt" and name.count("/") < 2:
            rows = lines(tree, name)
            if rows and files.names_picture(rows[0].split("\t")[0]):
                lists.append((split, name))
    return tuple(lists)


def label_files(tree: files.Tree, pictures: list[str]) -> tuple[dict[str, str], list[str]]:
    """Picture -> its .txt, of those that have one; and the label files without a picture.

    `images` in the path becomes `labels`; else the .txt lies beside; else its name is unique. What
    is called as lists are (train.txt, notes.txt) is a label file if a picture has its name and it
    reads as one.
    """
    texts = {n: n for n in tree.names if n.lower().endswith(".txt")}
    texts |= {f"{n[:-4]}.txt": n for n in texts if not n.endswith(".txt")}  # A.TXT
    if not texts:
        return {}, []
    label_of: dict[str, str] = {}
    for picture in pictures:
        stem = posixpath.splitext(picture)[0]
        for candidate in _candidates(stem):
            label = texts.get(candidate)
            if label and (not _SPECIAL.fullmatch(label) or _numbers_alone(tree, label)):
                label_of[picture] = label
                break
    label_of |= _in_other_case(pictures, texts.values(), label_of)
    left = {n for n in texts.values() if not _SPECIAL.fullmatch(n)} - set(label_of.values())
    alone = sorted(n for n in left if "labels" in n.lower().split("/"))
    stems: dict[str, list[str]] = {}
    for picture in pictures:
        stems.setdefault(posixpath.splitext(posixpath.basename(picture))[0], []).append(picture)
    unmatched = []
    for label in alone:
        matching = stems.get(posixpath.splitext(posixpath.basename(label))[0], [])
        if len(matching) == 1 and matching[0] not in label_of:
            label_of[matching[0]] = label
        else:
            unmatched.append(label)
    return label_of, unmatched


def _in_other_case(
    pictures: list[str], texts: Iterable[str], label_of: dict[str, str]
) -> dict[str, str]:
    """Of pictures without a label file, those left over that are called so in another case.

    Tools and systems confuse upper and lower case; what could be of two is left out.
    """
    alike: dict[str, list[str]] = {}
    for name in set(texts) - set(label_of.values()):
        if not _SPECIAL.fullmatch(name):
            alike.setdefault(name.casefold(), []).append(name)
    found: dict[str, str] = {}
    for picture in pictures if alike else ():
        if picture not in label_of:
            fits = (
                alike.get(c.casefold(), ()) for c in _candidates(posixpath.splitext(picture)[0])
            )
            label = next((own[0] for own in fits if len(own) == 1), None)
            found |= {picture: label} if label else {}
    return found


def other_case(label_of: dict[str, str]) -> list[str]:
    """Pictures whose label file is called as they are in other upper and lower case alone."""
    return [
        picture
        for picture, label in sorted(label_of.items())
        if (own := _stem(picture)) != (other := _stem(label)) and own.lower() == other.lower()
    ]


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def masks(label_of: dict[str, str], pictures: list[str]) -> list[str]:
    """Pictures in folders that are called as masks, none of them with a label file."""
    folders = {posixpath.dirname(picture) for picture in label_of}
    return [
        name
        for name in pictures
        if (folder := posixpath.dirname(name)) not in folders
        and _MASKS.intersection(re.split(r"[\W_]+", folder.lower()))
    ]


def shared(label_of: dict[str, str]) -> dict[str, list[str]]:
    """Label file -> its pictures, where they are several: a.jpg and a.png."""
    pictures: dict[str, list[str]] = {}
    for picture, label in label_of.items():
        pictures.setdefault(label, []).append(picture)
    return {label: sorted(own) for label, own in pictures.items() if len(own) > 1}


def _numbers_alone(tree: files.Tree, name: str) -> bool:
    """Whether each line of a text is a class and four numbers or more, as in a label file."""
    try:
        text = tree.read(name).decode("utf-8-sig")
        return all(
            len(cells) > 4 and all(math.isfinite(float(cell)) for cell in cells)
            for cells in map(str.split, text.splitlines())
            if cells
        )
    except (OSError, ValueError):
        return False


def _candidates(stem: str):
    parts = stem.split("/")
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() in _FOLDERS:
            for folder in ("labels", "Labels"):
                yield "/".join([*parts[:index], folder, *parts[index + 1 :]]) + ".txt"
    yield f"{stem}.txt"
    yield "/".join([*parts[:-1], "labels", parts[-1]]) + ".txt"


def _yaml(tree: files.Tree, name: str):
    try:  # all scalars stay text: a class may be called "no" or "007"
        return yaml.load(decoded(tree.read(name)), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        if posixpath.basename(name).lower() in ("data.yaml", "data.yml"):
            problem = " ".join(str(error).split())
            raise SourceError(f"{tree.root}: {name} is not well-formed YAML: {problem}") from None
        return None


def _from_yaml(tree: files.Tree, name: str, settings: dict) -> Config:
    names = _names_of(tree, name, settings["names"])
    try:
        shape = tuple(int(value) for value in settings.get("kpt_shape", ()))
        flips = tuple(int(value) for value in settings.get("flip_idx", ()))
    except (ValueError, TypeError):
        raise SourceError(
            f"{tree.root}: {name}: expected kpt_shape and flip_idx as lists of numbers; got "
            f"{settings.get('kpt_shape')!r:.80} and {settings.get('flip_idx')!r:.80}"
        ) from None
    points = shape if len(shape) == 2 and shape[0] > 0 and shape[1] in (2, 3) else (0, 0)
    base = Config(names, keypoints=points, flips=flips, lists=class_lists(tree))
    base = base._replace(count=str(settings.get("nc", "")))
    path = settings.get("path")
    return _with_splits(tree, name, path if isinstance(path, str) else "", settings, base)


def _names_of(tree: files.Tree, name: str, names) -> tuple[str, ...]:
    """Raises SourceError."""
    try:
        if isinstance(names, dict):
            numbers = {int(number): text for number, text in names.items()}
            if min(numbers) < 0 or max(numbers) >= _MOST_CLASSES:
                raise ValueError
            names = [numbers.get(number, str(number)) for number in range(max(numbers) + 1)]
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError
    except (ValueError, TypeError):
        raise SourceError(
            f"{tree.root}: {name}: expected names as a list or by number, from 0; got "
            f"{str(names)[:80]}"
        ) from None
    return tuple(text.strip() for text in names)


def _with_splits(tree, name: str, path: str, settings: dict, base: Config) -> Config:
    folder = posixpath.dirname(name)
    top = resolve(tree, folder, path) or folder
    splits = []
    unknown = []
    for key, split in SPLITS.items():
        value = settings.get(key, [])
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str) or text.strip().lower() in ("", "null", "~"):
                continue
            target = resolve(tree, top, text) or resolve(tree, folder, text)
            if target:
                splits.append((split, target))
            else:
                unknown.append(f"{key}: {text}")
    return base._replace(splits=tuple(splits), file=name, unknown=tuple(unknown))
