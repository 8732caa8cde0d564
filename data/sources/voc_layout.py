"""Where the files of a PASCAL data set lie: its years, their annotations, and the lists of splits.

A year is a folder with Annotations in it (`annotations/xmls` and the like are understood), or one
where each picture has its annotation beside it. A key is a name below that folder without its
ending, such as "000005" or "train/000005". Lists are ImageSets/Main/train.txt and so on, a key a
line; what follows the key (an object's number, 1 or -1 of a class's list) is passed over.
"""

from __future__ import annotations

import codecs
import os
import posixpath
from collections.abc import Container, Iterable, Sequence

from convoy.data.files import files
from convoy.data.sources import Options, SourceError
from convoy.data.sources.split import SPLITS, hashed_split

ANNOTATIONS = (
    "annotations",
    "annotation",
    "annots",
    "annot",
    "xmls",
    "xml",
    "labels",
)  # lower case
_LISTS = {**SPLITS, "trainval": "trainval"}  # names of lists -> split
_WIDE = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "sjis": "cp932"}
_WIDE.update({name: name for name in ("gb18030", "big5", "euc-jp", "euc-kr", "cp932", "cp949")})


def years(tree: files.Tree, ending: str) -> dict[str, dict[str, str]]:
    """Folder of each year -> key -> name of the annotation file with this ending."""
    by_year: dict[str, dict[str, str]] = {}
    for name in tree.names:
        folder, _, base = name.rpartition("/")
        if not base.lower().endswith(ending) or base.startswith("."):
            continue
        parts = folder.split("/") if folder else []
        depths = [i for i, part in enumerate(parts) if part.lower() in ANNOTATIONS]
        top = end = depths[-1] if depths else len(parts)
        while top and parts[top - 1].lower() in ANNOTATIONS:
            top -= 1
        key = "/".join([*parts[end + 1 :], base[: -len(ending)]])
        by_year.setdefault("/".join(parts[:top]), {})[key] = name
    return by_year


def prefixes(tree: files.Tree, roots: Sequence[str]) -> dict[str, str]:
    """Folder of each year -> what its source_ids begin with: its own name where that is unique."""
    names = [posixpath.basename(root) for root in roots]
    top = os.path.basename(os.path.abspath(tree.root))
    return {
        root: (name if names.count(name) == 1 else root) or top
        for root, name in zip(roots, names, strict=True)
    }


def split_of(root: str, key: str, source_id: str, options: Options) -> str:
    """By the innermost folder that is named after a split, or else by a hash."""
    folders = [*root.split("/"), *key.split("/")[:-1]]
    splits = [SPLITS[part.lower()] for part in folders if part.lower() in SPLITS]
    return splits[-1] if splits else hashed_split(source_id, options.holdout, options.seed)


def lists(
    tree: files.Tree, root: str, folders: Sequence[str], all_keys: Container[str]
) -> dict[str, list[str]]:
    """Split -> keys in the order of its list, of the first folder in ImageSets that has any.

    Where a split has lists of single classes alone (cat_train.txt), it is all that they name.
    """
    sets = posixpath.join(root, "ImageSets")
    names = tree.under(sets)
    for folder in folders:
        inside = posixpath.join(sets, folder) if folder else sets
        plain: dict[str, dict[str, None]] = {}
        of_classes: dict[str, dict[str, None]] = {}
        for name in names:
            stem, ending = posixpath.splitext(posixpath.basename(name))
            split = _LISTS.get(stem.rpartition("_")[2].lower())
            if posixpath.dirname(name) == inside and ending.lower() == ".txt" and split:
                kind = of_classes if "_" in stem else plain
                kind.setdefault(split, {}).update(dict.fromkeys(_keys(tree, name, all_keys)))
        by_split = {split: list(keys) for split, keys in {**of_classes, **plain}.items() if keys}
        if by_split:
            return by_split
    return {}


def check_lists(tree: files.Tree, roots: Iterable[str], options: Options) -> None:
    """Raises SourceError where no year has lists in the folder of ImageSets that was asked for."""
    folder = options.image_sets
    if folder and not any(lists(tree, root, [folder], ()) for root in roots):
        raise SourceError(
            f"{tree.root}: data.image_sets {folder!r}: expected ImageSets/{folder}/train.txt or "
            f"another list there, in {' or '.join(map(repr, roots))}; found none"
        )


def decoded(data: bytes, declared: str = "", errors: str = "strict") -> str:
    """Text of UTF-8, of UTF-16 by its mark or its NUL bytes, or as declared.

    Raises UnicodeDecodeError.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors)
    for start, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if data.startswith(start):
            return data.decode(encoding, errors)
    return data.decode(_WIDE.get(declared.lower(), "utf-8-sig"), errors)


def _keys(tree: files.Tree, name: str, all_keys: Container[str]) -> list[str]:
    try:
        text = decoded(tree.read(name), errors="surrogateescape")
    except UnicodeDecodeError as error:  # UTF-16 alone can be that damaged
        raise SourceError(f"{tree.root}: {name} is damaged text: {error}") from None
    return [_key(line, all_keys) for line in map(str.strip, text.splitlines()) if line]


def _key(line: str, all_keys: Container[str]) -> str:
    """The key of a line such as `000005`, `000005 -1`, `a b 1`, `JPEGImages/000005.jpg`."""
    first = line.split()[0]
    for word in (line, line.rsplit(None, 1)[0], first):
        stem = posixpath.splitext(word)[0] if files.names_picture(word) else word
        for key in (word, stem, stem.partition("/")[2]):
            if key in all_keys:
                return key
    return posixpath.splitext(first)[0] if files.names_picture(first) else first
