"""A class and a box a picture; a prediction is a `Located`."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import localization
from convoy.pipeline.evaluation.records import Located, to_picture
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.tasks import Shown, spread


def predictions(samples, outputs, matrices) -> list[Located]:
    rows = zip(samples, outputs["scores"], outputs["box"], matrices, strict=True)
    return [Located(scores, to_picture(box, m, sample)) for sample, scores, box, m in rows]


def received(samples, answers) -> list[Located]:
    return [Located(*row) for row in zip(answers["scores"], answers["box"], strict=True)]


def score(samples, predictions, labels) -> dict:
    return localization.localization_metrics(samples, predictions, labels)


def row(prediction) -> dict:
    return {
        "scores": np.round(prediction.scores, 5).tolist(),
        "box": np.round(prediction.box, 2).tolist(),
    }


def show(samples, predictions, labels, metrics, count: int) -> Shown:
    gallery = []
    for i in spread(len(samples), count):
        found, target = predictions[i], localization.target(samples[i])
        said = int(np.argmax(found.scores))
        picture, scale = overlay.fitted(samples[i].image)
        truth = None if target is None else (target[0][None] * scale, [target[1]])
        confidence = found.scores[said : said + 1]
        gallery.append(
            overlay.draw(picture, found.box[None] * scale, [said], confidence, labels, truth)
        )
    return Shown(
        {"Confusion": plots.png(plots.confusion_matrix(np.array(metrics["confusion"]), labels))},
        gallery,
        "Each picture with the box and class that were said, and the true ones dashed.",
    )
