"""One reader per format. A reader is a module with three functions:

detect(tree) -> bool
    Whether a data set looks like this format, by its names and, at most, a few of its files.
scan(path, options=Options()) -> Listing
    Lists the samples of every split and finds the class names; opens no picture. `path` is a
    folder, an archive, or a data.files.Tree. Raises SourceError.
read(reference, labels, *, max_pixels, warn) -> Sample
    Reads one, checked and upright. Raises BadSample; calls warn(reason, detail) for each object
    that it leaves out or changes.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import types

from convoy.data.files import files
from convoy.data.files.files import SourceError

# In the order of detection: what is recognised by more comes first.
SOURCES = {
    "digits": "convoy.data.sources.digits",
    "tiny_imagenet": "convoy.data.sources.tiny_imagenet",
    "imagenet": "convoy.data.sources.imagenet",  # its boxes are VOC's XML
    "voc": "convoy.data.sources.voc",
    "voc_text": "convoy.data.sources.voc_text",
    "coco": "convoy.data.sources.coco",
    "mpii": "convoy.data.sources.mpii",
    "cvat": "convoy.data.sources.cvat",
    "createml": "convoy.data.sources.createml",
    "datumaro": "convoy.data.sources.datumaro",
    "supervisely": "convoy.data.sources.supervisely",
    "label_studio": "convoy.data.sources.label_studio",
    "via3": "convoy.data.sources.via3",
    "huggingface": "convoy.data.sources.huggingface",
    "kitti": "convoy.data.sources.kitti",
    "oidv4": "convoy.data.sources.oidv4",
    "wider_face": "convoy.data.sources.wider_face",
    "cifar": "convoy.data.sources.cifar",
    "idx": "convoy.data.sources.idx",
    "yolo": "convoy.data.sources.yolo",
    "labelme": "convoy.data.sources.labelme",
    "via": "convoy.data.sources.via",
    "signals": "convoy.data.sources.signals",
    "csv": "convoy.data.sources.csv",
    "keypoints": "convoy.data.sources.keypoints",
    "masks": "convoy.data.sources.masks",
    "segmentation": "convoy.data.sources.segmentation",
    "pairs": "convoy.data.sources.pairs",
    "style": "convoy.data.sources.style",
    "text": "convoy.data.sources.text",
    "folder": "convoy.data.sources.folder",
    "super_resolution": "convoy.data.sources.super_resolution",
    "pictures": "convoy.data.sources.pictures",
    "tfds": "convoy.data.sources.tfds",
}

# Before this reader is asked: the one that takes classes from names of pictures alone.
BY_NAMES = ("super_resolution", "imagenet")

WITHOUT_PICTURES = ("signals", "text")  # readers of samples that are no pictures


@dataclasses.dataclass(frozen=True)
class Options:
    """What a recipe says of a data set; each reader uses what concerns it."""

    labels: tuple[str, ...] = ()  # class names in order; empty = found in the data
    holdout: float = 0.2  # part hashed into "val" where the data set has no splits
    seed: int = 0  # of that hash
    image_sets: str = ""  # VOC: the folder of ImageSets to follow; empty = Main, or what there is
    ignore: int | None = None  # value of label pictures that means "not labelled"
    name: str = ""  # tfds: NAME or NAME/CONFIG of the data set
    scale: int = 4  # super-resolution: the small picture is 1 / scale of the large one
    attributes: tuple[str, ...] = ()  # csv: columns that each hold one property of the picture
    frames: int = 1  # pairs: 5 = with the two pictures before and the two behind in its folder
    align: str = "none"  # of those, see data/frames.py


def source(name: str) -> types.ModuleType:
    """The reader of a format; "tfds:NAME" is read by the reader "tfds"."""
    key = name.partition(":")[0]
    if key not in SOURCES:
        raise SourceError(f"format {name!r}: expected one of auto, {', '.join(sorted(SOURCES))}")
    return importlib.import_module(SOURCES[key])


def detect(path, *, of_pictures: bool = False) -> str:
    """The format of a data set: headers and annotation files outweigh folders, these names.

    of_pictures: it holds pictures, as the recipe says, and no sounds, series or sentences.
    Raises SourceError where no reader knows it, and where two would give other labels.
    """
    tree = files.tree(path)
    for name in SOURCES:
        if of_pictures and name in WITHOUT_PICTURES:
            continue
        if name == BY_NAMES[0] and source(BY_NAMES[1]).detect_by_names(tree):
            return BY_NAMES[1]
        if source(name).detect(tree) and not (name == "voc" and _strays(tree)):
            return name
    if not tree.names:
        raise SourceError(f"{tree.root}: holds no file; expected a data set as in docs/data.md")
    kinds = {name.rpartition(".")[2].lower(): name for name in reversed(tree.names)}
    some = ", ".join(sorted(kinds.values())[:5])
    raise SourceError(
        f"{tree.root}: no known layout among its {len(tree.names)} files, such as {some}"
        f"{_obstacles(tree)}{arrays_left(tree)}; say "
        f"which with --format or data.format: {', '.join(sorted(SOURCES))}. docs/data.md shows "
        "each layout"
    )


def _strays(tree: files.Tree) -> bool:
    """Whether VOC's XML files are a few that were left in a set of YOLO's."""
    return source("yolo").outnumbers(tree, source("voc").count(tree))


def _obstacles(tree: files.Tree) -> str:
    """What may keep readers from knowing a set: tables, damaged JSON, archives in archives."""
    found = []
    if any(name.lower().endswith((".csv", ".tsv")) for name in tree.names):
        try:
            source("csv").scan(tree)
        except SourceError as error:
            found.append(str(error).removeprefix(f"{tree.root}: "))
    for name in [n for n in tree.names if n.lower().endswith(".json")][:20]:
        try:
            json.loads(tree.read(name).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            found.append(f"{name} is no well-formed JSON: {error}")
        except (OSError, SourceError) as error:
            found.append(f"{name} cannot be read: {error}")
    packed = [n for n in tree.names if files.is_archive(n) and n not in tree.unpacked]
    if packed:
        found.append(f"{packed[0]} is an archive that is not opened where it lies: unpack it there")
    return "".join(f" ({text})" for text in found[:3])


def arrays_left(tree: files.Tree) -> str:
    """What to say where nothing was found, and .npy files may have been meant as pictures."""
    count = sum(name.lower().endswith(files.ARRAY) for name in tree.names)
    if tree.arrays or not count:
        return ""
    why = "are not taken as pictures where there are others; save them as TIFF to have them read"
    return f" ({count} {files.ARRAY} files {why})"


def ignore(reason: str, detail: str) -> None:
    """A `warn` that forgets."""
