"""OIDv4 toolkit: train/CLASS/NAME.jpg with train/CLASS/Label/NAME.txt, an object per line.

A line is the class, whose name may hold blanks, then left, top, right, bottom in continuous pixels.
The toolkit stores a picture once for each of its classes: pictures of one split and name that are
of several class folders are joined, all their objects on the first.
Format: https://github.com/EscVM/OIDv4_ToolKit
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator

from convoy.data.files import files
from convoy.data.sample import BadSample, Listing
from convoy.data.sources import Options, SourceError, layout, listed

FOLDER = "Label"
_PROBE = 5

read = listed.read


def detect(tree: files.Tree) -> bool:
    """Texts of a class and four numbers in folders called Label."""
    for name in itertools.islice(_names(tree), _PROBE):
        try:
            lines = listed.text_of(tree, name).split("\n")
            if any(_object(name, line) for line in lines[:3] if line.strip()):
                return bool(layout.pictures(tree))
        except BadSample:
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the picture of every text. Raises SourceError."""
    tree = files.tree(path)
    entries: dict[tuple[str | None, str], listed.Entry] = {}
    rejected, joined = [], 0
    for name in _names(tree):
        folder, stem = posixpath.dirname(posixpath.dirname(name)), posixpath.basename(name)[:-4]
        split = layout.split_of(name)
        try:
            rows = enumerate(listed.text_of(tree, name).split("\n"), start=1)
            objects = tuple(
                _object(f"{name} line {number}", line) for number, line in rows if line.strip()
            )
        except BadSample as error:
            rejected.append((f"{folder}/{stem}", error.reason, error.detail))
            continue
        before = entries.get((split, stem))
        if before:
            joined += 1
            objects = before.objects + tuple(o for o in objects if o not in before.objects)
            entries[split, stem] = before._replace(objects=objects)
            continue
        entries[split, stem] = listed.Entry(f"{folder}/{stem}", name, objects, split=split)
    if not entries and not rejected:
        raise SourceError(f"{tree.root}: expected CLASS/{FOLDER}/*.txt; found none")
    notes = [f"{joined} texts are of pictures that another class has, too: joined"] * bool(joined)
    placed = (_placed(tree, entry) for entry in entries.values())
    return listed.listing(tree, placed, options, rejected=rejected, notes=notes)


def _placed(tree: files.Tree, entry: listed.Entry) -> listed.Entry:
    """The entry with its picture's full name, whatever its ending."""
    folder = posixpath.dirname(entry.picture)
    stems = {posixpath.splitext(name)[0]: name for name in tree.under(folder) if _beside(name)}
    return entry._replace(picture=stems.get(entry.picture, entry.picture))


def _beside(name: str) -> bool:
    return files.is_picture(name)


def _names(tree: files.Tree) -> Iterator[str]:
    for name in tree.names:
        folders = name.split("/")[:-1]
        if name.endswith(".txt") and len(folders) > 1 and folders[-1] == FOLDER:
            yield name


def _object(where: str, line: str) -> listed.Object:
    """Raises BadSample."""
    words = line.split()
    if len(words) < 5:
        detail = f"{where}: expected a class and four numbers, got {line!r:.80}"
        raise BadSample("corrupt_annotation", detail)
    left, top, right, bottom = listed.numbers(where, words[-4:])
    return listed.Object(" ".join(words[:-4]), (top, left, bottom, right))
