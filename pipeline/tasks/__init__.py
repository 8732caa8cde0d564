"""How a task's answers are measured, drawn and written: one module per task, NumPy only.

An answer is what the model serves of one picture or sentence: a dict of arrays without a batch
axis. A module has

Metrics(labels)             update(sample, answer) picture by picture; result() -> all numbers, and
                            "per_class". Keeps numbers, never pictures, masks or answers.
Chosen(total, count)        update(sample, answer) in the order of the records, of which there are
                            `total`; pairs() -> about `count` (sample, answer) for the report
show(metrics, numbers, pairs)   the report's part: charts of the metrics, the pairs drawn
row(answer)                 a line of predictions.jsonl
named(answer)               the same for people's JSON: classes by name, nothing rounded
summary(answer)             a few words: "cat 0.93"; "" where only a drawing says it
found(answer, score)        of answers that are objects: how many there are from `score` on
draw(image, answer, score)  the picture with its answer, objects from `score` on; not of text
files(answer)               of answers that are pictures: {folder: PNG} that go beside the drawing
ERRORS, judged(sample, line, labels)    kinds of error, and [M] VERDICT of one picture: what was
                            right and wrong of a line of predictions.jsonl (evaluation/worst.py)
shapes(line, labels)        of such a line, what a browser draws: {"objects": [{"box", "class",
                            "score", "mask", "points"}], "labels": [[name, score]], "lines": [text],
                            "map": PNG of class ids in base64}, what of these it has. "box" is
                            [ymin, xmin, ymax, xmax], "points" [[y, x, seen]], in pixels of the
                            picture; "mask" [h, w] bytes in base64 with "mask_size", stretched over
                            the box. Without it a line is shown as it is written

What `convoy predict` draws, writes and says has "class_names" [K], where the answer itself has
none: those of all classes.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# One thing that was right or wrong of a picture; of `below` it is so where the score is less than
# the threshold, else where it is not. A score that is NaN has no threshold.
VERDICT = np.dtype(
    [
        ("truth", "i2"),  # class, or -1: there is nothing
        ("said", "i2"),  # class, or -1: nothing was said
        ("score", "f4"),
        ("kind", "i1"),  # of the task's ERRORS by number, or RIGHT
        ("amount", "f4"),  # how bad it is: 1 = an object that was missed
        ("below", "?"),
    ]
)
RIGHT = -1


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The task's part of the report."""

    figures: Mapping[str, bytes]  # caption -> PNG
    gallery: Sequence = ()  # PIL pictures
    note: str = ""  # above the gallery
    examples: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    points: Mapping[str, float] = dataclasses.field(default_factory=dict)  # class -> score
    # heading -> {row: {column: number or None}}; the same columns in each row of a table
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(default_factory=dict)


def of(task: str):
    """The module of a task."""
    return importlib.import_module(f"convoy.pipeline.tasks.{task}")
