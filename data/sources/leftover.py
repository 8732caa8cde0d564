"""What of a data set no reader uses, and whether it annotates the pictures.

A reader says what it uses by reading it: `Tree.opened` holds what it asked for since the format was
found, `Tree.passed_over` what it looked at and left. Everything else is left over.

An annotation file is one that has the name of a picture (ann/1.jpg.json, label_2/000001.txt), that
holds file names of pictures with something said of them, or a table of a program (.mat, .xlsx,
.parquet): no list of names alone, as of
splits, no prose about the set (README, LICENSE), and no file that names no picture.
"""

from __future__ import annotations

import collections
import csv
import posixpath
import re
from collections.abc import Iterable, Iterator

from convoy.data.files import files
from convoy.data.sample import Told
from convoy.data.sources import SourceError, layout, source
from convoy.data.sources.number import commas

# Readers that take classes from names of folders, or none: what annotates would be lost to them.
BY_FOLDERS = ("folder", "pictures", "pairs", "style")
_ANNOTATION = re.compile(
    r"txt|json|jsonl|ndjson|xml|csv|tsv|mat|np[yz]|ya?ml|pts|ann|anno|gt|cat|h5|xlsx?|ods|parquet|pkl"
)
_TABLES = ("mat", "xls", "xlsx", "ods", "parquet", "pkl")  # annotate, whatever they are called
_TEXT = ("txt", "csv", "tsv", "json", "jsonl", "ndjson", "xml", "ann", "anno", "gt")
_PROSE = re.compile(r"(?i)(read_?me|licen[sc]e|copying|source|citation|changelog|credits)\b")
_LOOK_BYTES = 1 << 16
_PROBE = 20  # files of one folder's name and ending that are looked into
_GROUPS = 20  # groups that are told by themselves
_FOLDERS = 5  # names of folders that one ending is told by; of more, as one group
EXAMPLES = 3


def check(tree: files.Tree, format_name: str, left: Iterable[str]) -> None:
    """Raises SourceError where a set found to be of folders holds annotation files of its own."""
    own = getattr(source(format_name), "samples", None)  # of a reader of other files than pictures
    if format_name not in BY_FOLDERS and own is None:
        return
    found = annotations(tree, left, own(tree) if own else layout.pictures(tree))
    if not found:
        return
    groups = "; ".join(
        f"{told.count} {told.what}, e.g. {told.examples[0]}{_begins(tree, told.examples[0])}"
        for told in found[:5]
    )
    raise SourceError(
        f"{tree.root}: looks like format {format_name!r}, but holds annotation files that no "
        f"reader knows and that would not be used: {groups}. If the names of the folders alone are "
        f"meant, say so: --format {format_name}, or data.format: {format_name} in a recipe. Else "
        "convert the annotations to a format of docs/data.md"
    )


def _begins(tree: files.Tree, name: str) -> str:
    """What a text begins with, to tell its format by."""
    if name.rpartition(".")[2].lower() not in _TEXT:
        return ""
    try:
        text = layout.beginning(tree, name, _LOOK_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ""
    words = text.split()
    first = " ".join(words)[:60]
    return f" (it begins {first!r}{commas(words[:_PROBE])})" if first else ""


def unused_files(tree: files.Tree, claimed: set[str]) -> list[str]:
    """Names of the files but pictures that were not read, and that no reference needs."""
    used = (tree.opened - tree.passed_over.keys()) | {*tree.unpacked}
    known = used | claimed
    return [n for n in tree.names if n not in known and not tree.is_picture(n, hidden=True)]


def told_files(tree: files.Tree, left: Iterable[str]) -> tuple[Told, ...]:
    """What is left over, by the folder's name and the ending; with the reader's reason."""
    by_reason = collections.defaultdict(list)
    for name in left:
        by_reason[tree.passed_over.get(name, "no reader of this format uses it")].append(name)
    told = [group for why, names in by_reason.items() for group in _grouped(names, why)]
    told.sort(key=lambda group: (-group.count, group.what, group.why))
    rest = told[_GROUPS:]
    if not rest:
        return tuple(told)
    more = Told("other files", sum(g.count for g in rest), "no reader of this format uses them",
                tuple(g.examples[0] for g in rest[:EXAMPLES]))  # fmt: skip
    return (*told[:_GROUPS], more)


def told_empty(tree: files.Tree) -> tuple[Told, ...]:
    """Folders without anything in them: a class, perhaps, whose pictures are not there."""
    names = sorted(layout.visible(tree.empty))
    return (Told("folders", len(names), "are empty", tuple(names[:EXAMPLES])),) if names else ()


def told_pictures(names: Iterable[str], why: str) -> tuple[Told, ...]:
    """Pictures by their folder."""
    by_folder = collections.defaultdict(list)
    for name in names:
        by_folder[posixpath.dirname(name)].append(name)
    groups = sorted(by_folder.items(), key=lambda item: (-len(item[1]), item[0]))
    told = [Told("pictures", len(own), why, tuple(own[:EXAMPLES])) for _, own in groups[:_GROUPS]]
    if rest := [name for _, own in groups[_GROUPS:] for name in own]:
        told.append(Told("pictures", len(rest), why, tuple(rest[:EXAMPLES])))
    return tuple(told)


def annotations(tree: files.Tree, left: Iterable[str], samples: Iterable[str]) -> list[Told]:
    """Those of the files that annotate samples: pictures, or sounds and series."""
    bases = {posixpath.basename(name) for name in samples}
    stems = bases | {base.rpartition(".")[0] for base in bases}
    found, looked = [], collections.Counter()
    for name in left:
        folder, base = posixpath.split(name)
        stem, _, ending = base.rpartition(".")
        ending = ending.lower()
        if (
            _PROSE.match(base)
            or not _ANNOTATION.fullmatch(ending)
            or name.startswith(".")
            or "/." in name
        ):
            continue
        key = posixpath.basename(folder), ending
        if stem in stems or ending in _TABLES:
            found.append(name)
        elif ending in _TEXT and looked[key] < _PROBE:
            looked[key] += 1
            if _speaks_of(tree, name, ending, bases, stems):
                found.append(name)
    return sorted(_grouped(found, "annotates samples"), key=lambda told: -told.count)


def _grouped(names: Iterable[str], why: str) -> Iterator[Told]:
    groups = collections.defaultdict(list)
    for name in names:
        folder, base = posixpath.split(name)
        ending = base.rpartition(".")[2].lower() if "." in base[1:] else ""
        groups[posixpath.basename(folder), ending].append(name)
    apart = collections.Counter(ending for folder, ending in groups if folder)
    for folder, ending in [key for key in groups if key[0] and apart[key[1]] > _FOLDERS]:
        groups[None, ending] += groups.pop((folder, ending))
    for (folder, ending), own in groups.items():
        what = f".{ending} files" if ending else "files without an ending"
        where = f" in folders called {folder}" if folder else " at the top"
        where = f" in {apart[ending]} folders" if folder is None else where
        yield Told(what + where, len(own), why, tuple(own[:EXAMPLES]))


def _speaks_of(tree, name: str, ending: str, bases: set[str], stems: set[str]) -> bool:
    """Whether a file holds names of pictures and something of them."""
    try:
        text = layout.beginning(tree, name, _LOOK_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return False
    if ending in ("csv", "tsv"):
        return _table_speaks_of(text, "\t" if ending == "tsv" else ",", stems)
    if ending in ("json", "jsonl", "ndjson"):
        values = re.findall(r'"((?:[^"\\\n]|\\.)*)"', text)
        rest = re.sub(r'"(?:[^"\\\n]|\\.)*"', "", text)
        lists_alone = not re.search(r"\d|true|false|null", rest)
        return not lists_alone and any(_base(value) in bases for value in values)
    if ending == "xml":
        return any(_base(value) in bases for value in re.findall(r"[^<>\"'\s][^<>\"']*", text))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if _base(line) in bases]
    if len(named) == len(lines):
        return False  # a list of pictures
    return bool(named) or any(
        _base(word) in bases for line in lines for word in re.split(r"[\s,;|\"']+", line)
    )


def _table_speaks_of(text: str, delimiter: str, stems: set[str]) -> bool:
    try:
        rows = [row for row in csv.reader(text.splitlines()[:200], delimiter=delimiter) if row]
    except csv.Error:
        return False
    width = max(map(len, rows), default=0)
    hits = (
        sum(_base(row[column].strip()) in stems for row in rows if column < len(row))
        for column in range(width)
    )
    return width > 1 and any(2 * count >= max(len(rows) - 1, 1) for count in hits)


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
