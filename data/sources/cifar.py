"""CIFAR-10 and CIFAR-100, the binary version, unpacked or as downloaded (.tar.gz).

CIFAR-10: `data_batch_1.bin` to 5 and `test_batch.bin`, rows of a class and 3072 bytes of pixels:
32 rows of 32 reds, then the greens, then the blues; names in `batches.meta.txt`. CIFAR-100:
`train.bin` and `test.bin`, rows of a coarse class, a fine class and the pixels; the fine ones are
used, with the names of `fine_label_names.txt`. https://www.cs.toronto.edu/~kriz/cifar.html
Pictures become PNGs.

The Python version is a pickle, which may run any program when it is opened: refused.
"""

from __future__ import annotations

import posixpath
import re

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, pixels
from convoy.data.sources.numbered import label_by_number

_CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer"]
_CIFAR10 += ["dog", "frog", "horse", "ship", "truck"]
_BATCH = re.compile(r"(?i)(data_batch_\d+|test_batch)\.bin")
_PIXELS = 3 * 32 * 32
_ROWS = 10_000  # read at once


def detect(tree: files.Tree) -> bool:
    """Names of the binary batches, or of the pickled ones, which `scan` explains."""
    return bool(_batches(tree)) or _pickled(tree)


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture; reads the classes. Raises SourceError."""
    tree = files.tree(path)
    batches = _batches(tree)
    if not batches:
        content = (
            "the Python version, whose pickles may run any program" if _pickled(tree) else "none"
        )
        raise SourceError(
            f"{tree.root}: expected the binary version of CIFAR (data_batch_1.bin or train.bin), "
            f"found {content}; take cifar-10-binary.tar.gz or cifar-100-binary.tar.gz"
        )
    heads = set(batches.values())
    if len(heads) > 1:
        raise SourceError(f"{tree.root}: holds CIFAR-10 and CIFAR-100; give the folder of one")
    head = heads.pop()
    labels, by_number = label_by_number(_names(tree, head), options.labels, tree.root)
    references, rejected = [], []
    for name in batches:
        split = "test" if posixpath.basename(name).lower().startswith("test") else "train"
        where, row = tree.where(name), head + _PIXELS
        for index, number in enumerate(_classes(tree, name, head)):
            source_id = f"{name}/{index:05d}"
            label = by_number[number] if number < len(by_number) else None
            if label is None:
                detail = f"{source_id}: class {number} is not among the labels"
                rejected.append((source_id, "unknown_class", detail))
                continue
            span = files.part(where, index * row + head, _PIXELS)
            references.append(Reference(source_id, split, span, label))
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), labels, tuple(sorted(rejected)))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture, as a PNG, with its class. Raises BadSample."""
    planes = pixels.load(reference.image, (3, 32, 32), max_pixels)
    picture = pixels.picture(planes.transpose(1, 2, 0))
    label = np.array([list(labels).index(reference.annotation)], np.int64)
    return sample_of(reference, picture, labels=label)


def _batches(tree: files.Tree) -> dict[str, int]:
    """Name of each file -> bytes of a row before its pixels: 1 of CIFAR-10, 2 of CIFAR-100."""
    heads = dict.fromkeys((n for n in tree.names if _BATCH.fullmatch(posixpath.basename(n))), 1)
    for name in tree.names:
        base = posixpath.basename(name)
        if base in ("train.bin", "test.bin") and _beside(tree, name, "fine_label_names.txt"):
            heads[name] = 2
    return heads


def _pickled(tree: files.Tree) -> bool:
    bases = {posixpath.basename(name) for name in tree.names}
    return {"batches.meta", "data_batch_1"} <= bases or {"meta", "train", "test"} <= bases


def _beside(tree: files.Tree, name: str, other: str) -> bool:
    return posixpath.join(posixpath.dirname(name), other) in tree


def _names(tree: files.Tree, head: int) -> list[str]:
    base = "batches.meta.txt" if head == 1 else "fine_label_names.txt"
    for name in tree.names:
        if posixpath.basename(name) == base:
            lines = tree.read(name).decode("utf-8-sig", "replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return _CIFAR10 if head == 1 else [str(number) for number in range(100)]


def _classes(tree: files.Tree, name: str, head: int):
    """The class of each row, the fine one where there are two."""
    where, row = tree.where(name), head + _PIXELS
    count, rest = divmod(files.length(where), row)
    if rest or not count:
        raise SourceError(
            f"{tree.root}: {name} has {files.length(where):,} bytes; expected rows of {row:,}. "
            "Fetch it again"
        )
    for start in range(0, count, _ROWS):
        rows = min(_ROWS, count - start)
        try:
            data = files.read(files.part(where, start * row, rows * row))
        except OSError as error:
            raise SourceError(f"{tree.root}: {name} cannot be read: {error.strerror}") from None
        yield from np.frombuffer(data, np.uint8)[head - 1 :: row].tolist()
