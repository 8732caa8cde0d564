"""The classes of a PASCAL data set by a list that lies with it.

class_names.txt (labelme's, and Convoy's) always counts. labelmap.txt (CVAT), classes.txt,
labels.txt and predefined_classes.txt (labelImg) count where they name every class of the XML files;
a list that does not is told.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from convoy.data.files import files
from convoy.data.sample import Told
from convoy.data.sources.voc_layout import ANNOTATIONS, decoded

NAMES = "class_names.txt"
NO_CLASSES = ("__ignore__", "_background_")
_OTHERS = ("labelmap.txt", "classes.txt", "labels.txt", "predefined_classes.txt")


def class_names(
    tree: files.Tree, roots: Iterable[str], found: Iterable[str]
) -> tuple[tuple[str, ...], list[Told]]:
    """(names in order, () = there is no list; lists that are not followed).

    roots: folders of the years; found: classes in the XML files.
    """
    folders = [*dict.fromkeys([*roots, ""])]
    for root in folders:
        name = posixpath.join(root, NAMES)
        if name in tree:
            lines = _lines(tree, name)
            return tuple(line for line in lines if line not in NO_CLASSES), []
    told: list[Told] = []
    for name in _lists(tree, folders):
        lines = _lines(tree, name)
        if name.endswith("labelmap.txt"):  # "# label:color_rgb:parts:actions"
            lines = [line.partition(":")[0] for line in lines if not line.startswith("#")]
            lines = [line for line in lines if line != "background"]
        lines = list(dict.fromkeys(lines))
        missing = sorted({*found} - {*lines})
        if lines and not missing:
            return tuple(lines), told
        if lines:
            why = f"not followed: it lacks {', '.join(missing[:5])}, which XML files name"
            told.append(Told("lists of classes", 1, why, (name,)))
    return (), told


def _lists(tree: files.Tree, folders: list[str]) -> list[str]:
    """Lists in a year, or in its folder of annotations."""
    wanted = []
    for name in tree.names:
        folder, base = posixpath.split(name)
        above, last = posixpath.split(folder)
        if base.lower() in _OTHERS and (
            folder in folders or (last.lower() in ANNOTATIONS and above in folders)
        ):
            wanted.append((_OTHERS.index(base.lower()), name.count("/"), name))
    return [name for *_, name in sorted(wanted)]


def _lines(tree: files.Tree, name: str) -> list[str]:
    text = decoded(tree.read(name), errors="replace")
    return [line for line in map(str.strip, text.split("\n")) if line]
