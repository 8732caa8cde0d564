"""Where a finished training lies: a trainer's folder, or the run folder that holds it."""

from __future__ import annotations

import json
import pathlib

META = "network.json"  # what the network is, beside its weights


def find(path: str | pathlib.Path) -> pathlib.Path:
    """The trainer's folder: itself, the one that a run's result names, or the run's newest.

    A run that its gate refused has no result. Raises FileNotFoundError.
    """
    path = pathlib.Path(path)
    if (path / META).exists():
        return path
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
    verb = results[0].parts[-3] if results else ""
    hint = f"; `convoy {verb}` left {', '.join(compared)}" if compared else ""
    raise FileNotFoundError(
        f"{path} holds no trained network: expected a trainer's folder with {META}, or a run's "
        f"folder with one in artifacts/trainer{hint}"
    )
