"""Which random changes leave what is learnt true."""

from __future__ import annotations

import re
from typing import Any

from convoy.pipeline.tools.init.look import Look

SIDED = re.compile(r"(^|[^a-z])(left|right)([^a-z]|$)", re.IGNORECASE)


def augmentation(seen: Look, task: str) -> tuple[dict[str, Any], str] | None:
    """(fields of `augment`, why), None where a task is better left without."""
    if task in ("text", "signals"):
        return None
    if task == "captioning":
        return {"brightness": 0.1, "contrast": 0.2}, "no mirror: sentences say left and right"
    if task == "restoration":
        return {"flip_horizontal": 0.5}, "no colour: the truth has the picture's own"
    moved: dict[str, Any] = {"zoom": [0.8, 1.25], "shift": 0.1}
    if task in ("classification", "multilabel", "segmentation", "pose"):
        moved["rotate_deg"] = 10
    colour = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.2}
    why = _sided(seen, task)
    mirrored = {} if why else {"flip_horizontal": 0.5}
    return {**mirrored, **moved, **colour}, why or "mirrored, moved, recoloured"


def _sided(seen: Look, task: str) -> str:
    """Why a mirrored picture would be wrong; "" where it is not."""
    if task == "pose":
        return "" if seen.keypoint_pairs else "no mirror: which keypoints are pairs is not known"
    names = seen.segmentation_labels if task == "segmentation" else seen.labels
    if task != "segmentation" and (
        seen.format == "idx" or sum(len(name) == 1 for name in names) > len(names) / 2
    ):
        return "no mirror: letters and digits are not the same then"
    if found := [name for name in names if SIDED.search(name.replace("_", " "))]:
        return f"no mirror: of the class {found[0]}"
    return ""
