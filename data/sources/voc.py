"""PASCAL VOC: one XML per picture, boxes with 1-based inclusive corners, splits in ImageSets.

`path` is a devkit (several years), one year, any folder with annotations and pictures, the tars as
downloaded, or folders where each picture has its XML beside it (`train/`, `valid/`, ... are then
splits; data/sources/voc_layout.py). Where ImageSets has no list, pictures are split by a hash of
their id. A picture that several lists name is listed once for each. Read from the files of VOC2007
to VOC2012 and from labelling tools: tags in any order, missing or empty flags, corners with
fractions, any declared encoding. A picture is found by the name of its XML, else by <filename>.

Corners become continuous pixels: [ymin - 1, xmin - 1, ymax, xmax]; data/objects.py says which
objects are left out. An object's <part>s (Layout) and <actions> (Action) go with it.

Segmentation PNGs hold 0 for background, class + 1, and 255 for ignore, as VOC's own do. Classes
are numbered as in class_names.txt; where there is none and all of them are VOC's, as VOC does.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore
from convoy.data.sources.number import finite
from convoy.data.sources.voc_layout import check_lists, decoded, lists, prefixes, split_of, years

SETS = ("Main", "", "Segmentation", "Layout", "Action")  # folders of ImageSets, best first
IMAGE_FOLDERS = ("JPEGImages", "PNGImages", "Images", "Image", "Imgs", "Img")  # in any case
CLASS_PNGS = ("SegmentationClass", "SegmentationClassPNG")
OBJECT_PNGS = ("SegmentationObject", "SegmentationObjectPNG")
NAMES = "class_names.txt"  # labelme's list of classes
NO_CLASSES = ("__ignore__", "_background_")  # in it
IGNORE = 255
# fmt: off
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)
# fmt: on
_PROBE = 10  # files looked into by detect


def detect(tree: files.Tree) -> bool:
    """XML files whose root is <annotation>, with pictures where VOC and labelling tools keep them.

    Not so ImageNet's, whose pictures are in Data.
    """
    texts, pictures = _years(tree)
    annotations = (tree.where(name) for root in pictures for name in texts[root].values())
    return any(map(_is_annotation, itertools.islice(annotations, _PROBE)))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every sample; the class names come from the XML files unless given.

    A listed picture whose file or XML is missing is listed too: `read` rejects it, in its split.
    Raises SourceError.
    """
    tree = files.tree(path)
    texts, pictures = _years(tree)
    _check(tree, texts, pictures, options)
    prefix = prefixes(tree, list(pictures))
    rows: list[tuple] = []  # source_id, split, picture, XML, PNG of classes, PNG of objects
    for root in pictures:
        rows += _scan_year(tree, root, prefix[root], texts[root], pictures[root], options)
    if not rows:
        raise SourceError(f"{tree.root}: Annotations and pictures are there, but hold no sample")
    rows.sort(key=lambda row: (row[1], row[0]))
    surveyed, acts = _survey({row[3] for row in rows})
    segmented = any(row[4] for row in rows)
    numbered = _class_names(tree, pictures)
    if not numbered and segmented and surveyed and set(surveyed) <= set(CLASSES):
        numbered = CLASSES
    names = options.labels or numbered or surveyed
    if not names:
        raise SourceError(f"{tree.root}: no <object><name> in any XML file; expected class names")
    actions = tuple(sorted({*acts, *(n for root in pictures for n in _actions(tree, root))}))
    values = ("background", *(numbered or names)) if segmented else ()
    references = [
        Reference(source_id, split, picture, (text, *pngs, actions, len(values)))
        for source_id, split, picture, text, *pngs in rows
    ]
    return Listing(
        tuple(references),
        names,
        segmentation_labels=values,
        actions=actions,
        notes=tuple(_notes(tree, pictures, references, segmented and not numbered)),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects and, where there are any, segmentations. Raises BadSample."""
    where, class_png, object_png, actions, values = reference.annotation
    tree = parse(where)
    picture = images.load(reference.image, max_pixels)
    size = finite(tree.findtext("size/height")), finite(tree.findtext("size/width"))
    file_name = files.name_of(where)
    # The challenge's own pictures were annotated as stored.
    prefer = "stored" if (tree.findtext("source/database") or "").startswith("The VOC") else ""
    objects = Objects(reference, picture, labels, warn, size=size, where=file_name, prefer=prefer)
    ids = None
    if object_png:
        ids = images.read_raster(object_png, (objects.height, objects.width))
    # Plain loops: ElementTree's path search costs several times as much on a handful of tags.
    for index, node in enumerate(tree.findall("object"), start=1):
        tags = {child.tag: child for child in node}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        view = (tags["pose"].text or "").strip() if "pose" in tags else ""
        objects.add(
            name,
            _corners(tags),
            difficult=_flag(tags, "difficult"),
            truncated=_flag(tags, "truncated"),
            view="" if view == "Unspecified" else view,
            mask=ids == index if ids is not None and index < IGNORE else None,
            actions=_acted(tags, actions),
            parts=_parts(node) if "part" in tags else (),
        )
    segmentation = b""
    if class_png:
        segmentation = _segmentation(class_png, objects, values)
    return objects.sample(segmentation=segmentation)


def _segmentation(where: files.Where, objects: Objects, values: int) -> bytes:
    """The upright PNG; every pixel below `values`, or IGNORE. Raises BadSample."""
    pixels = images.read_raster(where, (objects.height, objects.width))
    highest = int(pixels.max(initial=0, where=pixels != IGNORE))
    if highest >= values:
        raise BadSample(
            "bad_segmentation",
            f"{files.name_of(where)}: holds {highest}, expected 0 to {values - 1} or {IGNORE}; "
            f"are all classes in data.labels or {NAMES}?",
        )
    return images.encode(objects.frame.raster(pixels))


def _years(tree: files.Tree) -> tuple[dict, dict]:
    """XML files and pictures by year and key; a year without a picture is not among the latter."""
    texts = years(tree, ".xml")
    if not texts:
        return {}, {}
    order = [name.lower() for name in IMAGE_FOLDERS]
    ranked: dict[str, dict[int, dict[str, str]]] = {}  # year -> rank of the folder -> key -> name
    for name in tree.names:
        if not files.is_picture(name):
            continue
        *folders, _ = name.split("/")
        stem = posixpath.splitext(name)[0]
        for depth, folder in enumerate(folders):
            if folder.lower() in order and (root := "/".join(folders[:depth])) in texts:
                key = "/".join(stem.split("/")[depth + 1 :])
                rank = order.index(folder.lower())
                ranked.setdefault(root, {}).setdefault(rank, {})[key] = name
        if (root := "/".join(folders)) in texts:  # beside the XML files, or above their folder
            key = posixpath.basename(stem)
            ranked.setdefault(root, {}).setdefault(len(order), {})[key] = name
    best = {root: by_rank[min(by_rank)] for root, by_rank in sorted(ranked.items())}
    return texts, best


def _check(tree: files.Tree, texts: dict, pictures: dict, options: Options) -> None:
    if not texts:
        raise SourceError(
            f"{tree.root}: expected {tree.root}/Annotations with {tree.root}/JPEGImages, years "
            f"such as {tree.root}/VOC2007 that hold them, or XML files beside their pictures; "
            "found none"
        )
    if not pictures:
        folder = posixpath.join(tree.root, min(texts), IMAGE_FOLDERS[0])
        raise SourceError(f"{tree.root}: expected the pictures in {folder}, no such folder")
    check_lists(tree, pictures, options)


def _scan_year(tree, root: str, prefix: str, texts, pictures, options: Options) -> list[tuple]:
    by_name = {posixpath.basename(name): name for name in pictures.values()}
    by_stem = {posixpath.splitext(base)[0]: name for base, name in by_name.items()}
    stated = {}  # key of an XML without a picture of its name -> the picture that it names
    for key, text in texts.items():
        if key not in pictures:
            name = by_stem.get(posixpath.basename(key)) or by_name.get(_file_name(tree.where(text)))
            stated.update({key: name} if name else {})

    def row(split: str | None, key: str) -> tuple:
        source_id = f"{prefix}/{key}"
        text = tree.where(texts.get(key, posixpath.join(root, "Annotations", f"{key}.xml")))
        missing = posixpath.join(root, IMAGE_FOLDERS[0], f"{key}.jpg")
        picture = tree.where(pictures.get(key) or stated.get(key) or missing)
        pngs = [_png(tree, root, names, key) for names in (CLASS_PNGS, OBJECT_PNGS)]
        split = split or split_of(root, key, source_id, options)
        return (source_id, split, picture, text, *pngs)

    all_keys = pictures.keys() | texts.keys()
    sets = [options.image_sets] if options.image_sets else SETS
    listed = lists(tree, root, sets, all_keys)
    if listed or options.image_sets:
        return [row(split, key) for split, keys in listed.items() for key in keys]
    used = set(stated.values())
    alone = {key for key, name in pictures.items() if name in used} - texts.keys()
    return [row(None, key) for key in all_keys - alone]


def _notes(tree, pictures: dict, references: list[Reference], unnumbered: bool) -> Iterator[str]:
    used = {reference.image for reference in references}
    rest = sum(tree.where(n) not in used for by_key in pictures.values() for n in by_key.values())
    if rest:
        yield f"{rest} pictures are in no list of ImageSets: left out"
    if unnumbered:
        yield f"no {NAMES}: {CLASS_PNGS[0]} is taken to number the classes in the order given"


def _actions(tree: files.Tree, root: str) -> set[str]:
    """Names of the actions, by the lists jumping_train.txt and so on of ImageSets/Action."""
    names = tree.under(posixpath.join(root, "ImageSets/Action"))
    lists = [posixpath.basename(name) for name in names if name.endswith(".txt")]
    return {name.rpartition("_")[0] for name in lists} - {""}


def _png(tree: files.Tree, root: str, folders: tuple[str, ...], key: str):
    names = [posixpath.join(root, folder, f"{key}.png") for folder in folders]
    return next((tree.where(name) for name in names if name in tree), None)


def _class_names(tree: files.Tree, roots: Iterable[str]) -> tuple[str, ...]:
    for root in roots:
        name = posixpath.join(root, NAMES)
        if name in tree:
            lines = decoded(tree.read(name), errors="replace").split("\n")
            return tuple(n for n in map(str.strip, lines) if n and n not in NO_CLASSES)
    return ()


def _survey(texts: set[files.Where]) -> tuple[tuple[str, ...], set[str]]:
    """Names of the classes and of the actions in XML files."""
    classes, actions = set(), set()
    for where in texts:
        try:
            tree = parse(where)
        except BadSample:  # counted when it is read
            continue
        for node in tree.findall("object"):
            classes.add((node.findtext("name") or "").strip())
            actions.update(child.tag for child in node.iterfind("actions/*"))
    return tuple(sorted(classes - {""})), actions


def _file_name(where: files.Where) -> str:
    """What an XML file calls its picture, without folders."""
    try:
        name = parse(where).findtext("filename") or ""
    except BadSample:  # counted when it is read
        return ""
    return name.strip().replace("\\", "/").rpartition("/")[2]


def _is_annotation(where: files.Where) -> bool:
    try:
        return parse(where) is not None
    except BadSample:
        return False


def parse(where: files.Where) -> ElementTree.Element:
    """<annotation>; document types are refused, so that no entity can expand without end."""
    path = files.name_of(where)
    try:
        data = files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_annotation", f"{path}: no such file") from None
    except OSError as error:
        raise BadSample("corrupt_annotation", f"{path}: {error.strerror}") from None
    try:
        tree = _element(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadSample("corrupt_annotation", f"{path}: not well-formed XML: {error}") from None
    if tree.tag.lower() != "annotation":
        detail = f"{path}: expected <annotation>, got <{tree.tag}>"
        raise BadSample("corrupt_annotation", detail)
    return tree


def _element(data: bytes) -> ElementTree.Element:
    """Expat reads UTF-8 and one-byte encodings; what it refuses is decoded here, and tried again.

    Raises ParseError, ValueError, LookupError.
    """
    if b"\0" not in data:
        _refuse(b"<!DOCTYPE" in data or b"<!ENTITY" in data)
        try:
            return ElementTree.fromstring(data)
        except (ElementTree.ParseError, ValueError, LookupError):
            pass
    head = re.match(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w-]+)", data[:200])
    text = decoded(data, head[1].decode() if head else "").strip()
    _refuse("<!DOCTYPE" in text or "<!ENTITY" in text or "\0" in text)
    return ElementTree.fromstring(text)


def _refuse(forbidden: bool) -> None:
    if forbidden:
        raise ValueError("it has a document type or NUL bytes; refused")


def _corners(tags: dict) -> tuple[float | None, ...]:
    """<bndbox> as (ymin, xmin, ymax, xmax) in continuous pixels; None for what is missing."""
    edges = {child.tag: finite(child.text) for child in tags.get("bndbox", ())}
    ymin, xmin, ymax, xmax = (edges.get(tag) for tag in ("ymin", "xmin", "ymax", "xmax"))
    if None in (ymin, xmin, ymax, xmax):
        return None, None, None, None
    if ymax <= ymin or xmax <= xmin:  # a corner is a pixel: what encloses none is not a box
        return ymin, xmin, ymin, xmin
    return ymin - 1, xmin - 1, ymax, xmax


def _parts(node) -> list[tuple[str, tuple]]:
    parts = []
    for part in node.findall("part"):
        tags = {child.tag: child for child in part}
        name = (tags["name"].text or "").strip() if "name" in tags else ""
        parts.append((name, _corners(tags)))
    return parts


def _acted(tags: dict, actions: tuple[str, ...]) -> list[int]:
    """1, 0 or -1 (not said) for each action."""
    if not actions or "actions" not in tags:
        return [-1] * len(actions)
    values = {child.tag: finite(child.text) for child in tags["actions"]}
    return [-1 if values.get(name) is None else int(values[name] > 0) for name in actions]


def _flag(tags, name: str) -> bool:
    return name in tags and bool(finite(tags[name].text))
