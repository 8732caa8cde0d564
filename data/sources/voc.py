"""PASCAL VOC: one XML a picture, boxes with 1-based inclusive corners, splits in ImageSets.

`path` is a devkit (several years), one year, or any folder with Annotations and JPEGImages; where
ImageSets/Main has no list, pictures are split by a hash of their id. A picture that several lists
name is listed once for each. Read from the files of VOC2007 and VOC2012 and from labelling tools:
tags in any order, missing or empty flags, corners with fractions.

Corners become continuous pixels: [ymin - 1, xmin - 1, ymax, xmax]. Left out with a warning, the
picture kept: an object of unknown class, without a box, with corners that enclose nothing
(xmax <= xmin or ymax <= ymin), or wholly outside. Boxes are cut at the border.

Segmentation PNGs hold 0 for background, class + 1, and 255 for ignore, as VOC's own do.
"""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as ElementTree

import numpy as np

from data import images
from data.sample import BadSample, Listing, Reference, Sample
from data.sources import SourceError, ignore
from data.sources.split import hashed_split, is_picture

LISTS = ("train", "val", "trainval", "test")
IMAGE_FOLDERS = ("JPEGImages", "Images", "images")


def scan(path, *, labels=(), holdout: float = 0.2, seed: int = 0) -> Listing:
    """Lists every sample; the class names come from the XML files unless given.

    A listed picture whose file or XML is missing is listed too: `read` rejects it, in its split.
    Raises SourceError.
    """
    path = os.path.normpath(os.fspath(path))
    references: list[Reference] = []
    for root in _roots(path):
        references += _scan_year(root, holdout, seed)
    if not references:
        raise SourceError(f"{path}: Annotations and JPEGImages are there, but hold no sample")
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    names = tuple(labels) or _find_labels({reference.annotation for reference in references})
    if not names:
        raise SourceError(f"{path}: no <object><name> in any XML file; expected class names")
    return Listing(tuple(references), names)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects and, where there are any, segmentations. Raises BadSample."""
    where = reference.annotation
    tree = _parse(where)
    picture = images.load(reference.image, max_pixels)
    if _written_for(tree, picture):
        turned, (height, width) = picture, picture.stored_size
    else:  # the boxes are given for the upright picture
        turned, height, width = None, picture.height, picture.width
    rows, kept = _objects(tree, labels, (height, width), where, warn)
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    classes = np.array([row[1] for row in rows], np.int64)
    segmentation, masks = _segmentations(where, picture, kept)
    return Sample(
        source_id=reference.source_id,
        split=reference.split,
        image=picture.image,
        height=picture.height,
        width=picture.width,
        labels=np.array(sorted({row[1] for row in rows}), np.int64),
        boxes=turned.boxes(boxes) if turned else boxes,
        classes=classes,
        difficult=np.array([row[2] for row in rows], bool),
        truncated=np.array([row[3] for row in rows], bool),
        crowd=np.zeros(len(rows), bool),
        masks=masks,
        segmentation=segmentation,
    )


def _roots(path: str) -> list[str]:
    """Folders that hold Annotations and pictures: `path` itself, or years below it."""
    if not os.path.isdir(path):
        raise SourceError(f"{path}: no such folder")
    for top in (path, os.path.join(path, "VOCdevkit")):
        if os.path.isdir(os.path.join(top, "Annotations")):
            return [top]
        names = sorted(os.listdir(top)) if os.path.isdir(top) else []
        years = [os.path.join(top, name) for name in names]
        years = [year for year in years if os.path.isdir(os.path.join(year, "Annotations"))]
        if years:
            return years
    raise SourceError(
        f"{path}: expected {path}/Annotations with {path}/JPEGImages, or years such as "
        f"{path}/VOC2007 that hold them; found neither"
    )


def _scan_year(root: str, holdout: float, seed: int) -> list[Reference]:
    folders = [os.path.join(root, name) for name in IMAGE_FOLDERS]
    folder = next((name for name in folders if os.path.isdir(name)), None)
    if folder is None:
        raise SourceError(f"{root}: expected the pictures in {folders[0]}, no such folder")
    pictures = {os.path.splitext(name)[0]: name for name in os.listdir(folder) if is_picture(name)}
    annotations = os.path.join(root, "Annotations")
    texts = {name[:-4]: name for name in os.listdir(annotations) if name.lower().endswith(".xml")}
    prefix = os.path.basename(root)

    def reference(split: str, name: str) -> Reference:
        return Reference(
            source_id=f"{prefix}/{name}",
            split=split,
            image=os.path.join(folder, pictures.get(name, f"{name}.jpg")),
            annotation=os.path.join(annotations, texts.get(name, f"{name}.xml")),
        )

    lists = _image_sets(root, pictures.keys() | texts.keys())
    if lists:
        return [reference(split, name) for split, names in lists.items() for name in names]
    names = sorted(pictures.keys() | texts.keys())
    return [reference(hashed_split(f"{prefix}/{n}", holdout, seed), n) for n in names]


def _image_sets(root: str, known: set[str]) -> dict[str, list[str]]:
    """Split -> ids in the order of the list; lines may hold a flag after the id."""
    lists = {}
    for split in LISTS:
        try:
            path = os.path.join(root, "ImageSets", "Main", f"{split}.txt")
            with open(path, encoding="utf-8-sig") as file:
                lines = [line.strip() for line in file]
        except FileNotFoundError:
            continue
        ids = {}
        for line in filter(None, lines):
            name = line if line in known else line.split()[0]
            stem, extension = os.path.splitext(name)
            ids[stem if name not in known and is_picture(extension[1:] and name) else name] = None
        if ids:
            lists[split] = list(ids)
    return lists


def _find_labels(paths: set[str]) -> tuple[str, ...]:
    names = set()
    for path in paths:
        try:
            tree = _parse(path)
        except BadSample:  # counted when it is read
            continue
        names |= {(node.findtext("name") or "").strip() for node in tree.findall("object")}
    return tuple(sorted(names - {""}))


def _parse(path: str) -> ElementTree.Element:
    """The XML tree; document types are refused, so that no entity can expand without end."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise BadSample("corrupt_annotation", f"{path}: has a document type or NUL bytes; refused")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadSample("corrupt_annotation", f"{path}: not well-formed XML: {error}") from None


def _written_for(tree: ElementTree.Element, picture: images.Picture) -> bool:
    """Whether the boxes are for the stored pixels: yes, unless <size> says upright alone."""
    size = (_number(tree.findtext("size/height")), _number(tree.findtext("size/width")))
    upright = (picture.height, picture.width)
    return picture.stored_size == upright or size != upright


def _objects(tree, labels, size, where, warn):
    """Rows (box, class, difficult, truncated) of the usable objects, and their places in the file.

    Boxes are 0-based and cut to `size` (H, W). Plain Python: NumPy and ElementTree's path search
    cost several times as much on a handful of numbers.
    """
    known = {name: index for index, name in enumerate(labels)}
    height, width = size
    rows, kept = [], []
    for index, node in enumerate(tree.findall("object")):
        tags = {child.tag: child for child in node}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        if name not in known:
            warn("unknown_class", f"{where}: object {name!r} is not among the labels")
            continue
        corners = {child.tag: _number(child.text) for child in tags.get("bndbox", ())}
        corners = [corners.get(tag) for tag in ("ymin", "xmin", "ymax", "xmax")]
        if None in corners:
            warn("missing_box", f"{where}: {name} has no complete <bndbox>")
            continue
        ymin, xmin, ymax, xmax = corners
        told = f"{where}: {name} [{ymin:g}, {xmin:g}, {ymax:g}, {xmax:g}]"
        if ymax <= ymin or xmax <= xmin:
            warn("empty_box", f"{told} has no area")
            continue
        box = (max(ymin - 1, 0), max(xmin - 1, 0), min(ymax, height), min(xmax, width))
        if box[2] <= box[0] or box[3] <= box[1]:
            warn("outside_box", f"{told} lies outside the {width}x{height} picture")
            continue
        if box != (ymin - 1, xmin - 1, ymax, xmax):
            warn("clipped_box", f"{told} reaches outside the {width}x{height} picture")
        rows.append((box, known[name], _flag(tags, "difficult"), _flag(tags, "truncated")))
        kept.append(index)
    return rows, kept


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _flag(tags, name: str) -> bool:
    return name in tags and bool(_number(tags[name].text))


def _segmentations(annotation: str, picture, kept: list[int]) -> tuple[bytes, tuple[bytes, ...]]:
    """Class PNG and one mask PNG a kept object; empty where the data set has none."""
    root, name = os.path.split(os.path.dirname(annotation))[0], os.path.basename(annotation)
    file = f"{name[:-4]}.png"
    segmentation, masks = b"", ()
    path = os.path.join(root, "SegmentationClass", file)
    if os.path.isfile(path):
        values = picture.raster(images.read_raster(path, picture.stored_size))
        segmentation = images.encode(np.ascontiguousarray(values))
    path = os.path.join(root, "SegmentationObject", file)
    if os.path.isfile(path):
        values = picture.raster(images.read_raster(path, picture.stored_size))
        masks = tuple(images.encode((values == index + 1).astype(np.uint8) * 255) for index in kept)
    return segmentation, masks
