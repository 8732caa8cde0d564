"""Several properties per picture, each with one value."""

from __future__ import annotations

import numpy as np

from convoy.data import labels as label_map
from convoy.pipeline.evaluation.attributes import Properties
from convoy.pipeline.report import overlay
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

ERRORS = ("value",)


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        groups = label_map.properties(self.labels)
        self._properties = Properties(groups, len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for scores that are not finite."""
        if not np.isfinite(answer["scores"]).all():
            raise ValueError(f"{sample.source_id}: expected finite scores, got NaN or infinity")
        self._properties.update(sample.labels, answer["class_ids"].tolist())

    def result(self) -> dict:
        return {**self._properties.result(), "per_class": self._properties.per_class(self.labels)}


def row(answer) -> dict:
    return {
        "scores": np.round(answer["scores"], 5).tolist(),
        "classes": np.asarray(answer["class_ids"]).tolist(),
    }


def named(answer) -> dict:
    pairs = (name.decode().partition("=") for name in answer["class_names"])
    return {
        "properties": {name: value for name, _, value in pairs},
        "scores": answer["scores"].tolist(),
    }


def summary(answer) -> str:
    return ", ".join(name.decode() for name in answer["class_names"])


def draw(image, answer, score):
    return overlay.caption(image, summary(answer))


def show(metrics, numbers, pairs) -> Shown:
    gallery = []
    for sample, answer in pairs:
        true = ", ".join(metrics.labels[k] for k in sample.labels) or "-"
        lines = (f"predicted: {summary(answer)}", f"truth: {true}")
        gallery.append(overlay.with_lines(sample.image, lines))
    return Shown(
        {},
        gallery,
        "Each picture with the value that was told of each property, and what is known of it.",
        tables={"Properties": numbers["per_property"]},
    )


def judged(sample, line, labels) -> np.ndarray:
    """Each property whose value is known."""
    groups = label_map.properties(tuple(labels))
    group_of = {k: name for name, classes in groups.items() for k in classes}
    said = {group_of[k]: k for k in line["classes"]}
    rows = []
    for truth in sample.labels.tolist():
        k = said[group_of[truth]]
        right = k == truth
        rows.append((truth, k, np.nan, RIGHT if right else 0, 0 if right else 1, False))
    return np.array(rows, VERDICT)


def shapes(line, labels) -> dict:
    return {"labels": [[labels[k], float(line["scores"][k])] for k in line["classes"]]}
