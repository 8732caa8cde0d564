"""Where a finished training lies: a trainer's folder, or the run folder that names it."""

from __future__ import annotations

import json
import pathlib

META = "network.json"  # what the network is, beside its weights


def find(path: str | pathlib.Path) -> pathlib.Path:
    """The trainer's folder of itself or of a run folder. Raises FileNotFoundError."""
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
    compared = sorted(str(each.parent) for each in path.glob("compare/*/result.json"))
    hint = f"; `convoy compare` left {', '.join(compared)}" if compared else ""
    raise FileNotFoundError(
        f"{path} holds no trained network: expected a trainer's folder with {META}, or a run "
        f"folder whose result.json names one{hint}"
    )
