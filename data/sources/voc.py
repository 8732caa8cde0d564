"""PASCAL VOC: one XML a picture, boxes with 1-based inclusive corners, splits in ImageSets.

`path` is a devkit (several years), one year, any folder with Annotations and JPEGImages, the tars
as downloaded, or folders where each picture has its XML beside it (`train/`, `valid/`, ... are then
splits). Where ImageSets has no list, pictures are split by a hash of their id. A picture that
several lists name is listed once for each. Read from the files of VOC2007 and VOC2012 and from
labelling tools: tags in any order, missing or empty flags, corners with fractions, any declared
encoding.

Corners become continuous pixels: [ymin - 1, xmin - 1, ymax, xmax]; data/objects.py says which
objects are left out. An object's <part>s (Layout) and <actions> (Action) go with it.

Segmentation PNGs hold 0 for background, class + 1, and 255 for ignore, as VOC's own do.
"""

from __future__ import annotations

import math
import posixpath
import xml.etree.ElementTree as ElementTree

import numpy as np

from data import files, images
from data.objects import Objects
from data.sample import BadSample, Listing, Reference, Sample
from data.sources import Options, SourceError, ignore
from data.sources.split import SPLITS, hashed_split

LISTS = ("train", "val", "trainval", "test")
SETS = ("Main", "Segmentation", "Layout", "Action")  # folders of ImageSets, best first
IMAGE_FOLDERS = ("JPEGImages", "Images", "images")
CLASS_PNGS = ("SegmentationClass", "SegmentationClassPNG")
OBJECT_PNGS = ("SegmentationObject", "SegmentationObjectPNG")
_PROBE = 5  # files looked into by detect


def detect(tree: files.Tree) -> bool:
    """XML files whose root is <annotation>, in a layout of VOC's."""
    found = [name for root in _roots(tree) for name in _xml_files(tree, root)]
    return any(_is_annotation(tree.where(name)) for name in found[:_PROBE])


def scan(path, options: Options = Options()) -> Listing:
    """Lists every sample; the class names come from the XML files unless given.

    A listed picture whose file or XML is missing is listed too: `read` rejects it, in its split.
    Raises SourceError.
    """
    tree = files.tree(path)
    roots = _roots(tree)
    if not roots:
        raise SourceError(
            f"{tree.root}: expected {tree.root}/Annotations with {tree.root}/JPEGImages, years "
            f"such as {tree.root}/VOC2007 that hold them, or XML files beside their pictures; "
            "found none"
        )
    references: list[Reference] = []
    actions = sorted({name for root in roots for name in _actions(tree, root)})
    for root in roots:
        references += _scan_year(tree, root, options, tuple(actions))
    if not references:
        raise SourceError(f"{tree.root}: Annotations and pictures are there, but hold no sample")
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    texts = {reference.annotation[0] for reference in references}
    names = options.labels or _class_names(tree, roots) or _find_labels(texts)
    if not names:
        raise SourceError(f"{tree.root}: no <object><name> in any XML file; expected class names")
    segmented = any(reference.annotation[1] for reference in references)
    return Listing(
        tuple(references),
        names,
        segmentation_labels=("background", *names) if segmented else (),
        actions=tuple(actions),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects and, where there are any, segmentations. Raises BadSample."""
    where, class_png, object_png, actions = reference.annotation
    tree = _parse(where)
    picture = images.load(reference.image, max_pixels)
    size = _number(tree.findtext("size/height")), _number(tree.findtext("size/width"))
    told = files.name_of(where)
    objects = Objects(reference, picture, labels, warn, size=size, where=told)
    ids = None
    if object_png:
        ids = images.read_raster(object_png, (objects.height, objects.width))
    # Plain loops: ElementTree's path search costs several times as much on a handful of tags.
    for index, node in enumerate(tree.findall("object")):
        tags = {child.tag: child for child in node}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        view = (tags["pose"].text or "").strip() if "pose" in tags else ""
        objects.add(
            name,
            _corners(tags),
            difficult=_flag(tags, "difficult"),
            truncated=_flag(tags, "truncated"),
            view="" if view == "Unspecified" else view,
            mask=None if ids is None else ids == index + 1,
            actions=_acted(tags, actions),
            parts=_parts(node) if "part" in tags else (),
        )
    segmentation = b""
    if class_png:
        values = images.read_raster(class_png, (objects.height, objects.width))
        segmentation = images.encode(np.ascontiguousarray(objects.turned.raster(values)))
    return objects.sample(segmentation=segmentation)


def _roots(tree: files.Tree) -> list[str]:
    """Folders with Annotations in them; else folders where XML files lie beside pictures."""
    folders = {posixpath.dirname(name) for name in tree.names if name.lower().endswith(".xml")}
    roots = {posixpath.dirname(f) for f in folders if posixpath.basename(f) == "Annotations"}
    if roots:
        return sorted(roots)
    pictures = {posixpath.dirname(name) for name in tree.names if files.is_picture(name)}
    return sorted(folders & pictures)


def _xml_files(tree: files.Tree, root: str) -> list[str]:
    folder = posixpath.join(root, "Annotations")
    found = [name for name in tree.under(folder) if name.lower().endswith(".xml")]
    return found or [
        name
        for name in tree.under(root)
        if name.lower().endswith(".xml") and posixpath.dirname(name) == root
    ]


def _scan_year(tree, root: str, options: Options, actions) -> list[Reference]:
    annotations = _xml_files(tree, root)
    below = posixpath.join(root, "Annotations/")
    if annotations[0].startswith(below):
        texts = {name[len(below) : -4]: name for name in annotations}
        folders = [posixpath.join(root, name) for name in IMAGE_FOLDERS]
        folder = next((name for name in folders if tree.under(name)), None)
        if folder is None:
            raise SourceError(f"{tree.root}: expected the pictures in {folders[0]}, no such folder")
        inside = len(folder) + 1
    else:
        folder, inside = root, len(root) + 1 if root else 0
        texts = {name[inside:-4]: name for name in annotations}
    pictures = {
        posixpath.splitext(name[inside:])[0]: name
        for name in tree.under(folder)
        if files.is_picture(name) and (folder != root or posixpath.dirname(name) == root)
    }
    prefix = posixpath.basename(root) or posixpath.basename(tree.root)
    by_name = {posixpath.basename(name): name for name in pictures.values()}

    def reference(split: str, key: str) -> Reference:
        where = tree.where(texts.get(key, posixpath.join(root, "Annotations", f"{key}.xml")))
        picture = pictures.get(key)
        if picture is None and key in texts:
            picture = by_name.get(_file_name(where))
        picture = picture or posixpath.join(folder, f"{key}.jpg")
        pngs = (_png(tree, root, names, key) for names in (CLASS_PNGS, OBJECT_PNGS))
        annotation = (where, *pngs, actions)
        return Reference(f"{prefix}/{key}", split, tree.where(picture), annotation)

    lists = _image_sets(tree, root, options.image_sets, pictures.keys() | texts.keys())
    if lists:
        return [reference(split, key) for split, keys in lists.items() for key in keys]
    used = {
        name
        for key in texts
        if key not in pictures
        for name in [_file_name(tree.where(texts[key]))]
    }
    alone = {
        key for key, name in pictures.items() if posixpath.basename(name) in used
    } - texts.keys()
    keys = sorted((pictures.keys() | texts.keys()) - alone)
    split = SPLITS.get(posixpath.basename(root).lower())
    return [
        reference(split or hashed_split(f"{prefix}/{key}", options.holdout, options.seed), key)
        for key in keys
    ]


def _image_sets(tree, root: str, wanted: str, known: set[str]) -> dict[str, list[str]]:
    """Split -> ids in the order of the list; lines may hold a flag after the id."""
    for folder in [wanted] if wanted else SETS:
        lists = {}
        for split in LISTS:
            name = posixpath.join(root, "ImageSets", folder, f"{split}.txt")
            if name not in tree:
                continue
            text = tree.read(name).decode("utf-8-sig", "surrogateescape")
            ids = {}
            for line in filter(None, map(str.strip, text.splitlines())):
                key = line if line in known else line.split()[0]
                stem = posixpath.splitext(key)[0]
                ids[stem if key not in known and files.is_picture(key) else key] = None
            if ids:
                lists[split] = list(ids)
        if lists:
            return lists
    if wanted:
        raise SourceError(
            f"{tree.root}: data.image_sets {wanted!r}: expected {root}/ImageSets/{wanted}/train.txt"
            " or another list there, found none"
        )
    return {}


def _actions(tree: files.Tree, root: str) -> set[str]:
    """Names of the actions, by the lists jumping_train.txt and so on of ImageSets/Action."""
    lists = [posixpath.basename(n) for n in tree.under(posixpath.join(root, "ImageSets/Action"))]
    return {name.rpartition("_")[0] for name in lists} - {""}


def _png(tree: files.Tree, root: str, folders: tuple[str, ...], key: str):
    names = [posixpath.join(root, folder, f"{key}.png") for folder in folders]
    return next((tree.where(name) for name in names if name in tree), None)


def _class_names(tree: files.Tree, roots: list[str]) -> tuple[str, ...]:
    """Of labelme's class_names.txt, without background and ignore."""
    for root in roots:
        name = posixpath.join(root, "class_names.txt")
        if name in tree:
            lines = tree.read(name).decode("utf-8-sig", "replace").split("\n")
            return tuple(n for n in map(str.strip, lines) if n and not n.startswith("_"))
    return ()


def _find_labels(texts: set[files.Where]) -> tuple[str, ...]:
    names = set()
    for where in texts:
        try:
            tree = _parse(where)
        except BadSample:  # counted when it is read
            continue
        names |= {(node.findtext("name") or "").strip() for node in tree.findall("object")}
    return tuple(sorted(names - {""}))


def _file_name(where: files.Where) -> str:
    """What an XML file calls its picture, without folders."""
    try:
        name = _parse(where).findtext("filename") or ""
    except BadSample:  # counted when it is read
        return ""
    return name.strip().replace("\\", "/").rpartition("/")[2]


def _is_annotation(where: files.Where) -> bool:
    try:
        return _parse(where).tag == "annotation"
    except BadSample:
        return False


def _parse(where: files.Where) -> ElementTree.Element:
    """The XML tree; document types are refused, so that no entity can expand without end."""
    path = files.name_of(where)
    try:
        text = files.read(where)
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


def _corners(tags: dict) -> tuple[float | None, ...]:
    """<bndbox> as (ymin, xmin, ymax, xmax) in continuous pixels; None for what is missing."""
    found = {child.tag: _number(child.text) for child in tags.get("bndbox", ())}
    ymin, xmin, ymax, xmax = (found.get(tag) for tag in ("ymin", "xmin", "ymax", "xmax"))
    if None in (ymin, xmin, ymax, xmax):
        return None, None, None, None
    if ymax <= ymin or xmax <= xmin:  # a corner is a pixel: what encloses none is not a box
        return ymin, xmin, ymin, xmin
    return ymin - 1, xmin - 1, ymax, xmax


def _parts(node) -> list[tuple[str, tuple]]:
    found = []
    for part in node.findall("part"):
        tags = {child.tag: child for child in part}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        found.append((name, _corners(tags)))
    return found


def _acted(tags: dict, actions: tuple[str, ...]) -> list[int]:
    """1, 0 or -1 (not said) for each action."""
    if not actions or "actions" not in tags:
        return [-1] * len(actions)
    said = {child.tag: _number(child.text) for child in tags["actions"]}
    return [-1 if said.get(name) is None else int(said[name] > 0) for name in actions]


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _flag(tags, name: str) -> bool:
    return name in tags and bool(_number(tags[name].text))
