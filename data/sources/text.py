"""Sentences with a class, for text classification.

Layouts:
* one sentence per line, one file per class: rt-polarity.pos and rt-polarity.neg (the ending is the
  class, where endings differ), or pos.txt and neg.txt (the name is);
* one file per text, in one folder per class: train/pos/0_9.txt (IMDB);
* one sentence per line, with its class (data/sources/text_lines.py): "DESC:manner How did ..."
  (TREC; the part before ":" is the class), "__label__x sentence" (fastText), "3 sentence" and the
  trees of the Stanford Sentiment Treebank, "class<TAB>sentence", CSV.
Splits are folders or words of the file's name; a file without one beside a train file is "test"
(TREC_10.label). Otherwise a hash of the sentence decides, so that equal sentences share a split.

A file is UTF-8, or else Windows-1252 (what is called Latin-1 mostly is), or else Latin-1. A file
that holds nine tenths of the sentences of another, of the same classes and split, is left out,
with a note. Samples have no picture; a source_id is FILE:LINE, or the file.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, layout, text_lines
from convoy.data.sources.split import SPLITS, hashed_split
from convoy.data.sources.text_lines import Form, Row

_ABOUT = re.compile(r"(?i)(readme|license|licence|copying|source|citation|changelog|notes?)(\..*)?")
_TABLES = ("csv", "tsv", "txt", "label", "data", "")
_OTHER = re.compile(
    "md|json|jsonl|xml|html|py|ya?ml|np[yz]|pkl|h5|mat|pdf|gz|zip|feat|vocab|pgn|sh|log"
)
_LETTER = re.compile(r"[^\W\d_]")
COPY = 0.9  # part of its sentences that makes a file the copy of another
_PROBE = 1 << 16  # bytes
MAX_BYTES = 64 << 20  # of one text that is a file of its own


class _File(NamedTuple):
    """One file of sentences."""

    name: str
    rows: list[Row]
    split: str | None


def detect(tree: files.Tree) -> bool:
    """A layout above, and no picture."""
    if tree.pictures():
        return False
    return bool(_class_files(tree) or _class_folders(tree) or _tables(tree))


def scan(path, options: Options = Options()) -> Listing:
    """Lists every sentence. Raises SourceError."""
    tree = files.tree(path)
    notes: list[str] = []
    if by_name := _class_files(tree):
        parsed = [_File(n, _rows(_text(tree, n, notes), c), _split(n)) for n, c in by_name]
    elif folders := _class_folders(tree):
        return _whole_files(tree, folders, options)
    elif tables := _tables(tree):
        parsed = [
            _File(n, text_lines.rows(_text(tree, n, notes), form), _split(n)) for n, form in tables
        ]
    else:
        raise SourceError(
            f"{tree.root}: expected sentences with classes, such as x.pos and x.neg, pos/*.txt and "
            "neg/*.txt, lines 'class<TAB>sentence', or a CSV with columns label and text; found "
            f"{', '.join(tree.names[:5]) or 'no file'}"
        )
    parsed = _without_copies(parsed, notes)
    for name in {name for name, _ in _candidates(tree)} - {file.name for file in parsed}:
        tree.pass_over(name, "no sentences with classes, or those of another file")
    splits = {file.split for file in parsed}
    default_split = "test" if "train" in splits else None
    names = options.labels or tuple(sorted({row[1] for file in parsed for row in file.rows} - {""}))
    references, rejected = [], []
    for file in parsed:
        for line, label, sentence in file.rows:
            source_id = f"{file.name}:{line}"
            reason, detail = _fault(label, sentence, names)
            if reason:
                rejected.append((source_id, reason, f"{source_id}: {detail}"))
                continue
            split = file.split or default_split
            split = split or hashed_split(sentence, options.holdout, options.seed)
            references.append(Reference(source_id, split, "", (label, sentence)))
    return _listing(references, names, rejected, notes)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One sentence. Raises BadSample."""
    label, sentence = reference.annotation
    if sentence is None:
        sentence = _read_file(reference.image)
    return Sample(
        source_id=reference.source_id,
        split=reference.split,
        image=b"",
        height=0,
        width=0,
        labels=np.array([list(labels).index(label)], np.int64),
        text=sentence,
    )


def _read_file(where: files.Where) -> str:
    name = files.name_of(where)
    if files.size(where) > MAX_BYTES:
        raise BadSample("too_large", f"{name}: {files.size(where):,} bytes of text")
    try:
        text = text_lines.decoded(files.read(where))[0].strip()
    except OSError as error:
        raise BadSample("missing_text", f"{name}: {error.strerror}") from None
    if not text:
        raise BadSample("empty_text", f"{name}: no text in the file")
    return text


def _whole_files(tree: files.Tree, folders: list[tuple[str, str]], options: Options) -> Listing:
    """Of one file per text."""
    notes = []
    bare = [name for name, label in folders if label.lower() in _BARE]
    if bare:
        notes.append(f"{len(bare)} texts without a class are left out, such as {bare[0]}")
    folders = [row for row in folders if row[1].lower() not in _BARE]
    names = options.labels or tuple(sorted({label for _, label in folders}))
    references, rejected = [], []
    for name, label in folders:
        if label not in names:
            detail = f"{name}: class folder {label!r} is not among the labels given"
            rejected.append((name, "unknown_class", detail))
            continue
        split = layout.split_of(name) or hashed_split(name, options.holdout, options.seed)
        references.append(Reference(name, split, tree.where(name), (label, None)))
    return _listing(references, names, rejected, notes)


_BARE = ("unsup", "unlabeled", "unlabelled")
_NO_CLASSES = ("annotations", "imagesets", "images", "labels", "lists", "docs")


def _listing(references, names, rejected, notes) -> Listing:
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), names, tuple(sorted(rejected)), notes=tuple(notes))


def _fault(label: str, sentence: str, names) -> tuple[str, str]:
    if not sentence:
        return "empty_text", "no sentence in the line"
    if not label:
        return "missing_annotation", f"no class for {sentence[:60]!r}"
    if label not in names:
        return "unknown_class", f"class {label!r} is not among the labels given"
    return "", ""


def _without_copies(parsed: list[_File], notes: list[str]) -> list[_File]:
    """Of two files that hold mostly the same, the one of the shorter name is kept."""
    kept: list[tuple[_File, set]] = []
    for file in sorted(parsed, key=lambda file: (len(file.name), file.name)):
        rows = {row[1:] for row in file.rows}
        for other, others in kept:
            same = len(rows & others)
            if other.split == file.split and 0 < COPY * len(rows) <= same:
                notes.append(
                    f"{file.name} is left out: {same} of its {len(rows)} sentences "
                    f"are in {other.name}"
                )
                break
        else:
            kept.append((file, rows))
    return sorted(file for file, _ in kept)


def _candidates(tree: files.Tree) -> list[tuple[str, str]]:
    """(name, ending) of files that may hold sentences."""
    candidates = []
    for name in tree.names:
        base = posixpath.basename(name)
        stem, _, ending = base.rpartition(".")
        ending = ending.lower() if stem else ""
        hidden = name.startswith(".") or "/." in name
        if not (
            hidden or _ABOUT.fullmatch(base) or _OTHER.fullmatch(ending) or files.is_picture(name)
        ):
            candidates.append((name, ending))
    return candidates


def _class_files(tree: files.Tree) -> list[tuple[str, str]]:
    """(name, class) of one file per class; empty where that is not the layout."""
    candidates = _candidates(tree)
    if len({layout.place(name).rest for name, _ in candidates}) > 1:
        return []
    endings = {ending for _, ending in candidates}
    if not endings & {*_TABLES} and len(endings) > 1:
        if endings & SPLITS.keys():  # stsa.fine.train, stsa.fine.dev: splits, not classes
            return []
        by_class = {name: name.rpartition(".")[2] for name, _ in candidates}
    elif endings == {"txt"}:
        by_class = {name: posixpath.basename(name)[:-4] for name, _ in candidates}
        if any(layout.split_in(label) for label in by_class.values()) or _tables(tree):
            return []
    else:
        return []
    folders = {posixpath.dirname(name) for name in by_class}
    classes = set(by_class.values())
    valid = len(classes) > 1 and all(
        classes == {c for n, c in by_class.items() if posixpath.dirname(n) == folder}
        for folder in folders
    )
    return sorted(by_class.items()) if valid and all(_sentences(tree, n) for n in by_class) else []


def _class_folders(tree: files.Tree) -> list[tuple[str, str]]:
    """(name, class) of one file per text; the deepest folder is the class."""
    texts = [
        (name, posixpath.basename(posixpath.dirname(name)))
        for name, ending in _candidates(tree)
        if "/" in name and (ending in ("txt", "") or ending.isdigit())
    ]
    texts = [(name, label) for name, label in texts if not layout.split_of(f"{label}/x")]
    sample = {label: name for name, label in texts}
    around = {layout.place(posixpath.dirname(posixpath.dirname(n)) + "/x").rest for n, _ in texts}
    if len(sample) < 2 or len(around) > 1 or {label.lower() for label in sample} & {*_NO_CLASSES}:
        return []
    return texts if all(_is_text(tree, name) for name in sample.values()) else []


def _tables(tree: files.Tree) -> list[tuple[str, Form]]:
    """(name, form) of the files with a class in each line; all of one ending have one form."""
    tables: list[tuple[str, Form]] = []
    for ending in (*_TABLES, *SPLITS, "all"):
        names = [n for n, end in _candidates(tree) if end == ending and _is_text(tree, n)]
        forms = (
            text_lines.form(text_lines.decoded(_head(tree, n))[0], ending == "csv") for n in names
        )
        form = next(filter(None, forms), None)
        tables += [(name, form) for name in names if form]
    return tables


def _rows(text: str, label: str) -> list[Row]:
    lines = text_lines.lines(text)
    return [Row(n, label, line.strip()) for n, line in enumerate(lines, start=1)]


def _split(name: str) -> str | None:
    return layout.split_of(name) or layout.split_in(posixpath.basename(name))


def _text(tree: files.Tree, name: str, notes: list[str]) -> str:
    text, encoding = text_lines.decoded(tree.read(name))
    if encoding != "UTF-8":
        notes.append(f"{name} is not UTF-8 and was read as {encoding}")
    return text


def _head(tree: files.Tree, name: str) -> bytes:
    """The first bytes of a file, up to the end of a line."""
    data = layout.beginning(tree, name, _PROBE)
    return data[: data.rfind(b"\n") + 1] or data if len(data) == _PROBE else data


def _is_text(tree: files.Tree, name: str) -> bool:
    data = _head(tree, name)
    return bool(data.strip()) and b"\0" not in data


def _sentences(tree: files.Tree, name: str) -> bool:
    """Whether most lines have several words, not numbers alone."""
    lines = [
        line.split()
        for line in text_lines.decoded(_head(tree, name))[0].splitlines()
        if line.strip()
    ]
    said = sum(len(words) > 1 and any(map(_LETTER.search, words)) for words in lines)
    return _is_text(tree, name) and 2 * said > len(lines)
