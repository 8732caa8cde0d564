"""Anchors for a detector out of the user's boxes: `convoy anchors`."""

from __future__ import annotations

import dataclasses

import numpy as np

from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import UsageError
from convoy.pipeline.validation import priors


def run(recipe: Recipe, statistics: Artifact, labels: list[str], count: int | None) -> dict:
    """What is known of the priors and what k-means suggests, for `--json`. Raises UsageError."""
    with np.load(statistics.path / "boxes.npz") as boxes:
        found = priors.reach(boxes[recipe.data.train], recipe.model, labels, count)
    if found is None:
        raise UsageError(f"{recipe.model.name} has no priors, or {recipe.data.train} has no boxes")
    return dataclasses.asdict(found)


def text(found: dict) -> str:
    """For people: how well both fit, and what to write into the recipe."""
    height, width = found["size"]
    pairs = ", ".join(f"[{w:g}, {h:g}]" for w, h in found["suggested"])
    lines = [
        f"{found['boxes']:,} boxes at an input of {height} x {width}, median side "
        f"{found['side_px']:.0f} px; no prior reaches {found['unmatched']:,} of them",
        f"mean overlap of shapes: now {found['own_overlap']:.3f}, by k-means "
        f"{found['suggested_overlap']:.3f}",
        f"anchors: [{pairs}]",
    ]
    return "\n".join(lines)
