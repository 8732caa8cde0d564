"""Pretrained vectors of words, as word2vec writes them, into a text network.

.bin: a line "WORDS NUMBERS", then of each word its bytes, a blank and float32 numbers; anything
else is text, one word and its numbers per line, with such a first line or without (GloVe).
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import keras
import numpy as np

from convoy.models.text.text_cnn import VECTOR

LONGEST = 1 << 16  # bytes of one word


def assign(
    model: keras.Model, vocabulary: Sequence[str], path: str | os.PathLike
) -> dict[str, int]:
    """Gives every channel the file's vectors; words that it lacks keep theirs.

    Returns {"found", "words"}. Raises ValueError for a file of other vectors, or of none of our
    words.
    """
    place = {word: row for row, word in enumerate(vocabulary, start=1)}
    layers = [model.get_layer(name) for name in ("vectors", "fixed_vectors") if _has(model, name)]
    start = np.array(layers[0].embeddings)
    assigned = set()
    for word, vector in read(path):
        if word in place and word not in assigned:
            start[place[word]] = vector
            assigned.add(word)
    if not assigned:
        raise ValueError(f"{path}: holds a vector of none of our {len(vocabulary)} words")
    for layer in layers:
        layer.embeddings.assign(start)
    return {"found": len(assigned), "words": len(vocabulary)}


def read(path: str | os.PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """(word, float32 [VECTOR]) of each entry."""
    with open(path, "rb") as file:
        if pathlib.Path(path).suffix == ".bin":
            yield from _binary(file, path)
        else:
            yield from _lines(file, path)


def _binary(file: BinaryIO, path) -> Iterator[tuple[str, np.ndarray]]:
    head = file.readline(100).split()
    if len(head) != 2 or not all(part.isdigit() for part in head):
        raise ValueError(f"{path}: expected a first line 'WORDS NUMBERS', got {head[:2]!r}")
    count, numbers = map(int, head)
    _check(path, numbers)
    for index in range(count):
        word = bytearray()
        while (letter := file.read(1)) not in (b" ", b"") and len(word) < LONGEST:
            word += letter
        data = file.read(4 * numbers)
        if letter != b" " or len(data) != 4 * numbers:
            raise ValueError(f"{path}: ends inside entry {index + 1} of {count}")
        yield word.decode(errors="replace").lstrip("\n"), np.frombuffer(data, "<f4")


def _lines(file: BinaryIO, path) -> Iterator[tuple[str, np.ndarray]]:
    for number, line in enumerate(file, start=1):
        word, *cells = line.decode(errors="replace").rstrip().split(" ")
        if number == 1 and len(cells) == 1:
            continue
        _check(path, len(cells), f" in line {number}")
        try:
            yield word, np.array(cells, np.float32)
        except ValueError:
            raise ValueError(f"{path}: expected numbers after the word in line {number}") from None


def _check(path, numbers: int, where: str = "") -> None:
    if numbers != VECTOR:
        raise ValueError(f"{path}: expected vectors of {VECTOR} numbers, got {numbers}{where}")


def _has(model: keras.Model, name: str) -> bool:
    return any(layer.name == name for layer in model.layers)
