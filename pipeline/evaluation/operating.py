"""From which score on a detection is shown: each class's own, the one of best F1 on the test split.

The evaluator measures them (`confusion.operating_points`), the exporter leaves them beside the
model, in assets.extra/operating_points.json: {class: score} of the classes that have one.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from convoy.pipeline import versions

FILE = "operating_points.json"
SCORE = 0.5  # of a class without one: no object, or none found
Score = float | Mapping[str, float]  # one for all, or by class


def of(model: pathlib.Path) -> Mapping[str, float]:
    """Those of an exported model, {} where it knows none."""
    return versions.read(model / "assets.extra" / FILE)


def kept(scores: np.ndarray, names: np.ndarray, score: Score) -> np.ndarray:
    """Which of the detections are shown, [D] bool. names: bytes of each one's class."""
    if not isinstance(score, Mapping):
        return np.asarray(scores) >= score
    floors = [score.get(name.decode(), SCORE) for name in names]
    # The threshold is a detection's own float32 score, which the file has as a float64.
    return np.asarray(scores, np.float32) >= np.array(floors, np.float32)


def said(score: Score) -> str:
    """For people: 0.5, or raccoon 0.32, others 0.5."""
    if not isinstance(score, Mapping):
        return f"{score:.2g}"
    few = list(score.items())[:5]
    more = f" and {len(score) - len(few)} more classes" if len(score) > len(few) else ""
    return ", ".join(f"{name} {value:.2f}" for name, value in few) + more
