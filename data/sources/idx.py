"""IDX: gray pictures and their classes in two files of bytes, as MNIST has them.

`train-images-idx3-ubyte` with `train-labels-idx1-ubyte`, `t10k-...` as test; as downloaded (.gz) or
unpacked, with "." or "-" before "idx"; below `path` wherever they lie. MNIST, Fashion-MNIST,
KMNIST, and one set of EMNIST, whose pictures are stored with rows and columns exchanged.

Header: 0, 0, 8 (bytes), number of dimensions, then each as a big-endian uint32.
http://yann.lecun.com/exdb/mnist/. Classes are called by their numbers, unless EMNIST's mapping.txt
says which characters they are, or a name has "fashion" in it. Pictures become PNGs.
"""

from __future__ import annotations

import posixpath
import re
import struct

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, pixels
from convoy.data.sources.layout import split_in
from convoy.data.sources.numbered import label_by_number
from convoy.data.sources.split import hashed_split

_NAME = re.compile(r"(?i)(.*?)(images|labels)[.-]idx([13])-ubyte(\.gz)?")
_FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]  # names of its README
_FASHION += ["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def detect(tree: files.Tree) -> bool:
    """A file of pictures and one of classes, by their names."""
    return bool(_pairs(tree))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture; reads the classes. Raises SourceError."""
    tree = files.tree(path)
    pairs = _pairs(tree)
    if not pairs:
        raise SourceError(
            f"{tree.root}: expected train-images-idx3-ubyte with train-labels-idx1-ubyte, or both "
            "with .gz, found none"
        )
    sets = {re.sub(r"(?i)train|test|t10k|val", "", key) for key in pairs}
    if len(sets) > 1:
        kinds = ", ".join(sorted(pairs))
        raise SourceError(f"{tree.root}: holds several data sets ({kinds}); give a folder of one")
    arrays = {key: _opened(tree, *pair) for key, pair in sorted(pairs.items())}
    codes, names = _names(tree, pairs, max(int(v.max(initial=0)) for _, _, v in arrays.values()))
    labels, by_code = label_by_number(names, options.labels, tree.root)
    label_of = dict(zip(codes, by_code, strict=True))
    references, rejected = [], []
    for key, (name, shape, values) in arrays.items():
        turned = "emnist" in key.lower()
        file_split = "test" if "t10k" in key.lower() else split_in(posixpath.basename(key))
        where, packed = tree.where(name), _packed(name)
        for index, value in enumerate(values.tolist()):
            source_id = f"{name.removesuffix('.gz')}/{index:06d}"
            label = label_of.get(value)
            if label is None:
                detail = f"{source_id}: class {value} is not among the labels"
                rejected.append((source_id, "unknown_class", detail))
                continue
            span = files.part(where, 16 + index * shape[1] * shape[2], shape[1] * shape[2], packed)
            split = file_split or hashed_split(source_id, options.holdout, options.seed)
            annotation = (label, *shape[1:], turned)
            references.append(Reference(source_id, split, span, annotation))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), labels, tuple(sorted(rejected)))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture, as a gray PNG, with its class. Raises BadSample."""
    label, height, width, turned = reference.annotation
    values = pixels.load(reference.image, (height, width), max_pixels)
    picture = pixels.picture(values.T if turned else values)
    return sample_of(reference, picture, labels=np.array([list(labels).index(label)], np.int64))


def _pairs(tree: files.Tree) -> dict[str, tuple[str, str]]:
    """What the names begin with -> names of the pictures and of the classes."""
    by_kind: dict[tuple[str, str], str] = {}
    for name in tree.names:  # "x" comes before "x.gz": what is unpacked already is taken
        match = _NAME.fullmatch(posixpath.basename(name))
        if match and (match[2].lower(), match[3]) in (("images", "3"), ("labels", "1")):
            key = posixpath.join(posixpath.dirname(name), match[1])
            by_kind.setdefault((key, match[2].lower()), name)
    keys = {key for key, _ in by_kind}
    both = [key for key in keys if (key, "images") in by_kind and (key, "labels") in by_kind]
    return {key: (by_kind[key, "images"], by_kind[key, "labels"]) for key in both}


def _opened(tree: files.Tree, pictures: str, classes: str):
    """The name of the pictures, their shape [N, H, W], and their classes [N]."""
    shape = _header(tree, pictures, 3)
    (count,) = _header(tree, classes, 1)
    if count != shape[0]:
        raise SourceError(
            f"{tree.root}: {pictures} holds {shape[0]:,} pictures, but {classes} {count:,} classes;"
            " the files do not belong together"
        )
    if not all(shape):
        raise SourceError(f"{tree.root}: {pictures} holds {shape[0]} pictures of {shape[1:]}")
    values = files.read(files.part(tree.where(classes), 8, count, _packed(classes)))
    return pictures, shape, np.frombuffer(values, np.uint8)


def _header(tree: files.Tree, name: str, dimensions: int) -> tuple[int, ...]:
    """The dimensions, checked against the length of the file. Raises SourceError."""
    where, packed = tree.where(name), _packed(name)
    length = 4 + 4 * dimensions
    try:
        magic, *shape = struct.unpack(
            f">{1 + dimensions}I", files.read(files.part(where, 0, length, packed))
        )
        if magic != 0x800 + dimensions:
            raise OSError(5, f"it begins with 0x{magic:08x}, expected 0x{0x800 + dimensions:08x}")
        total = length + int(np.prod(shape, dtype=object))
        files.read(files.part(where, total - 1, 1, packed))
    except OSError as error:
        raise SourceError(
            f"{tree.root}: {name} is no whole IDX file: {error.strerror}; fetch it again"
        ) from None
    try:
        files.read(files.part(where, total, 1, packed))
    except OSError:  # it ends where it should
        return tuple(shape)
    raise SourceError(f"{tree.root}: {name} is longer than the {total:,} bytes that it tells of")


def _names(tree, pairs, largest: int) -> tuple[list[int], list[str]]:
    """The numbers of the classes and their names."""
    key = sorted(pairs)[0]
    start = re.split(r"(?i)train|test", key)[0]
    mapping = f"{start}mapping.txt"
    if "emnist" in key.lower() and mapping in tree:
        rows = [line.split() for line in tree.read(mapping).decode("ascii", "replace").splitlines()]
        rows = [row for row in rows if len(row) > 1 and all(cell.isdigit() for cell in row)]
        return [int(row[0]) for row in rows], [chr(int(row[1])) for row in rows]
    codes = list(range(largest + 1))
    if "fashion" in f"{tree.root}/{key}".lower() and largest < len(_FASHION):
        return list(range(len(_FASHION))), list(_FASHION)
    return codes, [str(code) for code in codes]


def _packed(name: str) -> str:
    return "gzip" if name.lower().endswith(".gz") else ""
