"""ImageNet's classification and localisation set (ILSVRC2012), and sets laid out like it.

Class folders of synsets (`train/n01440764/*.JPEG`, `val/...`: imagenette), the archives as
downloaded beside each other (ILSVRC2012_img_train.tar, _img_val.tar, _devkit_t12.tar.gz,
_bbox_train_v2.tar.gz, _bbox_val_v3.tgz), or unpacked (Kaggle's ILSVRC/Data/CLS-LOC/train). The
class of a picture is the last of its folders that is a synset, else what its name begins with
(n01440764_10026.JPEG). That of ILSVRC2012_val_00000001.JPEG is in LOC_val_solution.csv, else in the
development kit: line 1 of its ground truth, an ILSVRC2012_ID of meta.mat, whose order is another
than that of the classes; else in its boxes. Pictures of test have no class and are not listed.

Boxes are XML files of VOC's kind with synsets as names, found by the name of the picture. Corners
are taken as continuous pixels as they are, since they reach from 0 to the picture's width: VOC's
shift by one would put the first row outside. A picture without boxes keeps its class.

Names and order of the classes: data/sources/synsets.py. The kit's list of validation pictures left
out of the localisation task (blacklist) is not applied.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, coco, ignore, labelme, synsets
from convoy.data.sources.layout import pictures, split_of
from convoy.data.sources.number import finite
from convoy.data.sources.split import hashed_split
from convoy.data.sources.voc_layout import decoded
from convoy.data.sources.voc_xml import parse

_NUMBERED = re.compile(r"ILSVRC2012_(val|test)_(\d{8})\.\w+")
_BESIDE = re.compile(r"(?i).*(devkit|bbox).*\.(tar|tar\.gz|tgz|zip)|n\d{8}\.(tar|tar\.gz|tgz)")
_TRUTH = "ilsvrc2012_validation_ground_truth.txt"
_SOLUTION = "loc_val_solution.csv"
_PROBE = 200  # pictures looked at by detect


def detect(tree: files.Tree) -> bool:
    """Pictures whose folders are synsets', or ILSVRC2012_val_00000001.JPEG and on.

    Not where COCO's or labelme's JSON says what is on them.
    """

    def fits(name: str) -> bool:
        return bool(_folder_wnid(name) or _NUMBERED.fullmatch(posixpath.basename(name)))

    return _all_fit(tree, fits) and not any(reader.detect(tree) for reader in (coco, labelme))


def detect_by_names(tree: files.Tree) -> bool:
    """Pictures whose names begin with synsets; the weakest evidence there is."""
    return _all_fit(tree, lambda n: _wnid(n) or _NUMBERED.fullmatch(posixpath.basename(n)))


def _all_fit(tree: files.Tree, fits: Callable) -> bool:
    names = pictures(tree)
    some = names[:: max(1, len(names) // _PROBE)]
    return bool(some) and all(map(fits, some))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture whose class is known. Raises SourceError."""
    tree = files.tree(path)
    names = pictures(tree)
    places = _everything(tree)
    boxes = {posixpath.basename(n)[:-4]: places[n] for n in places if n.lower().endswith(".xml")}
    truth = _truth(places)
    wnids, tests, unlabelled = {}, 0, []
    for name in names:
        match = _NUMBERED.fullmatch(posixpath.basename(name))
        stem = posixpath.splitext(posixpath.basename(name))[0]
        wnid = _wnid(name) or truth.get(stem)
        if not wnid and match and match[1] == "val" and not truth:
            wnid = _class_of_boxes(boxes.get(stem))
        tests += bool(match and match[1] == "test")
        if wnid:
            wnids[name] = wnid
        elif not match or match[1] == "val":
            unlabelled.append(name)
    if not wnids:
        raise SourceError(
            f"{tree.root}: expected pictures in folders of synsets such as train/n01440764, or "
            f"ILSVRC2012_val_*.JPEG with ILSVRC2012_devkit_t12.tar.gz beside them; found "
            f"{len(names)} pictures, none with a class"
        )
    table = synsets.words(places)
    labels, label_of = synsets.classes(wnids.values(), table, options.labels, tree.root)
    rejected = [
        (n, "missing_annotation", f"{n}: no synset and no ground truth") for n in unlabelled
    ]
    references = []
    splits = {name: _split(name) for name in wnids}
    # ILSVRC2012_img_train.tar lies beside val's, outside of folders of splits.
    default_split = "train" if any(splits.values()) else None
    for name, wnid in wnids.items():
        if wnid not in label_of:
            rejected.append((name, "unknown_class", f"{name}: {wnid} is not among the labels"))
            continue
        split = splits[name] or default_split or hashed_split(name, options.holdout, options.seed)
        xml = boxes.get(posixpath.splitext(posixpath.basename(name))[0])
        references.append(Reference(name, split, tree.where(name), (label_of[wnid], wnid, xml)))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    has_names = any(wnid in table for wnid in label_of)
    return Listing(
        tuple(references), labels, tuple(sorted(rejected)), notes=_notes(tests, has_names, places)
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its class, and its boxes where it has any. Raises BadSample."""
    label, wnid, xml = reference.annotation
    tree = None if xml is None else parse(xml)
    picture = images.load(reference.image, max_pixels)
    size = None if tree is None else tuple(finite(tree.findtext(f"size/{s}")) for s in _SIZE)
    where = "" if xml is None else files.name_of(xml)
    objects = Objects(reference, picture, labels, warn, size=size, where=where, prefer="stored")
    for node in () if tree is None else tree.iterfind("object"):
        name = (node.findtext("name") or "").strip()
        corners = [finite(node.findtext(f"bndbox/{edge}")) for edge in _EDGES]
        flags = {flag: bool(finite(node.findtext(flag))) for flag in ("difficult", "truncated")}
        objects.add(label if name == wnid else name, corners, **flags)
    return objects.sample(labels=np.array([list(labels).index(label)], np.int64))


_SIZE = ("height", "width")
_EDGES = ("ymin", "xmin", "ymax", "xmax")


def _everything(tree: files.Tree) -> dict[str, files.Where]:
    """The files of the tree and of archives of annotations among them."""
    places = {name: tree.place(name) for name in tree.names}
    for name, where in sorted(places.items()):
        if name.lower().endswith((".txt", ".tsv", ".csv", ".mat")):
            tree.where(name)  # the tables are looked for among them
        if isinstance(where, str) and _BESIDE.fullmatch(posixpath.basename(name)):
            inside = files.tree(tree.where(name))
            folder = posixpath.dirname(name)
            places.update({posixpath.join(folder, n): inside.where(n) for n in inside.names})
    return places


def _folder_wnid(name: str) -> str | None:
    """The deepest folder that is a synset."""
    folders = name.split("/")[:-1]
    return next((f for f in reversed(folders) if synsets.WNID.fullmatch(f)), None)


def _wnid(name: str) -> str | None:
    """Of the deepest folder that is a synset, else of the name's beginning."""
    if wnid := _folder_wnid(name):
        return wnid
    base = posixpath.basename(name)
    match = synsets.WNID.match(base)
    return match[0] if match and base[len(match[0]) :][:1] in ("_", ".") else None


def _split(name: str) -> str | None:
    """Of its folders, as imagenette trains with pictures of ILSVRC2012's val; else of its name."""
    match = _NUMBERED.fullmatch(posixpath.basename(name))
    return split_of(name) or (match[1] if match else None)


def _truth(places: Mapping[str, files.Where]) -> dict[str, str]:
    """Name of a validation picture, without its ending -> synset."""
    bases = {posixpath.basename(name).lower(): name for name in places}
    if _SOLUTION in bases:
        rows = re.findall(
            r"(?m)^(ILSVRC2012_val_\d{8}),(n\d{8})\b", _text(places[bases[_SOLUTION]])
        )
        return dict(rows)
    if _TRUTH not in bases:
        return {}
    name = bases[_TRUTH]
    if "meta.mat" not in bases:
        raise SourceError(
            f"{name}: its numbers are ILSVRC2012_IDs; expected meta.mat of the development kit, "
            "which says what they are, found none"
        )
    wnids, _ = synsets.meta(places[bases["meta.mat"]])
    truth = {}
    for line, text in enumerate(_text(places[name]).split(), start=1):
        if not text.isdecimal() or int(text) not in wnids:
            raise SourceError(f"{name} line {line}: {text!r} is no ILSVRC2012_ID of meta.mat")
        truth[f"ILSVRC2012_val_{line:08d}"] = wnids[int(text)]
    return truth


def _class_of_boxes(where: files.Where | None) -> str | None:
    """The synset of the first object."""
    try:
        return None if where is None else parse(where).findtext("object/name", "").strip() or None
    except BadSample:
        return None


def _text(where: files.Where) -> str:
    return decoded(files.needed(where), errors="replace")


def _notes(tests: int, has_names: bool, places: Mapping[str, files.Where]) -> tuple[str, ...]:
    notes = []
    if tests:
        notes.append(f"{tests} pictures of test have no class and are not used")
    if not has_names:
        notes.append(
            "no table of synsets was found (words.txt, LOC_synset_mapping.txt or meta.mat): the "
            "classes are called by their synsets"
        )
    if any("blacklist" in name for name in places):
        notes.append("the development kit's blacklist of validation pictures is not applied")
    return tuple(notes)
