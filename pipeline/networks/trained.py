"""Where a finished training lies: a trainer's folder, the run that holds it, a model made of it."""

from __future__ import annotations

import json
import pathlib

from convoy.pipeline import versions
from convoy.pipeline.networks import saved

META = "network.json"  # what the network is, beside its weights


def find(path: str | pathlib.Path) -> pathlib.Path:
    """The trainer's folder: itself, the one that a run's result names, or the run's newest.

    Of what was exported or pushed, the one that it says it came from, in the run folder around it.
    Raises FileNotFoundError, ValueError for a folder of several models.
    """
    path = pathlib.Path(path)
    if (path / META).exists():
        return path
    if path.name == saved.SERVED and (path.parent / "config.yaml").exists():
        return find(path.parent)
    result = path / "result.json"
    if result.exists():
        named = json.loads(result.read_text()).get("artifacts", {}).get("trainer", "")
        inside = path / "artifacts" / "trainer" / pathlib.Path(named).name  # of a folder that moved
        for trainer in (pathlib.Path(named), inside):
            if named and (trainer / META).exists():
                return trainer
    several = ("compare", "grid")  # verbs that train more than one network in a run
    results = [each for verb in several for each in path.glob(f"{verb}/*/result.json")]
    compared = sorted(str(each.parent) for each in results)
    made = [each for each in path.glob(f"artifacts/trainer/*/{META}") if not each.parent.suffix]
    if made and not compared:  # without a suffix: finished
        return max(made, key=lambda each: each.stat().st_mtime).parent
    if not (path / "config.yaml").exists() and (model := saved.find(path)):
        return _behind(model)
    verb = results[0].parts[-3] if results else ""
    hint = f"; `convoy {verb}` left {', '.join(compared)}" if compared else ""
    raise FileNotFoundError(
        f"{path} holds no trained network: expected a trainer's folder with {META}, or a run's "
        f"folder with one in artifacts/trainer{hint}"
    )


def _behind(model: pathlib.Path) -> pathlib.Path:
    """The training that a SavedModel came from, in a folder above it."""
    key = versions.trainer_of(model)
    for above in model.resolve().parents if key else ():
        if (above / "artifacts" / "trainer" / key / META).exists():
            return above / "artifacts" / "trainer" / key
    raise FileNotFoundError(
        f"{model} is an exported model, whose training {key or '(it does not say which)'} is in no "
        "artifacts/trainer of a folder above it: give the run's folder"
    )
