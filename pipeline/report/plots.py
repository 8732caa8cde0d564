"""Charts of an evaluation as matplotlib figures, without pyplot's global state.

`png(figure)` gives the bytes; the same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convoy.pipeline.evaluation.confusion import Confusion
from convoy.pipeline.evaluation.voc import Curve, ap_area
from convoy.pipeline.report.overlay import classification_gallery, color, draw, gallery, sheet

__all__ = [  # pictures come from overlay.py; who plots needs both
    "class_histogram",
    "classification_gallery",
    "confusion_matrix",
    "draw",
    "errors_by_kind",
    "gallery",
    "histogram",
    "png",
    "pr_curves",
    "sheet",
    "training_curves",
]
NOT_CURVES = ("kind", "step", "epoch", "images_per_s", "seconds", "stage")
CURVES = 6  # at most in a plot; more cannot be told apart


def png(figure: Figure, dpi: int = 110) -> bytes:
    """PNG without a time or a program's name in it."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()


def pr_curves(curves: Sequence[Curve], labels: Sequence[str]) -> Figure:
    """Precision over recall of each class with objects, and their mean; AP is the area (VOC).

    More than 5 classes: the 3 best and the 2 worst by AP.
    """
    shown = [
        (ap_area(curve.recall, curve.precision), k, curve)
        for k, curve in enumerate(curves)
        if curve.num_truth
    ]
    shown.sort(key=lambda item: (-item[0], item[1]))
    grid = np.linspace(0, 1, 201)
    envelopes = [_envelope(curve, grid) for _, _, curve in shown]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    title = "Precision and recall"
    if len(shown) >= CURVES:
        title += f" (3 best and 2 worst of {len(shown)} classes)"
    for ap, k, curve in shown if len(shown) < CURVES else shown[:3] + shown[-2:]:
        axes.plot(
            grid,
            _envelope(curve, grid),
            color=_line_color(k),
            linewidth=1.2,
            label=f"{_short(labels[k])}  {ap:.3f}",
        )
    if shown:
        mean = np.mean([ap for ap, _, _ in shown])
        axes.plot(
            grid,
            np.mean(envelopes, axis=0),
            color="#1c1e22",
            linewidth=2.6,
            label=f"mean  {mean:.3f}",
        )
        figure.legend(loc="outside right upper", fontsize=8, title="class, AP", frameon=False)
    else:
        axes.text(0.5, 0.5, "no class has objects", ha="center", va="center")
    axes.set(
        xlim=(0, 1.005), ylim=(0, 1.02), xlabel="recall", ylabel="precision (envelope)", title=title
    )
    axes.grid(alpha=0.25)
    return figure


def confusion_matrix(confusion: Confusion | np.ndarray, labels: Sequence[str] = ()) -> Figure:
    """Rows = truth, columns = prediction; colour = part of the row, number = count.

    Takes a detector's `Confusion`, or a classifier's counts [K, K] and its labels. Of more than 30
    rows those with most confusions are shown; parts are still of the whole row.
    """
    definition = ""
    if isinstance(confusion, Confusion):
        counts, labels, definition = confusion.counts, confusion.labels, confusion.definition
    else:
        counts = np.asarray(confusion)
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown, note = _busiest(counts, 30, bool(definition))
    counts, parts = counts[np.ix_(shown, shown)], parts[np.ix_(shown, shown)]
    size = len(shown)
    side = min(max(4.2, 0.42 * size + 2.2), 15)
    figure = Figure(figsize=(side + 1.1, side), layout="constrained")
    axes = figure.add_subplot()
    shades = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shades, ax=axes, label="part of the row", shrink=0.8, aspect=30)
    names = [_short(labels[k], 18) for k in shown]
    tilt = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if size > 2 else {}
    axes.set_xticks(range(size), names, fontsize=8, **tilt)
    axes.set_yticks(range(size), names, fontsize=8)
    for row in range(size):
        for column in range(size):
            if counts[row, column]:
                ink = "white" if parts[row, column] > 0.55 else "#1c1e22"
                count = _thousands(counts[row, column])
                axes.text(column, row, count, ha="center", va="center", color=ink, fontsize=7)
    axes.set(xlabel="prediction", ylabel="truth")
    axes.set_title("Confusion matrix" + note, fontsize=11)
    if definition:
        figure.supxlabel(definition, fontsize=7.5, color="#555555")
    return figure


def training_curves(rows: Sequence[Mapping[str, Any]], without: Sequence[str] = ()) -> Figure:
    """Losses, validation metrics and learning rate over the steps.

    rows: the lines of metrics.jsonl, {"kind": "train" | "val", "step": .., name: number, ..}.
    A validation row's names that hold "loss" are drawn with the losses. Null is a gap. Of more than
    6 lines the sums of losses and the first of the others are drawn. without: names that are not.
    """
    series: dict[str, dict[str, list[tuple[float, float]]]] = {"loss": {}, "metric": {}, "lr": {}}
    for row in rows:
        train = row.get("kind", "train") == "train"
        for name, value in row.items():
            if name in (*NOT_CURVES, *without) or isinstance(value, (str, bool, dict, list)):
                continue
            panel = "lr" if name == "lr" else "loss" if train or "loss" in name else "metric"
            name = name if train else f"val {name}" if panel == "loss" else name
            number = math.nan if value is None else float(value)
            series[panel].setdefault(name, []).append((float(row["step"]), number))
    for lines in series.values():
        for name in [name for name, points in lines.items() if np.isnan(points).all(axis=0)[1]]:
            del lines[name]
    titles = {"loss": "Loss", "metric": "Validation", "lr": "Learning rate"}
    for panel, lines in series.items():
        if len(lines) > CURVES:
            titles[panel] += f" ({CURVES} of {len(lines)} curves)"
            kept = sorted(lines, key=lambda name: name.removeprefix("val ") != "loss")[:CURVES]
            series[panel] = {name: lines[name] for name in kept}
    panels = [name for name, lines in series.items() if lines] or ["loss"]
    figure = Figure(figsize=(9, 2.6 * len(panels) + 0.4), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        for n, (name, points) in enumerate(series[panel].items()):
            steps, values = np.array(points).T
            mark = "o" if len(points) <= 40 else ""
            axes.plot(
                steps, values, label=_short(name), marker=mark, markersize=3, color=_line_color(n)
            )
        _scale(axes, panel, series[panel])
        axes.set_title(titles[panel], fontsize=10, loc="left")
        axes.grid(alpha=0.25)
        if len(series[panel]) > 1 or panel == "metric":
            axes.legend(
                fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1
            )
    all_axes[-1].set_xlabel("step")
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def class_histogram(counts: Mapping[str, Mapping[str, int]]) -> Figure:
    """Objects of each class as bars, one colour per split: {"train": {"cat": 3}, ..}.

    Classes in falling order of the sum; more than 40: the 30 most and the 10 least frequent.
    """
    total: dict[str, int] = {}
    for split in counts.values():
        for label, count in split.items():
            total[label] = total.get(label, 0) + int(count)
    labels = sorted(total, key=lambda label: (-total[label], label))
    title = "Class histogram"
    if len(labels) > 40:
        title += f" (30 most and 10 least frequent of {len(labels)})"
        labels = labels[:30] + labels[-10:]
    figure = Figure(figsize=(9, max(1.8, 0.26 * len(labels) + 1.1)), layout="constrained")
    axes = figure.add_subplot()
    start = np.zeros(len(labels))
    for n, (split, classes) in enumerate(counts.items()):
        values = np.array([int(classes.get(label, 0)) for label in labels], float)
        whole = _thousands(sum(int(count) for count in classes.values()))
        axes.barh(
            range(len(labels)), values, left=start, label=f"{split} ({whole})", color=f"C{n % 10}"
        )
        start += values
    for row, label in enumerate(labels):
        axes.text(start[row], row, f" {_thousands(total[label])}", va="center", fontsize=8)
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.02)
    axes.set_title(title, fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.spines[["top", "right"]].set_visible(False)
    if counts:
        figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def errors_by_kind(costs: Mapping[str, float | None], counts: Mapping[str, int]) -> Figure:
    """Two bars for each kind of error: what it costs of AP50, and how often it is made."""
    figure = Figure(figsize=(9, 0.3 * len(costs) + 1.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("AP50 that each kind costs", "how many, above each class's score of best F1")
    for axes, values, title in zip(panels, (costs, counts), titles, strict=True):
        lengths = [values[kind] or 0 for kind in costs]
        axes.barh(range(len(costs)), lengths, color=[_line_color(n) for n in range(len(costs))])
        for place, length in enumerate(lengths):
            text = _thousands(length) if values is counts else f"{length:.3f}"
            axes.text(length, place, f" {text}", va="center", fontsize=8)
        axes.set_title(title, fontsize=10, loc="left")
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(costs)), list(costs), fontsize=9)
    panels[0].invert_yaxis()
    return figure


def histogram(values: Sequence[float], title: str) -> Figure:
    """How many values lie where, in 20 bins; a line at 0."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=20, color=_line_color(0))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _envelope(curve: Curve, recall: np.ndarray) -> np.ndarray:
    """max(precision where the curve's recall >= r), 0 beyond its end."""
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    return np.append(best, 0.0)[np.searchsorted(curve.recall, recall - 1e-12)]


def _busiest(counts: np.ndarray, limit: int, background: bool) -> tuple[np.ndarray, str]:
    """Rows to show: those with most counts off the diagonal, and background; a note if not all."""
    classes = len(counts) - background
    if len(counts) <= limit:
        return np.arange(len(counts)), ""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diagonal(counts)
    busiest = np.sort(np.argsort(-wrong[:classes], kind="stable")[: limit - background])
    note = f" ({len(busiest)} most confused of {classes} classes)"
    return np.append(busiest, classes) if background else busiest, note


def _scale(axes, panel: str, lines: Mapping[str, list[tuple[float, float]]]) -> None:
    """Metrics from 0 to 1; losses on a logarithm where they fall by more than 20 times."""
    values = np.array([value for points in lines.values() for _, value in points])
    values = values[np.isfinite(values)]
    if panel == "metric" and values.size and values.min() >= 0 and values.max() <= 1:
        axes.set_ylim(0, max(0.05, min(1.02, values.max() * 1.15)))
    elif panel == "loss" and values.size and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")


def _short(text: str, length: int = 24) -> str:
    """At most `length` letters; $ would start a formula."""
    text = str(text).replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"


def _thousands(count: float) -> str:
    return f"{int(count):,}" if count < 100_000 else f"{count / 1000:,.0f}k"


def _line_color(k: int) -> tuple[float, ...]:
    """The class's colour, darker: a thin line on white needs it."""
    return tuple(0.8 * part / 255 for part in color(k))
