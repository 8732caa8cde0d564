"""Speed against accuracy, as Huang 2017 draws it (https://arxiv.org/abs/1611.10012, figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convoy.pipeline.report.overlay import color

MARKERS = "os^DvPX*<>hp"
INK, QUIET = "#1c1e22", "#8a8e94"
WIDE = 8.0  # slowest over fastest from which on the times are drawn on a logarithm


def scatter(rows: Sequence[Mapping[str, Any]], metric: str) -> Figure:
    """A point for each row {"meta", "backbone", "ms", metric}: its marker tells the
    meta-architecture, its colour the feature extractor.
    """
    metas, backbones = _names(rows, "meta"), _names(rows, "backbone")
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        axes.scatter(
            row["ms"],
            row[metric],
            s=80,
            marker=MARKERS[metas.index(row["meta"]) % len(MARKERS)],
            color=_shade(backbones.index(row["backbone"])),
            edgecolors=INK,
            linewidths=0.6,
            zorder=3,
        )
    times = [row["ms"] for row in rows]
    if max(times) > WIDE * min(times):
        axes.set_xscale("log")
        for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            ticks("{x:g}")
    axes.set(xlabel="milliseconds per picture", ylabel=metric)
    axes.grid(alpha=0.25)
    axes.margins(0.08)
    shapes = [
        Line2D([], [], linestyle="", marker=marker, color=QUIET, label=_short(meta))
        for meta, marker in zip(metas, MARKERS * len(metas), strict=False)
    ]
    shades = [
        Line2D([], [], linestyle="", marker="s", color=_shade(n), label=_short(backbone))
        for n, backbone in enumerate(backbones)
    ]
    look = {"fontsize": 8, "frameon": False, "alignment": "left"}
    figure.legend(handles=shapes, loc="outside right upper", title="meta-architecture", **look)
    figure.legend(handles=shades, loc="outside right lower", title="feature extractor", **look)
    return figure


def bars(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A bar for each row {"meta", "backbone", "ms", "network_ms"}, the fastest on top."""
    backbones = _names(rows, "backbone")
    ordered = sorted(rows, key=lambda row: row["ms"])
    figure = Figure(figsize=(9, 0.34 * len(rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(ordered):
        shade = _shade(backbones.index(row["backbone"]))
        axes.barh(place, row["ms"], color=shade, alpha=0.35)
        axes.barh(place, min(row["network_ms"], row["ms"]), color=shade)
        axes.text(row["ms"], place, f" {row['ms']:.1f}", va="center", fontsize=8)
    names = [f"{_short(row['meta'])} + {_short(row['backbone'])}" for row in ordered]
    axes.set_yticks(range(len(ordered)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("milliseconds per picture; pale: decoding and suppression")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _names(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _shade(k: int) -> tuple[float, ...]:
    return tuple(part / 255 for part in color(k))


def _short(text: str) -> str:
    """$ would start a formula."""
    return text.replace("$", r"\$")[:32]
