"""Which picture each annotation of a PASCAL data set is of.

By the name of the XML file without its ending. Where several pictures have that name (1.jpg, 1.png)
the XML's <filename> decides; where it names none of them all are rejected: the boxes of one on
another would be wrong in silence.
"""

from __future__ import annotations

import posixpath
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sources import voc_xml
from convoy.data.sources.voc_layout import years

IMAGE_FOLDERS = ("JPEGImages", "PNGImages", "Images", "Image", "Imgs", "Img")  # in any case
DATA = "data"  # FiftyOne's, with the XML files in labels; not ImageNet's Data


class Year(NamedTuple):
    """One folder with annotations and pictures; by key, the name without folder and ending."""

    texts: dict[str, str]
    pictures: dict[str, str]
    unclear: frozenset[str] = frozenset()  # keys of several pictures, where the XML names none
    rejected: tuple[tuple[str, str, str], ...] = ()  # these pictures
    cased: tuple[str, ...] = ()  # XML files that are called so in other upper and lower case alone


def find(tree: files.Tree) -> tuple[dict[str, dict[str, str]], dict[str, Year]]:
    """XML files by year and key; and the years that have pictures."""
    texts = years(tree, ".xml")
    if not texts:
        return {}, {}
    order = [name.lower() for name in IMAGE_FOLDERS]
    ranked: dict[str, dict[int, dict[str, list[str]]]] = {}  # year -> rank of the folder -> key
    for name in tree.pictures():
        *folders, _ = name.split("/")
        stem = posixpath.splitext(name)[0]
        for depth, folder in enumerate(folders):
            known = folder.lower() in order
            if (known or folder == DATA) and (root := "/".join(folders[:depth])) in texts:
                key = "/".join(stem.split("/")[depth + 1 :])
                rank = order.index(folder.lower()) if known else len(order) + 1
                if not known and key not in texts[root]:
                    continue
                ranked.setdefault(root, {}).setdefault(rank, {}).setdefault(key, []).append(name)
        if (root := "/".join(folders)) in texts:  # beside the XML files, or above their folder
            key = posixpath.basename(stem)
            by_key = ranked.setdefault(root, {}).setdefault(len(order), {})
            by_key.setdefault(key, []).append(name)
    found = {
        root: _year(tree, texts[root], by_rank[min(by_rank)])
        for root, by_rank in sorted(ranked.items())
    }
    return texts, found


def _year(tree: files.Tree, texts: dict[str, str], pictures: dict[str, list[str]]) -> Year:
    chosen, unclear, rejected = {}, set(), []
    for key, names in pictures.items():
        if len(names) == 1:
            chosen[key] = names[0]
            continue
        stated = voc_xml.file_name(tree.where(texts[key])) if key in texts else ""
        fits = [name for name in names if posixpath.basename(name) == stated]
        if fits:
            chosen[key] = fits[0]
            continue
        unclear.add(key)
        about = f"{texts[key]} names none of them as its <filename>" if key in texts else "no XML"
        detail = f"pictures of one name: {', '.join(names)}; {about}"
        reason = "ambiguous_picture" if key in texts else "missing_annotation"
        rejected += [(name, reason, f"{name}: {detail}") for name in names]
    texts, cased = _cased(texts, chosen)
    return Year(texts, chosen, frozenset(unclear), tuple(rejected), cased)


def _cased(texts: dict[str, str], pictures: dict[str, str]) -> tuple[dict[str, str], tuple]:
    """The XML files by the keys of their pictures, where these differ in upper and lower case."""
    alone: dict[str, list[str]] = {}
    for key in texts.keys() - pictures.keys():
        alone.setdefault(key.casefold(), []).append(key)
    without = [key for key in pictures.keys() - texts.keys()]
    folded = [key.casefold() for key in without]
    renamed = {
        alone[fold][0]: key
        for key, fold in zip(without, folded, strict=True)
        if len(alone.get(fold, ())) == 1 and folded.count(fold) == 1
    }
    by_key = {renamed.get(key, key): name for key, name in texts.items()}
    return by_key, tuple(sorted(texts[key] for key in renamed))
