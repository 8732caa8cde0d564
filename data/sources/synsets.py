"""WordNet synsets as class names, for ImageNet and its subsets.

A synset is n and eight digits (n01440764). Its name is the first lemma ("tench" of "tench, Tinca
tinca"); names that two synsets share are told apart: "crane (n02012849)". Names come from
ILSVRC2012's meta.mat, or from any text table of "n01440764<tab or space>tench, Tinca tinca", such
as words.txt, LOC_synset_mapping.txt and map_clsloc.txt. Classes are in the order of the synsets,
which is that of Keras and torchvision, not that of ILSVRC2012_ID.
"""

from __future__ import annotations

import collections
import io
import posixpath
import re
from collections.abc import Iterable, Mapping

from convoy.data.files import files
from convoy.data.sources import SourceError
from convoy.data.sources.voc_layout import decoded

WNID = re.compile(r"n\d{8}")
_ROW = re.compile(r"[\"']?(n\d{8})[\"']?(?:[\t ]|, *)[\t ]*(?:\d+[\t ]+)?(.*\S)")
_FIRST = ("meta.mat", "loc_synset_mapping.txt", "words.txt")  # tables, best first
_TABLE_BYTES = 64 << 20


def meta(where: files.Where) -> tuple[dict[int, str], dict[str, str]]:
    """Of meta.mat: ILSVRC2012_ID -> synset, and synset -> words. Raises SourceError."""
    import scipy.io

    try:
        rows = scipy.io.loadmat(io.BytesIO(files.read(where)), squeeze_me=True)["synsets"]
        rows = rows.reshape(-1)
        ids = [int(value) for value in rows["ILSVRC2012_ID"]]
        wnids, words = ([str(v).strip() for v in rows[key]] for key in ("WNID", "words"))
    except Exception as error:  # scipy raises many kinds on damaged files
        raise SourceError(
            f"{files.name_of(where)}: expected ILSVRC2012's table 'synsets' with ILSVRC2012_ID, "
            f"WNID and words: {type(error).__name__}: {error}"
        ) from None
    return dict(zip(ids, wnids, strict=True)), dict(zip(wnids, words, strict=True))


def words(places: Mapping[str, files.Where]) -> dict[str, str]:
    """Synset -> its words, of all tables among these files."""
    table: dict[str, str] = {}
    for name in sorted(places, key=_preference):
        base = posixpath.basename(name).lower()
        if base == "meta.mat":
            rows = meta(places[name])[1].items()
        elif base.endswith((".txt", ".tsv", ".csv")) and not WNID.match(base):
            rows = _rows(places[name])
        else:
            continue
        for wnid, text in rows:
            table.setdefault(wnid, text)
    return table


def _preference(name: str) -> tuple[int, str]:
    base = posixpath.basename(name).lower()
    return (_FIRST.index(base) if base in _FIRST else len(_FIRST), name)


def _rows(where: files.Where) -> list[tuple[str, str]]:
    """Of a text table; none where the file is another one."""
    if files.size(where) > _TABLE_BYTES:
        return []
    rows = [
        _ROW.fullmatch(line.strip())
        for line in decoded(files.needed(where), errors="replace").splitlines()
    ]
    return [(row[1], row[2].strip("\"'")) for row in rows if row and not row[2].isdigit()]


def names(wnids: Iterable[str], table: Mapping[str, str]) -> dict[str, str]:
    """Synset -> the name of its class, in the order of the classes."""
    first_words = {wnid: table.get(wnid, "").split(",")[0].strip() for wnid in sorted(set(wnids))}
    lemmas = {wnid: lemma or wnid for wnid, lemma in first_words.items()}
    counts = collections.Counter(lemmas.values())
    return {n: lemma if counts[lemma] == 1 else f"{lemma} ({n})" for n, lemma in lemmas.items()}


def classes(
    wnids: Iterable[str], table: Mapping[str, str], wanted: tuple[str, ...], root: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The labels, and synset -> label of those that have one.

    wanted: data.labels, synsets or names; empty = all. Raises SourceError where none of it occurs.
    """
    labels = names(wnids, table)
    if not wanted:
        return tuple(labels.values()), labels
    chosen = {n: n if n in wanted else name for n, name in labels.items()}
    chosen = {wnid: label for wnid, label in chosen.items() if label in wanted}
    if not chosen:
        raise SourceError(
            f"{root}: none of data.labels ({', '.join(wanted[:3])}, ...) is a synset or a name of "
            f"its classes, such as {', '.join([*labels, *labels.values()][:: max(1, len(labels))])}"
        )
    return wanted, chosen
