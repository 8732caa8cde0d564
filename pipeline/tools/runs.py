"""`convoy runs [DIR]...`: what was trained on what, how it was judged, what was pushed.

A row per evaluation in the stores of the run folders; it says

run, when       the folder's name, when the evaluation began
network         its name
data            the first letters of the hash of the records' content (manifest.json)
metric, value   what the gate looked at
verdict         blessed, or refused and why; "gone" where the training it judged is no longer there
pushed          numbers of the versions in the run's model folder that came from this training;
                those that a rollback withdrew with a minus

Nothing is written, and no TensorFlow is imported.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import yaml

from convoy.models import tasks
from convoy.pipeline import versions

DATA_LETTERS = 8
COLUMNS = ("run", "when", "network", "data", "metric", "value", "pushed", "verdict")


def find(folders: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
    """The run folders among these folders and directly in them. Raises FileNotFoundError."""
    found: list[pathlib.Path] = []
    for folder in map(pathlib.Path, folders):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
        inside = sorted(child for child in folder.iterdir() if _is_run(child))
        own = [folder] if _is_run(folder) else inside
        if not own:
            raise FileNotFoundError(
                f"{folder}: expected a run's folder, which holds config.yaml and artifacts, or a "
                "folder of those"
            )
        found += [path for path in own if path not in found]
    return found


def rows(run: pathlib.Path) -> list[dict[str, Any]]:
    """Of one run folder, the oldest evaluation first; half-written ones are left out."""
    pushed: dict[str, list[int]] = {}
    result = versions.read(run / "result.json")
    recipe = yaml.safe_load((run / "config.yaml").read_text())
    base = pathlib.Path(result.get("model_dir", run / "served" / str(recipe.get("name", ""))))
    if base.is_dir():
        for number, folder in versions.folders(base).items():
            pushed.setdefault(versions.trainer_of(folder), []).append(number)
        for number, about in versions.withdrawn(base).items():
            pushed.setdefault(about["trainer"], []).append(-number)
    # An evaluation is of the store that the run wrote to: another's where runs share one.
    made = [pathlib.Path(path).parent.parent for path in result.get("artifacts", {}).values()]
    stores = {store.resolve() for store in (*made, run / "artifacts")}
    found = [
        _row(run, path.parent, pushed)
        for store in sorted(stores)
        for path in store.glob("evaluator/*/run.json")
        if not path.parent.suffix
    ]
    return sorted(found, key=lambda row: row["when"])


def _is_run(path: pathlib.Path) -> bool:
    return (path / "config.yaml").is_file() and (
        (path / "artifacts").is_dir() or (path / "result.json").is_file()
    )


def _row(run: pathlib.Path, evaluation: pathlib.Path, pushed: dict[str, list[int]]) -> dict:
    about, gate = versions.read(evaluation / "run.json"), versions.read(evaluation / "gate.json")
    metrics = versions.read(evaluation / "metrics.json")
    training = pathlib.Path(about["inputs"]["model"])
    network = versions.read(training / "network.json")
    manifest = versions.read(pathlib.Path(about["inputs"]["examples"]) / "manifest.json")
    metric = about["params"]["evaluate"]["metric"] or tasks.row(about["params"]["task"]).gate
    verdict = gate.get("summary", "not judged")
    return {
        "run": str(run),
        "when": about["started"],
        "network": network.get("model", {}).get("name", ""),
        "task": about["params"]["task"],
        "data": manifest.get("inputs_sha256", "")[:DATA_LETTERS],
        "metric": metric,
        "value": metrics.get(metric),
        "pushed": pushed.get(training.name, []),
        "blessed": gate.get("blessed"),
        "verdict": verdict if training.is_dir() else f"gone: {verdict}",
        "trainer": training.name,
        "evaluator": evaluation.name,
    }


def chosen(word: str, found: Sequence[dict]) -> dict:
    """The row that "RUN" names, its newest, or "RUN:KEY", by the beginning of a key.

    Raises ValueError.
    """
    name, _, key = word.partition(":")
    own = [row for row in found if name in (row["run"], pathlib.Path(row["run"]).name)]
    if not own:
        known = ", ".join(sorted({pathlib.Path(row["run"]).name for row in found})) or "none"
        raise ValueError(f"--diff {word}: no run is called {name!r}; there are {known}")
    if not key:
        return own[-1]
    matching = [row for row in own if key and key in (row["trainer"][: len(key)],
                                                      row["evaluator"][: len(key)])]  # fmt: skip
    if len(matching) != 1:
        keys = ", ".join(row["trainer"] for row in own)
        raise ValueError(
            f"--diff {word}: {len(matching)} trainings of {name} begin so; they are {keys}"
        )
    return matching[0]


def difference(one: dict, other: dict) -> dict[str, list]:
    """{what: [of one, of the other]} of what differs: parameters of the training, data, metrics."""
    sides = [_facts(row) for row in (one, other)]
    keys = sorted({*sides[0], *sides[1]})
    return {
        key: [side.get(key) for side in sides]
        for key in keys
        if sides[0].get(key) != sides[1].get(key)
    }


def _facts(row: dict) -> dict[str, Any]:
    store = store_of(row)
    params = versions.read(store / "trainer" / row["trainer"] / "run.json").get("params", {})
    metrics = versions.read(store / "evaluator" / row["evaluator"] / "metrics.json")
    numbers = {k: v for k, v in metrics.items() if isinstance(v, (int, float))}
    facts = {**_flat(params), "data": row["data"]}
    return facts | {f"metrics.{name}": value for name, value in numbers.items()}


def store_of(row: dict) -> pathlib.Path:
    """Where the artifacts of a row lie: another folder where runs share one."""
    result = versions.read(pathlib.Path(row["run"]) / "result.json")
    for path in map(pathlib.Path, result.get("artifacts", {}).values()):
        if (path.parent.parent / "evaluator" / row["evaluator"]).is_dir():
            return path.parent.parent
    return pathlib.Path(row["run"]) / "artifacts"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
    return flat


def table(found: Sequence[dict]) -> str:
    """The rows for people, columns under each other."""
    lines = [COLUMNS, *(_cells(row) for row in found)]
    wide = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, wide, strict=False)), line[-1]])
        for line in lines
    )


def _cells(row: dict) -> tuple[str, ...]:
    value = row["value"]
    return (
        pathlib.Path(row["run"]).name,
        row["when"][:16].replace("T", " "),
        row["network"],
        row["data"],
        row["metric"],
        "-" if value is None else f"{value:.4f}",
        ",".join(map(str, row["pushed"])) or "-",
        row["verdict"],
    )
