"""Keypoints of CSV files: one row per object, the picture's name in the first column.

Columns, after the first: NAME_x and NAME_y, with NAME_v where visibility is given (0 not labelled,
1 hidden, 2 visible, as COCO's), or plain numbers from 0, which are x, y, x, y, ... (P1 facial
keypoints). A point whose x or y is empty, no number, or negative on both axes is not visible.
Values are taken as continuous pixels (x to the right, y down), as written: such files do not say
whether 0 is the corner or the center of the first pixel. DeepLabCut's CollectedData_*.csv has the
rows scorer, (individuals,) bodyparts, coords as its header, and the picture's path in one column or
in three; each individual is an object.

Each row is one object, of class "object", or "face" where it has 68 points, or the first of
data.labels; its box is the hull of its visible points, not grown. Splits are words in the CSV's
name (training_frames_keypoints.csv), folders, or a hash of the picture's name.
"""

from __future__ import annotations

import collections
import csv
import posixpath
import re

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.keypoints import numbered, pairs
from convoy.data.objects import Objects
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, layout
from convoy.data.sources.number import finite
from convoy.data.sources.split import hashed_split

_BOXES = re.compile(r"(?i)(b?box|min|max|top|left|bottom|right|x\d*|y\d*|center|corner|tl|br)?")
_HEAD = 1 << 16  # bytes that detect reads


def detect(tree: files.Tree) -> bool:
    """A CSV whose header has two points and more, and whose first column names pictures."""
    pictures = {posixpath.basename(name) for name in layout.pictures(tree)}
    return bool(pictures) and any(_is_ours(tree, name, pictures) for name in _tables(tree))


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of all such CSV files, which must have the same points.

    Raises SourceError.
    """
    tree = files.tree(path)
    by_base = collections.defaultdict(list)
    for name in layout.pictures(tree):
        by_base[posixpath.basename(name)].append(name)
    names: list[str] | None = None
    rows: dict[tuple[str, str], list] = collections.defaultdict(list)
    rejected: list[tuple[str, str, str]] = []
    for table in [name for name in _tables(tree) if _is_ours(tree, name, by_base.keys())]:
        header, *lines = _rows(tree.read(table))
        points, columns = _points(header)
        if names is not None and points != names:
            raise SourceError(f"{tree.root}: {table} has other keypoints than the CSVs before it")
        names = points
        split = layout.split_in(posixpath.basename(table)) or layout.split_of(table)
        for number, line in enumerate(lines, start=2):
            if not any(map(str.strip, line)):
                continue
            picture = _picture(line[0].strip(), table, split, by_base)
            if picture is None:
                detail = f"{table}: row {number}: {line[0]!r}: no such picture, or several"
                rejected.append((f"{table}:{number}", "missing_image", detail))
                continue
            cells = tuple(tuple(_cell(line, i) for i in point) for point in columns)
            rows[split or layout.split_of(picture) or "", picture].append(cells)
    if names is None:
        raise SourceError(
            f"{tree.root}: expected a CSV with a picture's name in the first column, and columns "
            "NAME_x, NAME_y of two points and more, or 0, 1, 2, ...; found "
            f"{', '.join(_tables(tree)) or 'no CSV'}"
        )
    label = (*options.labels, "face" if len(names) == 68 else "object")[0]
    if names[0] == "0":
        names = numbered("face" if len(names) == 68 else "point", len(names))
    references = [
        Reference(
            picture,
            split or hashed_split(picture, options.holdout, options.seed),
            tree.where(picture),
            (label, tuple(objects)),
        )
        for (split, picture), objects in rows.items()
    ]
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(
        tuple(references),
        options.labels or (label,),
        tuple(sorted(rejected)),
        keypoints=tuple(names),
        keypoint_pairs=pairs(names),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects. Raises BadSample."""
    label, rows = reference.annotation
    objects = Objects(reference, images.load(reference.image, max_pixels), labels, warn)
    for row in rows:
        points = np.array([_point(*cells) for cells in row], np.float64)
        labelled = points[points[:, 2] > 0, :2]
        box = (*labelled.min(0), *labelled.max(0)) if len(labelled) else (None,) * 4
        objects.add(label, box, keypoints=points)
    return objects.sample()


def _tables(tree: files.Tree) -> list[str]:
    return [name for name in tree.names if name.lower().endswith(".csv")]


def _is_ours(tree: files.Tree, name: str, pictures) -> bool:
    rows = _rows(layout.beginning(tree, name, _HEAD))
    if len(rows) < 2 or len(_points(rows[0])[0]) < 2:
        return False
    firsts = [row[0].strip() for row in rows[1:6] if row and row[0].strip()]
    return any(posixpath.basename(first.replace("\\", "/")) in pictures for first in firsts)


def _rows(data: bytes) -> list[list[str]]:
    lines = data.decode("utf-8-sig", "replace").replace("\0", "").splitlines()
    mark = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    rows = [row for row in csv.reader(lines, delimiter=mark) if row]
    return _of_deeplabcut(rows) if rows and rows[0][0].strip().lower() == "scorer" else rows


def _of_deeplabcut(rows: list[list[str]]) -> list[list[str]]:
    """The same with one header, and a row for each individual."""
    heads = {}
    while rows and rows[0][0].strip().lower() in ("scorer", "individuals", "bodyparts", "coords"):
        heads[rows[0][0].strip().lower()] = [cell.strip() for cell in rows[0]]
        rows = rows[1:]
    coords, parts = heads.get("coords", []), heads.get("bodyparts", [])
    axes = [i for i in range(min(len(coords), len(parts))) if coords[i].lower() in ("x", "y")]
    if not axes:
        return rows
    owners = heads.get("individuals", [""] * len(coords))
    names = list(dict.fromkeys(f"{parts[i]}_{coords[i].lower()}" for i in axes))
    plain = [["picture", *names]]
    for row in rows:
        picture = "/".join(filter(None, (cell.strip() for cell in row[: axes[0]])))
        for owner in dict.fromkeys(owners[i] for i in axes if i < len(owners)):
            cells = {f"{parts[i]}_{coords[i].lower()}": row[i] for i in axes
                     if i < min(len(row), len(owners)) and owners[i] == owner}  # fmt: skip
            if any(cell.strip() for cell in cells.values()) or "individuals" not in heads:
                plain.append([picture, *(cells.get(name, "") for name in names)])
    return plain


def _points(header: list[str]) -> tuple[list[str], list[tuple[int, ...]]]:
    """Names of the points, and the columns of each one's x, y and, where there is one, v."""
    names = [cell.strip() for cell in header]
    if len(names) > 4 and len(names) % 2 and names[1:] == [str(i) for i in range(len(names) - 1)]:
        count = len(names) // 2
        return [str(i) for i in range(count)], [(1 + 2 * i, 2 + 2 * i) for i in range(count)]
    place = {name.lower(): i for i, name in enumerate(names) if i}
    stems, columns = [], []
    for name in names[1:]:
        stem, axis = name[:-2], name[-2:].lower()
        ends = [place.get(f"{stem}_{axis}".lower()) for axis in "xyv"]
        if axis == "_x" and ends[1] is not None and not _BOXES.fullmatch(stem):
            stems.append(stem)
            columns.append(tuple(end for end in ends if end is not None))
    return stems, columns


def _picture(stated: str, table: str, split: str | None, by_base) -> str | None:
    """The picture that a row names: by its path, else the only one of its name, or of its split."""
    path = posixpath.normpath(stated.replace("\\", "/"))
    same_base = by_base.get(posixpath.basename(path), [])
    ends = [name for name in same_base if f"/{name}".endswith(f"/{path.lstrip('/')}")]
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(table), path))
    if beside in same_base:
        return beside
    for group in (ends, same_base):
        if len(group) == 1:
            return group[0]
        same = [name for name in group if split and layout.split_of(name) == split]
        if len(same) == 1:
            return same[0]
    return None


def _cell(row: list[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""


def _point(x: str, y: str, v: str = "2") -> tuple[float, float, float]:
    """(y, x, visibility); zeros for a point that is not there."""
    numbers = [finite(cell) for cell in (x, y, v)]
    if None in numbers or (numbers[0] < 0 and numbers[1] < 0) or numbers[2] <= 0:
        return 0.0, 0.0, 0.0
    return numbers[1], numbers[0], 2.0 if numbers[2] >= 2 else 1.0
