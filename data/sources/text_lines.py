"""Lines with a class each: how a file writes them, found by its first lines.

A `Form` is TREC's or fastText's pattern, or the mark between a table's columns with the columns of
class and text: by a header (label, text and their like), or else the first and all after it, if
the first holds few different short values and the last has several words.
"""

from __future__ import annotations

import csv
import io
import re
from typing import NamedTuple

from convoy.data.sources import SourceError

_CLASS_COLUMNS = ("label", "class", "category", "sentiment", "target", "polarity", "v1")
_TEXT_COLUMNS = ("text", "sentence", "review", "message", "tweet", "comment", "question", "v2")
_PATTERNS = (
    re.compile(r"([A-Z]+):[a-z]+ (.*)"),  # TREC
    re.compile(r"__label__(\S+)[ \t]+(.*)"),  # fastText
    re.compile(r"\((\d) (\(.*\))\)\s*$"),  # a tree of the Stanford Sentiment Treebank
    re.compile(r"(\d{1,2}) +((?=.*[^\W\d_])\S+ .*)"),  # a number, where there are few of them
)
_LEAF = re.compile(r"\(\d ([^()]+)\)")  # a word of a tree
_MOST = 0.9  # of the lines have the form


class Form(NamedTuple):
    """Either a pattern of two groups, class and sentence, or a table."""

    pattern: re.Pattern | None
    mark: str = ""
    label: int = 0  # column
    texts: tuple[int, ...] = ()  # columns; () = all after the class
    header: bool = False


class Row(NamedTuple):
    line: int  # from 1
    label: str
    sentence: str


def form(head: str, comma: bool) -> Form | None:
    """Of a file's first lines; `comma`: whether it may be a CSV."""
    filled = [line for line in lines(head) if line.strip()]
    if not filled:
        return None
    for pattern in _PATTERNS:
        found = [match[1] for match in map(pattern.match, filled) if match]
        few = 2 * len({*found}) <= len(found) or pattern in _PATTERNS[:2]
        if len(found) >= _MOST * len(filled) and few:
            return Form(pattern)
    for mark in "\t," if comma else "\t":
        columns = _columns([row for _, row in _cells("\n".join(filled), mark) if row], mark)
        if columns:
            return columns
    return None


def rows(text: str, form: Form) -> list[Row]:
    """Every line; the class is "" where the line has not the form. Raises SourceError."""
    if form.pattern:
        matched = [(form.pattern.match(line), line) for line in lines(text)]
        parts = [(m[1], _words(m[2])) if m else ("", line) for m, line in matched]
        return [Row(n, label, rest.strip()) for n, (label, rest) in enumerate(parts, start=1)]
    parsed = []
    for number, cells in _cells(text, form.mark)[1 if form.header else 0 :]:
        if len(cells) < 2:
            parsed.append(Row(number, "", "".join(cells).strip()))
            continue
        columns = form.texts or range(1, len(cells))
        sentence = " ".join(cells[i].strip() for i in columns if i < len(cells))
        label = cells[form.label].strip() if form.label < len(cells) else ""
        parsed.append(Row(number, label, sentence))
    return parsed


def _words(sentence: str) -> str:
    """A sentence, or the leaves of its tree."""
    leaves = _LEAF.findall(sentence) if sentence.startswith("(") else []
    return " ".join(leaves) or sentence


def decoded(data: bytes) -> tuple[str, str]:
    """(text, the encoding's name): of files that are not UTF-8 what Windows or Latin-1 reads."""
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "Latin-1"


def repaired(text: str, encodings: set[str]) -> str:
    """Text of bytes that were no UTF-8 (surrogateescape), as `decoded` reads them; says as what."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        text, encoding = decoded(text.encode("utf-8", "surrogateescape"))
        encodings.add(encoding)
        return text


def lines(text: str) -> list[str]:
    """Lines by CR and LF alone: what else splitlines() takes for an end occurs in sentences."""
    pieces = re.split(r"\r\n|\n|\r", text)
    return pieces if pieces[-1] else pieces[:-1]


def _columns(table: list[list[str]], mark: str) -> Form | None:
    header = [cell.strip().lower() for cell in table[0]] if table else []
    label = next((header.index(name) for name in _CLASS_COLUMNS if name in header), None)
    text = next((header.index(name) for name in _TEXT_COLUMNS if name in header), None)
    if label is not None and text is not None:
        return Form(None, mark, label, (text,), header=True)
    wide = [row for row in table if len(row) > 1]
    if len(wide) < max(1, _MOST * len(table)):
        return None
    values = [row[0] for row in wide]
    few = 2 * len({*values}) <= len(values) and all(len(value.split()) <= 3 for value in values)
    sentences = sum(len(row[-1].split()) > 1 for row in wide)
    return Form(None, mark) if few and 2 * sentences >= len(wide) else None


def _cells(text: str, mark: str) -> list[tuple[int, list[str]]]:
    """(line, cells) of a table; only a CSV quotes."""
    quoting = csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, quoting=quoting)
    table, line = [], 1
    try:
        for row in reader:
            table.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(f"line {reader.line_num}: not a table: {error}") from None
    return table
