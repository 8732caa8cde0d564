"""One class per sound or series."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.figure import Figure

from convoy.data.signals import wav
from convoy.models.spec import SERIES_RATE
from convoy.pipeline.report import overlay, plots
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
from convoy.pipeline.tasks.text import fault

__all__ = ["ERRORS", "Chosen", "Metrics", "judged", "named", "row", "shapes", "show", "summary"]
COLUMNS = 600  # of a drawn signal: the least and the largest value of each are joined
SHOWN = 4  # channels

# Half of the examples are mistakes, where there are so many, the surest first.
Chosen = functools.partial(WorstFirst, fault)


def show(metrics, numbers, pairs) -> Shown:
    gallery = []
    for sample, answer in pairs:
        best = int(answer["scores"].argmax())
        truth = metrics.labels[sample.labels[0]]
        line = f"{truth}: {metrics.labels[best]} {answer['scores'][best]:.2f}"
        gallery.append(overlay.caption(drawn(*wav.values(sample.signal)), line))
    note = "Each signal over its time with its true class and what was predicted."
    return Shown(confusion(metrics, numbers), gallery, note)


def drawn(values: np.ndarray, rate: int) -> bytes:
    """A PNG of [samples, channels] over time; of the first channels, if there are many."""
    figure = Figure(figsize=(3.2, 1.8), dpi=100, layout="constrained")
    axes = figure.subplots()
    count = max(len(values) // COLUMNS, 1)
    rest = -len(values) % count
    padded = np.pad(values, [(0, rest), (0, 0)], mode="edge").reshape(-1, count, values.shape[1])
    times = np.arange(len(padded)) * count / rate
    for channel in range(min(values.shape[1], SHOWN)):
        low, high = padded[..., channel].min(1), padded[..., channel].max(1)
        if count > 1:
            axes.fill_between(times, low, high, step="mid", linewidth=0.4, color=f"C{channel}")
        else:
            axes.plot(times, low, linewidth=0.8, color=f"C{channel}")
    axes.set_xlabel("samples" if rate == SERIES_RATE else "seconds", fontsize=7)
    axes.tick_params(labelsize=7)
    return plots.png(figure)
