"""A longer training goes on from one that differs in `train.epochs` or `train.max_hours` alone.

From a finished one that is shorter, and from one of as many epochs that was killed: a changed limit
of hours begins nothing anew.

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


LENGTH = ("epochs", "max_hours")
UNLIMITED = 1e9  # hours


def size(params: Mapping[str, Any]) -> tuple[float, float] | None:
    """(epochs, hours at most); None where they are not what a training is long by."""
    train = params["train"]
    if train["stages"] or train["mode"] == "extract":
        return None
    hours = train.get("max_hours")
    return train["epochs"], UNLIMITED if hours is None else hours


def without(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters but the length."""
    train = {key: value for key, value in params["train"].items() if key not in LENGTH}
    return {**params, "train": train}


def goes_on(smaller: tuple[float, float], whole: bool, size: tuple[float, float]) -> bool:
    """Whether a training of a size begins another one's: whole, or one that was killed."""
    return smaller < size if whole else smaller[0] == size[0]


def reached(training: pathlib.Path) -> int:
    """The step of the newest checkpoint; -1 without one."""
    found = (training / place / "checkpoints" for place in (STAGE, "."))
    names = [path.stem for folder in found for path in folder.glob("step-*.npz")]
    return max((int(name.removeprefix("step-")) for name in names), default=-1)


def begin(shorter: pathlib.Path, workdir: pathlib.Path, size: tuple[float, float]) -> str:
    """Copies the state of another training into a workdir that has none; says so.

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
    kind = "unfinished" if shorter.suffix else "finished"
    return (
        f"goes on from epoch {at:g} of the {kind} training {shorter.stem}, "
        f"at the learning rate that a training of {size[0]:g} epochs has there"
    )
