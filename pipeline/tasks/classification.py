"""One class per picture."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation.classification import Ranks
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import RIGHT, VERDICT, Shown

__all__ = [
    "ERRORS",
    "Chosen",
    "Metrics",
    "draw",
    "judged",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]

ERRORS = ("class", "unsure")
NAMED = 5  # classes of a picture that are shown


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        self._ranks = Ranks(len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for a sample without a class, and for scores that are not finite."""
        if not len(sample.labels):
            raise ValueError(f"{sample.source_id}: expected a class, the record has none")
        try:
            self._ranks.update(int(sample.labels[0]), answer["scores"])
        except ValueError as error:
            raise ValueError(f"{sample.source_id}: {error}") from None

    def result(self) -> dict:
        return self._ranks.result(self.labels)


def row(answer) -> dict:
    return {"scores": np.round(answer["scores"], 5).tolist()}


def named(answer) -> dict:
    return {"class": answer["class_name"].decode(), "scores": answer["scores"].tolist()}


def summary(answer) -> str:
    return f"{answer['class_name'].decode()} {answer['scores'].max():.2f}"


def draw(image, answer, score):
    return overlay.caption(image, summary(answer))


def show(metrics, numbers, pairs) -> Shown:
    samples = [sample for sample, _ in pairs]
    scores = [answer["scores"] for _, answer in pairs]
    return Shown(
        confusion(metrics, numbers),
        overlay.classification_gallery(samples, scores, metrics.labels, len(pairs)),
        "Each picture with its true class and what was predicted.",
    )


def confusion(metrics, numbers) -> dict[str, bytes]:
    """The chart of the confusion matrix."""
    chart = plots.confusion_matrix(np.array(numbers["confusion"]), metrics.labels)
    return {"Confusion": plots.png(chart)}


def judged(sample, line, labels) -> np.ndarray:
    """The best class, right or as wrong as it is sure; below the threshold nothing is said."""
    if not len(sample.labels):
        return np.zeros(0, VERDICT)
    truth, said = int(sample.labels[0]), int(np.argmax(line["scores"]))
    score, kind = line["scores"][said], RIGHT if truth == said else ERRORS.index("class")
    unsure = (truth, -1, score, ERRORS.index("unsure"), 1 - score, True)
    return np.array([(truth, said, score, kind, score, False), unsure], VERDICT)


def shapes(line, labels) -> dict:
    order = np.argsort(-np.asarray(line["scores"]), kind="stable")[:NAMED]
    return {"labels": [[labels[k], float(line["scores"][k])] for k in order]}
