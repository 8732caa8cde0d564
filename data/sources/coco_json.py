"""One JSON file in COCO's form: its pictures, its rows grouped by picture, its categories.

The rows stay the bytes that they are in the file; whoever reads a picture parses its own.
Form: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import posixpath
import re

from convoy.data.files import files, json_stream
from convoy.data.files.files import SourceError
from convoy.data.sources import stated
from convoy.data.sources.coco_boxes import Boxes
from convoy.data.sources.split import SPLITS

# COCO-WholeBody's further lists of keypoints, in the order that makes its 133 points.
# https://github.com/jin-s13/COCO-WholeBody
WHOLE_BODY = (("foot_kpts", 6), ("face_kpts", 68), ("lefthand_kpts", 21), ("righthand_kpts", 21))
_SPLIT_WORDS = {**SPLITS, "minival": "val", "valminusminival": "train", "unlabeled": "unlabeled"}
_ARRAYS = ("images", "annotations", "categories")
_PROBE = 2000  # items that is_coco looks at: licences and categories may come first


@dataclasses.dataclass
class CocoFile:
    """Image and category ids are text, as 7 and "7" mean the same."""

    name: str
    split: str | None  # by the names of the file and its folders
    images: dict[str, tuple[str, tuple[int, int] | None]]  # id -> (file_name, (height, width))
    rows: dict[str, list[bytes]]  # image id -> its rows
    used: dict[str, list[str]]  # image id -> ids of the categories in its rows
    categories: dict[str, dict]  # id -> its row
    pngs: dict[str, str]  # image id -> the panoptic PNG's file_name
    kinds: set[str]  # of "objects", "keypoints", "captions", "segments"
    points: int = 0  # keypoints that a row has, at most
    whole_body: bool = False
    rejected: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    unclear: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # id -> its file_names
    boxes: Boxes = dataclasses.field(default_factory=Boxes)
    twice: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # category id -> names


def is_coco(tree: files.Tree, name: str) -> bool:
    """Whether the first pictures or rows of a JSON file are those of COCO; reads only so far."""
    try:
        for key, _, value in itertools.islice(
            json_stream.items(tree.where(name), block=1 << 16), _PROBE
        ):
            if key == "images":
                return isinstance(value, dict) and "id" in value and bool(_file_name(value))
            if key == "annotations":
                return isinstance(value, dict) and "image_id" in value
            if not key:
                return False
    except (json_stream.DamagedJson, OSError):
        pass
    return False


def load(tree: files.Tree, name: str) -> CocoFile:
    """Reads a file once, from end to end. Raises SourceError where it is damaged."""
    file = CocoFile(name, split_of(name), {}, {}, {}, {}, {}, set())
    counts = dict.fromkeys(_ARRAYS, 0)
    bad: dict[str, list[int]] = {key: [] for key in _ARRAYS}
    add = {"images": _add_image, "annotations": _add_row, "categories": _add_category}
    try:
        for key, raw, value in json_stream.items(tree.where(name)):
            if key in add:
                if not (isinstance(value, dict) and add[key](file, raw, value)):
                    bad[key].append(counts[key])
                counts[key] += 1
    except (json_stream.DamagedJson, OSError) as error:
        raise SourceError(
            f"{tree.root}: {name}: expected COCO's JSON, but it is damaged at {error}; fetch or "
            "write it again, or take it out of the folder"
        ) from None
    for key, fields in (("images", "id and file_name"), ("annotations", "image_id")):
        for index in bad[key]:
            detail = f"{name}: {key}[{index}] is no object with {fields} of its own"
            file.rejected.append((f"{name}#{key}[{index}]", "corrupt_annotation", detail))
    _refuse_corners(tree, file)
    for key in file.unclear:
        del file.images[key]
        file.rows.pop(key, None)
    for key in sorted(file.rows.keys() - file.images.keys()):
        rows = len(file.rows.pop(key))
        detail = f"{name}: {rows} annotations of image_id {key}, which is not among its images"
        file.rejected.append((f"{name}#image_id={key}", "missing_image", detail))
    return file


def _refuse_corners(tree: files.Tree, file: CocoFile) -> None:
    sizes = {key: size for key, (_, size) in file.images.items()}
    if why := file.boxes.corners(sizes):
        x, y, a, b = file.boxes.kept[0][1]
        raise SourceError(
            f"{tree.root}: {file.name}: expected bbox as [x, y, width, height], found two corners "
            f"[x1, y1, x2, y2]: {why}. Write [{x:g}, {y:g}, {a - x:g}, {b - y:g}] for "
            f"[{x:g}, {y:g}, {a:g}, {b:g}], and so on"
        )


def key_of(value) -> str | None:
    """An id as text; None for what is no id."""
    if isinstance(value, str):
        return json_stream.plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() else str(value)


def order_of(key: str) -> tuple[bool, float, str]:
    """Sorts ids: numbers first, by value."""
    number = float(key) if re.fullmatch(r"-?\d{1,18}", key) else math.inf
    return number == math.inf, number, key


def split_of(name: str) -> str | None:
    """Of instances_train2017.json, train.json, valid/_annotations.coco.json; None: it has none.

    A name with two splits in it (train_val.json), and trainval, has none of its own.
    """
    folder, base = posixpath.split(name)
    for part in (posixpath.splitext(base)[0], *reversed(folder.split("/"))):
        words = re.split(r"[\W\d_]+", part.lower())
        splits = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS and word != "dev"}
        if "dev" in words and not splits:
            return "val"
        if len(splits) == 1:
            return splits.pop()
        if splits or "trainval" in words:
            return None
    return None


def _add_image(file: CocoFile, raw: bytes, value: dict) -> bool:
    key, name = key_of(value.get("id")), _file_name(value)
    if key is None or not name:
        return False
    before = file.images.get(key, (name,))[0]
    if before != name:  # two pictures of one id: whose are its annotations?
        names = file.unclear.setdefault(key, [before])
        names += [] if name in names else [name]
        return True
    size = value.get("height"), value.get("width")
    valid = all(isinstance(side, int) and side > 0 for side in size)
    file.images[key] = (name, size if valid else None)
    return True


def _add_category(file: CocoFile, raw: bytes, value: dict) -> bool:
    key = key_of(value.get("id"))
    if key is not None:
        name = value.get("name")
        name = json_stream.plain(name if isinstance(name, str) and name else key)
        before = file.categories.get(key, {}).get("name", name)
        if before != name:  # two classes of one id: which of them are its objects?
            file.twice.setdefault(key, [before]).append(name)
        file.categories[key] = {**value, "name": name}
    return key is not None


def _add_row(file: CocoFile, raw: bytes, value: dict) -> bool:
    key = key_of(value.get("image_id"))
    if key is None:
        return False
    file.rows.setdefault(key, []).append(raw)
    used = file.used.setdefault(key, [])
    segments = value.get("segments_info")
    if isinstance(segments, list):
        file.kinds.add("segments")
        if isinstance(value.get("file_name"), str):
            file.pngs[key] = value["file_name"]
    elif "caption" in value:
        file.kinds.add("captions")
    else:
        points = value.get("keypoints")
        whole = any(isinstance(value.get(name), list) for name, _ in WHOLE_BODY)
        file.whole_body |= whole
        if isinstance(points, list) and points:
            file.points = max(file.points, len(points) // 3)
        file.kinds.add("keypoints" if points or whole else "objects")
        file.boxes.add(key, value)
    for row in segments if isinstance(segments, list) else [value]:
        category = key_of(row.get("category_id")) if isinstance(row, dict) else None
        if category is not None and category not in used:
            used.append(category)
    return True


def _file_name(value: dict) -> str:
    """LVIS gives a coco_url alone."""
    for key in ("file_name", "coco_url"):
        if isinstance(value.get(key), str) and value[key].strip():
            return value[key].strip()
    return ""


class Pictures:
    """Finds the pictures that the JSON files of a tree name."""

    def __init__(self, tree: files.Tree):
        self._tree = tree
        self._names = tree.pictures()
        self._by_base: dict[str, list[str]] = {}
        folders = set()
        for name in self._names:
            self._by_base.setdefault(posixpath.basename(name).casefold(), []).append(name)
            folders.add(posixpath.dirname(name))
        for folder in list(folders):
            parts = folder.split("/")
            folders.update("/".join(parts[:count]) for count in range(len(parts)))
        self._folders = sorted(folders)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._tree and self._tree.is_picture(name)

    def folders(self, file: CocoFile) -> list[str]:
        """Where its file names may begin, the likeliest first."""
        beside = posixpath.dirname(file.name)
        stem = posixpath.splitext(posixpath.basename(file.name))[0]
        words = {stem, *re.split(r"[_\-. ]+", stem)}

        def rank(folder: str) -> int:
            split = split_of(f"{folder}/x")
            if folder == beside:
                return 0
            if posixpath.basename(folder) == stem and "segments" in file.kinds:
                return 9  # the panoptic PNGs
            if posixpath.basename(folder) in words:
                return 1
            if file.split and split == file.split:
                return 2
            if split and file.split:
                return 9
            usual = posixpath.basename(folder).lower() in ("images", "jpegimages", "img", "data")
            return 4 if usual else 3 if folder in ("", posixpath.dirname(beside)) else 9

        ranked = sorted((rank(folder), folder) for folder in self._folders)
        near = [folder for place, folder in ranked if place < 9]
        return near if beside in near else [*near, beside]

    def find(self, file_name: str, folders: list[str], split: str | None) -> str | None:
        """The name in the tree: from one of the folders, or else the only one that ends so."""
        names = map(relative, stated.alternatives(file_name))
        found = (self._find(name, folders, split) for name in names)
        return next(filter(None, found), None)

    def _find(self, name: str, folders: list[str], split: str | None) -> str | None:
        for folder in folders:
            full = posixpath.normpath(posixpath.join(folder, name))
            if full in self._tree:
                return full
        base = posixpath.basename(name).casefold()
        wrong = (None, split) if split else ()
        fits = [
            other
            for other in self._by_base.get(base, ())
            if not wrong or split_of(f"{posixpath.dirname(other)}/x") in wrong
        ]
        parts = name.casefold().split("/")[::-1]
        alike = [_common(other.casefold().split("/")[::-1], parts) for other in fits]
        best = [other for other, count in zip(fits, alike, strict=True) if count == max(alike)]
        return best[0] if len(best) == 1 else None


def relative(file_name: str) -> str:
    """With slashes and without a drive, a host or the root at the front."""
    name = json_stream.plain(file_name).replace("\\", "/")
    name = re.sub(r"^(\w+://[^/]*|[A-Za-z]:)", "", name)
    return posixpath.normpath(name.lstrip("/") or ".")


def expected(folder: str, file_name: str) -> str:
    """The name that a picture which is not found should have; never outside of the tree."""
    return posixpath.normpath(posixpath.join("/", folder, relative(file_name)))[1:] or "?"


def _common(parts: list[str], others: list[str]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(parts, others)))  # noqa: B905
