"""Several classes per picture."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import multilabel
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

ERRORS = ("false alarm", "missed")
SCORE = 0.5  # from which a class is said, where a page begins
LEAST = 0.05  # a class that is not there is wrong from this score on


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        self._decisions = multilabel.Decisions(len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for scores that are not finite."""
        if not np.isfinite(answer["scores"]).all():
            raise ValueError(f"{sample.source_id}: expected finite scores, got NaN or infinity")
        self._decisions.update(sample, answer["scores"], answer["chosen"])

    def result(self) -> dict:
        return self._decisions.result(self.labels)

    def curves(self) -> list:
        """Precision and recall of each class."""
        return self._decisions.curves()


def row(answer) -> dict:
    return {
        "scores": np.round(answer["scores"], 5).tolist(),
        "chosen": np.flatnonzero(answer["chosen"]).tolist(),
    }


def named(answer) -> dict:
    return {"classes": _names(answer), "scores": answer["scores"].tolist()}


def summary(answer) -> str:
    return ", ".join(_names(answer)) or "no class"


def draw(image, answer, score):
    return overlay.caption(image, summary(answer))


def page(sample, answer, labels, points):
    chosen = [labels[k] for k in np.flatnonzero(answer["chosen"])]
    truth = multilabel.truth(sample, len(labels))
    true = [labels[k] for k in np.flatnonzero(truth == multilabel.YES)]
    lines = (f"predicted: {', '.join(chosen) or '-'}", f"truth: {', '.join(true) or '-'}")
    return overlay.with_lines(sample.image, lines)


def show(metrics, numbers, pairs) -> Shown:
    return Shown(
        {"Precision and recall": plots.png(plots.pr_curves(metrics.curves(), metrics.labels))},
        [page(sample, answer, metrics.labels, {}) for sample, answer in pairs],
        "Each picture with the classes that were chosen, and those that are true.",
    )


def _names(answer) -> list[str]:
    """The chosen classes in falling order of score."""
    return [name.decode() for name in answer["class_names"][: answer["num_labels"]]]


def judged(sample, line, labels) -> np.ndarray:
    """Each class that is there, missed below its score; each that is not, wrong from it on."""
    truth = multilabel.truth(sample, len(labels))
    rows = []
    for k, score in enumerate(line["scores"]):
        if truth[k] == multilabel.YES:
            rows.append((k, k, score, RIGHT, 0, False))
            rows.append((k, -1, score, ERRORS.index("missed"), 1, True))
        elif truth[k] == multilabel.NO and score >= LEAST:
            rows.append((-1, k, score, ERRORS.index("false alarm"), score, False))
    return np.array(rows, VERDICT)


def shapes(line, labels) -> dict:
    return {"labels": [[labels[k], float(line["scores"][k])] for k in line["chosen"]]}
