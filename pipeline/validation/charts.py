"""Charts of a data set, one colour per split: sizes, light, boxes, where objects lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

PANELS = {  # name of the numbers -> title
    "image/width": "width, pixels",
    "image/height": "height, pixels",
    "image/brightness": "brightness of a picture, 0 to 255",
    "image/contrast": "contrast of a picture (deviation)",
    "image/objects": "objects per picture",
    "image/caption/words": "words per caption",
    "text/words": "words per sentence",
    "signal/samples": "samples per signal",
}
BINS = 24


def numbers(splits: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Histograms of what varies, each split's as parts of its own total."""
    shown = [name for name in PANELS if _varies(splits, name)]
    if not shown:
        return None
    figure, panels = _panels(len(shown))
    for axes, name in zip(panels, shown, strict=True):
        for color, split in enumerate(splits.values()):
            values = split["numbers"].get(name, {"count": 0})
            if values["count"]:
                edges, counts = (np.array(values["histogram"][k]) for k in ("edges", "counts"))
                axes.stairs(counts / counts.sum(), edges, color=f"C{color}", linewidth=1.6)
        axes.set_title(PANELS[name], fontsize=10, loc="left")
        axes.set_ylim(bottom=0)
    return _legend(figure, panels, splits)


def boxes(sampled: Mapping[str, np.ndarray]) -> Figure | None:
    """Side and aspect of sampled boxes (rows of data.statistics.partial.BOX), logarithmic."""
    if not any(len(rows) for rows in sampled.values()):
        return None
    figure, panels = _panels(2)
    titles = "side of a box, part of the picture's", "width / height of a box"
    for color, rows in enumerate(sampled.values()):
        height, width = rows["ymax"] - rows["ymin"], rows["xmax"] - rows["xmin"]
        side = np.sqrt(height * width)
        aspect = width * rows["width"] / np.maximum(height * rows["height"], 1e-9)
        for axes, values, ends in zip(panels, (side, aspect), ((-2.5, 0), (-1, 1)), strict=True):
            if len(values):
                edges = np.logspace(*ends, BINS + 1)
                counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
                axes.stairs(counts / counts.sum(), edges, color=f"C{color}", linewidth=1.6)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_xscale("log")
        axes.set_title(title, fontsize=10, loc="left")
    return _legend(figure, panels, sampled)


def centers(splits: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Where the centres of boxes lie in the picture; dark is many."""
    maps = {name: np.array(split["centers"]) for name, split in splits.items()}
    maps = {name: counts for name, counts in maps.items() if counts.sum()}
    if not maps:
        return None
    figure = Figure(figsize=(2.6 * max(len(maps), 2), 2.9), layout="constrained")
    for axes, (name, counts) in zip(
        figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True
    ):
        axes.imshow(counts, cmap="Blues", vmin=0)
        axes.set_title(f"centres of boxes, {name}", fontsize=10, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def keypoints(visibility: Mapping[str, Sequence[int]]) -> Figure | None:
    """Of each keypoint the parts visible, hidden and not labelled; the 24 least visible."""
    totals = {name: max(sum(counts), 1) for name, counts in visibility.items()}
    names = sorted(visibility, key=lambda name: visibility[name][2] / totals[name])[:24]
    if all(visibility[name][2] == totals[name] for name in names):
        return None
    parts = np.array([[count / totals[name] for count in visibility[name]] for name in names])
    figure = Figure(figsize=(9, 0.24 * len(names) + 1), layout="constrained")
    axes = figure.add_subplot()
    start = np.zeros(len(names))
    for kind, label, color in (
        (2, "visible", "C0"),
        (1, "hidden", "C1"),
        (0, "not labelled", "0.85"),
    ):
        axes.barh(range(len(names)), parts[:, kind], left=start, label=label, color=color)
        start += parts[:, kind]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set_xlim(0, 1)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _varies(splits: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether there is more than one value; the table has the medians of the others."""
    summaries = [split["numbers"].get(name, {"count": 0}) for split in splits.values()]
    ends = {numbers[end] for numbers in summaries if numbers["count"] for end in ("min", "max")}
    return len(ends) > 1


def _panels(count: int):
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(9.6, 2.3 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.set_axis_off()
    for axes in panels[:count]:
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels[:count]


def _legend(figure: Figure, panels, splits) -> Figure:
    for color, name in enumerate(splits):
        panels[0].plot([], [], color=f"C{color}", label=name)
    panels[0].set_ylabel("part", fontsize=8)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure
