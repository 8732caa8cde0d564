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

import posixpath
from collections.abc import Iterator

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, ignore, voc_xml
from convoy.data.sources.number import commas, finite
from convoy.data.sources.voc_layout import check_lists, lists, prefixes, split_of
from convoy.data.sources.voc_names import NAMES, class_names
from convoy.data.sources.voc_pictures import IMAGE_FOLDERS, Year, find

SETS = ("Main", "", "Segmentation", "Layout", "Action")  # folders of ImageSets, best first
CLASS_PNGS = ("SegmentationClass", "SegmentationClassPNG")
OBJECT_PNGS = ("SegmentationObject", "SegmentationObjectPNG")
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
    return any(map(voc_xml.is_annotation, map(tree.where, _texts(tree)[:_PROBE])))


def count(tree: files.Tree) -> int:
    """How many XML files there are, one for each picture that has one."""
    return len(_texts(tree))


def _texts(tree: files.Tree) -> list[str]:
    _, found = find(tree)
    return [name for year in found.values() for name in year.texts.values()]


def scan(path, options: Options = Options()) -> Listing:
    """Lists every sample; the class names come from the XML files unless given.

    A listed picture whose file or XML is missing is listed too: `read` rejects it, in its split.
    Raises SourceError.
    """
    tree = files.tree(path)
    texts, found = find(tree)
    _check(tree, texts, found, options)
    prefix = prefixes(tree, list(found))
    rows: list[tuple] = []  # source_id, split, picture, XML, PNG of classes, PNG of objects
    for root, year in found.items():
        rows += _scan_year(tree, root, prefix[root], year, options)
    rejected = [row for year in found.values() for row in year.rejected]
    if not rows and not rejected:
        raise SourceError(f"{tree.root}: Annotations and pictures are there, but hold no sample")
    rows.sort(key=lambda row: (row[1], row[0]))
    survey = voc_xml.survey({row[3] for row in rows})
    segmented = any(row[4] for row in rows)
    numbered, ambiguous = class_names(tree, found, survey.classes)
    if not numbered and segmented and survey.classes and set(survey.classes) <= set(CLASSES):
        numbered = CLASSES
    names = options.labels or numbered or survey.classes
    if not names:
        raise SourceError(f"{tree.root}: no <object><name> in any XML file; expected class names")
    actions = tuple(sorted({*survey.actions, *(n for root in found for n in _actions(tree, root))}))
    values = ("background", *(numbered or names)) if segmented else ()
    first = 0 if survey.continuous else 1
    if survey.continuous:
        why = f"taken as continuous from 0, not as pixels counted from 1: {survey.continuous}"
        ambiguous.append(Told("boxes of XML files", survey.boxes, why))
    there = {posixpath.basename(files.name_of(picture)) for _, _, picture, *_ in rows if picture}
    crossed = sorted({row[0] for row in rows if survey.named.get(row[3]) in there})
    if crossed:
        why = "their XML's <filename> is another picture's of the set: taken by the XML's own name"
        ambiguous.append(Told("samples", len(crossed), why, tuple(crossed[:3])))
    references = [
        Reference(source_id, split, picture, (text, *pngs, actions, len(values), first))
        for source_id, split, picture, text, *pngs in rows
    ]
    return Listing(
        tuple(references),
        names,
        tuple(sorted(rejected)),
        segmentation_labels=values,
        actions=actions,
        notes=tuple(_notes(tree, found, references, segmented and not numbered)),
        ambiguous=tuple(ambiguous),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its objects and, where there are any, segmentations. Raises BadSample."""
    where, class_png, object_png, actions, values, first = reference.annotation
    tree = voc_xml.parse(where)
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
        box = voc_xml.corners(tags, first)
        if None in box and (why := commas(child.text for child in tags.get("bndbox", ()))):
            warn("missing_box", f"{file_name}: {name} has no complete box{why}")
            continue
        view = (tags["pose"].text or "").strip() if "pose" in tags else ""
        objects.add(
            name,
            box,
            difficult=voc_xml.flag(tags, "difficult"),
            truncated=voc_xml.flag(tags, "truncated"),
            view="" if view == "Unspecified" else view,
            mask=ids == index if ids is not None and index < IGNORE else None,
            actions=voc_xml.acted(tags, actions),
            parts=voc_xml.parts(node, first) if "part" in tags else (),
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


def _check(tree: files.Tree, texts: dict, found: dict, options: Options) -> None:
    if not texts:
        raise SourceError(
            f"{tree.root}: expected {tree.root}/Annotations with {tree.root}/JPEGImages, years "
            f"such as {tree.root}/VOC2007 that hold them, or XML files beside their pictures; "
            "found none"
        )
    if not found:
        folder = posixpath.join(tree.root, min(texts), IMAGE_FOLDERS[0])
        raise SourceError(f"{tree.root}: expected the pictures in {folder}, no such folder")
    check_lists(tree, found, options)


def _scan_year(tree, root: str, prefix: str, year: Year, options: Options) -> list[tuple]:
    pictures, texts = year.pictures, year.texts
    by_name = {posixpath.basename(name): name for name in pictures.values()}
    by_stem = {posixpath.splitext(base)[0]: name for base, name in by_name.items()}
    stated = {}  # key of an XML without a picture of its name -> the picture that it names
    for key, text in texts.items():
        if key not in pictures:
            file_name = voc_xml.file_name(tree.where(text))
            name = by_name.get(file_name) or by_stem.get(posixpath.basename(key))
            stated.update({key: name} if name else {})

    def row(split: str | None, key: str) -> tuple:
        source_id = f"{prefix}/{key}"
        text = tree.where(texts.get(key, posixpath.join(root, "Annotations", f"{key}.xml")))
        missing = posixpath.join(root, IMAGE_FOLDERS[0], f"{key}.jpg")
        picture = tree.where(pictures.get(key) or stated.get(key) or missing)
        pngs = [_png(tree, root, names, key) for names in (CLASS_PNGS, OBJECT_PNGS)]
        split = split or split_of(root, key, source_id, options)
        return (source_id, split, picture, text, *pngs)

    all_keys = (pictures.keys() | texts.keys()) - year.unclear
    sets = [options.image_sets] if options.image_sets else SETS
    listed = lists(tree, root, sets, all_keys)
    if listed or options.image_sets:
        return [
            row(s, key) for s, keys in listed.items() for key in keys if key not in year.unclear
        ]
    used = set(stated.values())
    alone = {key for key, name in pictures.items() if name in used} - texts.keys()
    return [row(None, key) for key in all_keys - alone]


def _notes(tree, found: dict, references: list[Reference], unnumbered: bool) -> Iterator[str]:
    used = {reference.image for reference in references}
    rest = sum(tree.where(n) not in used for year in found.values() for n in year.pictures.values())
    if rest:
        yield f"{rest} pictures are in no list of ImageSets: left out"
    if cased := [name for year in found.values() for name in year.cased]:
        yield (
            f"{len(cased)} XML files have their picture's name in other upper and lower case, such "
            f"as {cased[0]}: taken as its"
        )
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
