"""What one answer is asked for: an encoded picture or a sentence, and what is given beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

STRINGS = ("frames",)  # of what is given: encoded pictures
FRAMES = 4  # two before and two behind


class Question(NamedTuple):
    """One row of a request."""

    payload: bytes  # an encoded picture, or a sentence in UTF-8
    # By models.spec.Task.takes: proposals [R, 4]; frames, four encoded pictures, b"" = the payload.
    given: Mapping[str, Any] = {}


def question(item: bytes | Question) -> Question:
    """Bytes are a question without anything beside them."""
    return item if isinstance(item, Question) else Question(item)


def inputs(
    items: Sequence[bytes | Question], input_name: str, takes: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a batch by the names of a signature's inputs.

    takes: names that the model is given beside the payload; None = those that the questions have.
    Rows of one batch are filled up with rows of 0, one at least: such a row is no proposal. Without
    frames the payload stands for all four. Raises ValueError for a question that lacks proposals.
    """
    questions = [question(item) for item in items]
    if takes is None:
        takes = sorted({name for each in questions for name in each.given})
    payloads = np.empty(len(questions), object)
    payloads[:] = [each.payload for each in questions]
    arrays = {input_name: payloads}
    for name in takes:
        if name in STRINGS:
            arrays[name] = _strings(name, questions)
            continue
        missing = [index for index, each in enumerate(questions) if name not in each.given]
        if missing:
            raise ValueError(
                f"the model is given {name} beside each {input_name}: expected an array "
                f"[rows, 4] of {name} for {input_name} {missing[0]}, got none"
            )
        rows = [_rows(name, each.given[name]) for each in questions]
        filled = np.zeros((len(rows), max([1, *map(len, rows)]), 4), np.float32)
        for row, values in zip(filled, rows, strict=True):
            row[: len(values)] = values
        arrays[name] = filled
    return arrays


def _strings(name: str, questions: Sequence[Question]) -> np.ndarray:
    """[B, FRAMES] bytes."""
    filled = np.full((len(questions), FRAMES), b"", object)
    for row, each in zip(filled, questions, strict=True):
        given = list(each.given.get(name, ()))
        if given and len(given) != FRAMES:
            raise ValueError(f"{name}: expected {FRAMES} encoded pictures, got {len(given)}")
        row[: len(given)] = given
    return filled


def _rows(name: str, values) -> np.ndarray:
    rows = np.asarray(values, np.float32)
    if rows.size == 0:
        return np.zeros((0, 4), np.float32)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(
            f"{name}: expected rows of four numbers, ymin, xmin, ymax, xmax, got an array of shape "
            f"{list(rows.shape)}"
        )
    return rows
