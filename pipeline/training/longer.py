"""A longer training goes on from a finished one that differs in `train.epochs` alone.

It takes over all that a killed training goes on from: the newest checkpoint, the best weights so
far and the rows of metrics. The learning rate continues where the longer schedule is at that step:
`constant` and `step` have the same past, and the weights are those of one training without a
break; `cosine` has come down to 0 in the shorter one and starts again from the longer curve, so the
weights are others than those of an unbroken training. What stopped the shorter one early (patience,
max_hours) counts on. Stages have epochs of their own, and a head on features is fitted at once:
these do not grow.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from convoy.pipeline.artifacts import write_bytes

STAGE = "stage1"  # where a fine-tuning of one stage trains
BEST = "best.weights.h5"
ROWS = "metrics.jsonl"


def size(params: Mapping[str, Any]) -> float | None:
    """Epochs of a trainer's parameters; None where they are not what a training is long by."""
    train = params["train"]
    return None if train["stages"] or train["mode"] == "extract" else train["epochs"]


def without(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters but the epochs."""
    train = {key: value for key, value in params["train"].items() if key != "epochs"}
    return {**params, "train": train}


def begin(shorter: pathlib.Path, workdir: pathlib.Path, epochs: float) -> str:
    """Copies the state of a finished training into a workdir that has none; says so.

    Empty where there is a checkpoint already, or none to go on from. The checkpoint comes last, so
    that a copy that was cut short is made again.
    """
    place = STAGE if (shorter / STAGE).is_dir() else "."
    ours, theirs = workdir / place, shorter / place
    newest = max((theirs / "checkpoints").glob("step-*.npz"), default=None)
    if newest is None or any((ours / "checkpoints").glob("step-*.npz")):
        return ""
    (ours / "checkpoints").mkdir(parents=True, exist_ok=True)
    if (theirs / "tensorboard").is_dir():
        shutil.copytree(theirs / "tensorboard", ours / "tensorboard", dirs_exist_ok=True)
    for name in (BEST, ROWS, f"checkpoints/{newest.name}"):
        if (theirs / name).exists():
            write_bytes(ours / name, (theirs / name).read_bytes())
    rows = [json.loads(line) for line in (theirs / ROWS).read_text().splitlines()]
    at = max((row["epoch"] for row in rows), default=0.0)
    return (
        f"goes on from epoch {at:g} of the finished training {shorter.name}, "
        f"at the learning rate that a training of {epochs:g} epochs has there"
    )
