"""One class a picture; a prediction is the scores [K]."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation.classification import classification_metrics
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.tasks import Shown, spread


def predictions(samples, outputs, matrices) -> list[np.ndarray]:
    return list(outputs["scores"])


def received(samples, answers) -> list[np.ndarray]:
    return list(answers["scores"])


def score(samples, predictions, labels) -> dict:
    truth = np.array([sample.labels[0] for sample in samples], np.int64)
    return classification_metrics(truth, np.reshape(predictions, (-1, len(labels))), labels)


def row(prediction) -> dict:
    return {"scores": np.round(prediction, 5).tolist()}


def show(samples, predictions, labels, metrics, count: int) -> Shown:
    shown = spread(len(samples), count)
    scores = np.reshape([predictions[i] for i in shown], (-1, len(labels)))
    return Shown(
        {"Confusion": plots.png(plots.confusion_matrix(np.array(metrics["confusion"]), labels))},
        overlay.classification_gallery([samples[i] for i in shown], scores, labels, count),
        "Each picture with its true class and what was predicted.",
    )
