"""Several classes a picture; a prediction is a `Labels`."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.evaluation import multilabel
from convoy.pipeline.evaluation.records import Labels
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.tasks import Shown, spread


def predictions(samples, outputs, matrices) -> list[Labels]:
    return [Labels(*row) for row in zip(outputs["scores"], outputs["chosen"], strict=True)]


def received(samples, answers) -> list[Labels]:
    return predictions(samples, answers, None)


def _arrays(samples, predictions, labels):
    """Truth, scores and decisions, [N, K] each."""
    shape = (-1, len(labels))
    truth = np.reshape([multilabel.truth(sample, len(labels)) for sample in samples], shape)
    scores = np.reshape([found.scores for found in predictions], shape)
    chosen = np.reshape([found.chosen for found in predictions], shape)
    return truth, scores, chosen.astype(bool)


def score(samples, predictions, labels) -> dict:
    return multilabel.multilabel_metrics(*_arrays(samples, predictions, labels), labels)


def row(prediction) -> dict:
    return {
        "scores": np.round(prediction.scores, 5).tolist(),
        "chosen": np.flatnonzero(prediction.chosen).tolist(),
    }


def show(samples, predictions, labels, metrics, count: int) -> Shown:
    truth, scores, _ = _arrays(samples, predictions, labels)
    curves = [multilabel.curve(truth[:, k], scores[:, k]) for k in range(len(labels))]
    gallery = []
    for i in spread(len(samples), count):
        chosen = [labels[k] for k in np.flatnonzero(predictions[i].chosen)]
        true = [labels[k] for k in np.flatnonzero(truth[i] == multilabel.YES)]
        told = (f"said: {', '.join(chosen) or '-'}", f"truth: {', '.join(true) or '-'}")
        gallery.append(overlay.told(samples[i].image, told))
    return Shown(
        {"Precision and recall": plots.png(plots.pr_curves(curves, labels))},
        gallery,
        "Each picture with the classes that were chosen, and those that are true.",
    )
