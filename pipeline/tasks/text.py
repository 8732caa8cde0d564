"""One class a sentence; a prediction is the scores [K]."""

from __future__ import annotations

import numpy as np

from convoy.pipeline.report import plots
from convoy.pipeline.tasks import Shown, spread
from convoy.pipeline.tasks.classification import predictions, received, row, score

__all__ = ["predictions", "received", "row", "score", "show"]
SHOWN = 200  # letters of a sentence


def show(samples, predictions, labels, metrics, count: int) -> Shown:
    """Half of the examples are mistakes, where there are so many; the surest come first."""
    truth = np.array([sample.labels[0] for sample in samples])
    scores = np.reshape(predictions, (-1, len(labels)))
    said, sure = scores.argmax(axis=1), scores.max(axis=1)
    wrong = np.flatnonzero(said != truth)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][: (count + 1) // 2].tolist()
    rest = [i for i in spread(len(samples), count) if i not in wrong][: count - len(wrong)]
    examples = {
        samples[i].source_id: {
            "sentence": samples[i].text[:SHOWN] + "…" * (len(samples[i].text) > SHOWN),
            "truth": labels[truth[i]],
            "prediction": labels[said[i]],
            "score": float(sure[i]),
        }
        for i in (*wrong, *rest)
    }
    matrix = plots.confusion_matrix(np.array(metrics["confusion"]), labels)
    return Shown({"Confusion": plots.png(matrix)}, examples=examples)
