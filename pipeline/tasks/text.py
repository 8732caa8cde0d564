"""One class per sentence."""

from __future__ import annotations

import functools

from convoy.pipeline.report.chosen import WorstFirst
from convoy.pipeline.tasks import Shown
from convoy.pipeline.tasks.classification import (
    ERRORS,
    Metrics,
    confusion,
    judged,
    named,
    row,
    shapes,
    summary,
)

__all__ = ["ERRORS", "Chosen", "Metrics", "judged", "named", "row", "shapes", "show", "summary"]
SHOWN = 200  # letters of a sentence


def fault(sample, answer) -> float | None:
    """How sure a mistake is; None of what is right."""
    scores = answer["scores"]
    return float(scores.max()) if int(scores.argmax()) != sample.labels[0] else None


# Half of the examples are mistakes, where there are so many, the surest first.
Chosen = functools.partial(WorstFirst, fault)


def show(metrics, numbers, pairs) -> Shown:
    examples = {}
    for sample, answer in pairs:
        predicted = int(answer["scores"].argmax())
        examples[sample.source_id] = {
            "sentence": sample.text[:SHOWN] + "…" * (len(sample.text) > SHOWN),
            "truth": metrics.labels[sample.labels[0]],
            "prediction": metrics.labels[predicted],
            "score": float(answer["scores"][predicted]),
        }
    return Shown(confusion(metrics, numbers), examples=examples)
