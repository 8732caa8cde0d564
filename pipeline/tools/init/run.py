"""`convoy init`: looks, proposes, measures, writes."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

from convoy.pipeline import config
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.init import kinds, look, machine, measure, written
from convoy.pipeline.tools.init.propose import LEAST_EPOCHS, Proposal, propose
from convoy.pipeline.validation import recipe_checks


def run(
    path: str,
    output: str,
    *,
    tell: Callable[[str], None],
    format_name: str = "auto",
    task: str | None = None,
    hours: float = 1.0,
    measured: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Writes the recipe `output`; returns what `--json` prints. Raises UsageError.

    hours: what the training may take by the steps that were measured; 3 epochs are the least.
    """
    out = pathlib.Path(output)
    _check_output(out, pathlib.Path(path), force)
    seen = look.look(path, format_name)
    name, possible = kinds.chosen(seen, task)
    here = machine.this()
    tell(f"{path}: {seen.format}, {sum(seen.records.values()):,} samples; {name}: {possible[name]}")
    made = propose(seen, name, possible, here)
    recipe_checks.run(config.parse(made.raw, "the proposed recipe"))
    time = "not measured"
    if measured:
        took = measure.fitting(made.raw, seen, here.memory, tell)
        time = _settle(made, seen.records[seen.train], took, hours)
    head = [
        f"Made by `convoy init {path}`, to be edited. docs/keys.md lists all keys.",
        f"Expected time of the training: {time}, on {here.said}.",
    ]
    text = written.text(made.raw, made.remarks, head)
    _check_output(out, pathlib.Path(path), force)
    write_bytes(out, text.encode())
    config.load(out)
    train = made.raw["train"]
    return {
        "recipe": str(out),
        "task": name,
        "format": seen.format,
        "network": made.raw["model"]["name"],
        "batch_size": train["batch_size"],
        "epochs": train["epochs"],
        "time": time,
        "possible": possible,
    }


def _check_output(out: pathlib.Path, data: pathlib.Path, force: bool) -> None:
    if os.path.lexists(out) and not force:
        raise UsageError(f"-o {out}: exists; give another name, or --force to replace it")
    if out.is_dir():
        raise UsageError(f"-o {out}: is a folder, expected the name of a recipe file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"-o {out}: there is no folder {out.absolute().parent}")
    if data.is_dir() and out.resolve().is_relative_to(data.resolve()):
        raise UsageError(
            f"-o {out}: lies inside of {data}, where it would be a part of the data set; expected "
            "a place outside of it"
        )


def _settle(made: Proposal, records: int, took: measure.Measured, hours: float) -> str:
    """Batch and epochs as measured; the time that they take, in words."""
    train = made.raw["train"]
    if took.batch != train["batch_size"]:
        made.set("train", "as many as fit into the memory of this machine", batch_size=took.batch)
    if took.seconds is None:
        return f"not measured ({took.why})"
    per_epoch = math.ceil(records / took.batch) * took.seconds
    epochs = min(train["epochs"], max(int(hours * 3600 / per_epoch), LEAST_EPOCHS))
    if epochs < train["epochs"]:
        made.remarks["train.epochs"] = (
            f"as many as {hours:g} hours allow (--hours); {train['epochs']} would learn more"
        )
        _shorten(train, epochs)
    about = _duration(epochs * per_epoch)
    return (
        f"{about}, {took.seconds * 1000:.0f} ms for each step of {took.batch} with "
        f"{took.peak / 2**30:.1f} GiB"
    )


def _shorten(train: dict[str, Any], epochs: int) -> None:
    """Epochs, those of stages and those between evaluations alike."""
    part = epochs / train["epochs"]
    train["epochs"] = epochs
    for stage in train.get("stages", ()):
        stage["epochs"] = max(round(stage["epochs"] * part), 1)
    if "eval_epochs" in train:
        train["eval_epochs"] = max(epochs // 20, 1)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
