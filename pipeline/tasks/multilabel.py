"""Several classes per picture."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import multilabel
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import Shown

__all__ = ["Chosen", "Metrics", "draw", "named", "row", "show", "summary"]


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


def show(metrics, numbers, pairs) -> Shown:
    labels, gallery = metrics.labels, []
    for sample, answer in pairs:
        chosen = [labels[k] for k in np.flatnonzero(answer["chosen"])]
        truth = multilabel.truth(sample, len(labels))
        true = [labels[k] for k in np.flatnonzero(truth == multilabel.YES)]
        lines = (f"predicted: {', '.join(chosen) or '-'}", f"truth: {', '.join(true) or '-'}")
        gallery.append(overlay.with_lines(sample.image, lines))
    return Shown(
        {"Precision and recall": plots.png(plots.pr_curves(metrics.curves(), labels))},
        gallery,
        "Each picture with the classes that were chosen, and those that are true.",
    )


def _names(answer) -> list[str]:
    """The chosen classes in falling order of score."""
    return [name.decode() for name in answer["class_names"][: answer["num_labels"]]]
