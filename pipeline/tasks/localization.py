"""A class and a box per picture."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import localization
from convoy.pipeline.evaluation.matching import overlap
from convoy.pipeline.report import overlay
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import RIGHT, VERDICT, Shown, classification
from convoy.pipeline.tasks.classification import summary

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

ERRORS = ("class", "place", "unsure")


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        self._localization = localization.Localization(len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for scores that are not finite."""
        try:
            self._localization.update(sample, answer["scores"], answer["box"])
        except ValueError as error:
            raise ValueError(f"{sample.source_id}: {error}") from None

    def result(self) -> dict:
        return self._localization.result(self.labels)


def row(answer) -> dict:
    return {**classification.row(answer), "box": np.round(answer["box"], 2).tolist()}


def named(answer) -> dict:
    return {**classification.named(answer), "box": answer["box"].tolist()}


def draw(image, answer, score):
    best = answer["scores"].max(keepdims=True)
    name = answer["class_name"].decode()
    return overlay.draw(image, answer["box"][None], [0], best, [name])


def show(metrics, numbers, pairs) -> Shown:
    gallery = []
    for sample, answer in pairs:
        predicted = int(np.argmax(answer["scores"]))
        target = localization.target(sample)
        picture, scale = overlay.fitted(sample.image)
        truth = None if target is None else (target[0][None] * scale, [target[1]])
        gallery.append(
            overlay.draw(
                picture,
                answer["box"][None] * scale,
                [predicted],
                answer["scores"][predicted : predicted + 1],
                metrics.labels,
                truth,
            )
        )
    return Shown(
        classification.confusion(metrics, numbers),
        gallery,
        "Each picture with the box and class that were predicted, and the true ones dashed.",
    )


def judged(sample, line, labels) -> np.ndarray:
    """As `classification.judged`; of the right class a box that overlaps the true one by less than
    a half is misplaced, by as much as is missing of it."""
    target = localization.target(sample)
    if target is None:
        return np.zeros(0, VERDICT)
    box, truth = target
    said = int(np.argmax(line["scores"]))
    score, shared = line["scores"][said], float(overlap(np.array([line["box"]]), box[None])[0, 0])
    kind = ERRORS.index("class") if said != truth else RIGHT if shared >= localization.IOU else 1
    amount = 1 - shared if kind == ERRORS.index("place") else score
    unsure = (truth, -1, score, ERRORS.index("unsure"), 1 - score, True)
    return np.array([(truth, said, score, kind, amount, False), unsure], VERDICT)


def shapes(line, labels) -> dict:
    said = int(np.argmax(line["scores"]))
    each = {"box": line["box"], "class": said, "score": float(line["scores"][said])}
    return {**classification.shapes(line, labels), "objects": [each]}
