"""What `convoy look` is given: a run, a folder of runs, records, or a model; and what lies there.

Everything is looked up anew for each page, so that a run that is still going shows what it has by
then. No TensorFlow: folders are only looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib

import yaml

from convoy.pipeline import versions
from convoy.pipeline.evaluation import worst
from convoy.pipeline.networks import saved, trained
from convoy.pipeline.tools import runs

# What a run that is half-written, or of another version, raises where it is read.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)


@dataclasses.dataclass(frozen=True)
class Places:
    """The given folder, in one of its three roles."""

    given: pathlib.Path
    role: str  # "records", "model" or "runs"

    def runs(self) -> list[pathlib.Path]:
        """Run folders; of records none, of a model the one around it."""
        if self.role == "runs":
            return runs.find([self.given])
        around = [above for above in self.given.resolve().parents if is_run(above)]
        return around[:1] if self.role == "model" else []

    def records(self) -> dict[str, pathlib.Path]:
        """{key: folder} of all records, the newest of each run first."""
        if self.role == "records":
            return {key_of(self.given): self.given}
        found = [path for run in self.runs() for path in _records_of(run)]
        return {key_of(path): path for path in found}

    def evaluations(self) -> tuple[dict[str, dict], list[str]]:
        """({key: row of tools/runs.py with "folder" and "name"}, newest first; what went wrong)."""
        rows, faults = [], []
        for run in self.runs():
            try:
                rows += [{**row, "folder": folder_of(run, row)} for row in runs.rows(run)]
            except (
                OSError,
                ValueError,
                KeyError,
                TypeError,
                AttributeError,
                yaml.YAMLError,
            ) as error:
                faults.append(f"{run}: cannot be read as a run: {type(error).__name__}: {error}")
        rows.sort(key=lambda row: row["when"], reverse=True)
        return {key_of(row["folder"]): row for row in rows}, faults

    def going(self) -> list[str]:
        """Names of runs that are not finished: they have no result, or it is older than what a step
        left aside. What lies there from before the result belongs to a training that was given up.
        """
        return [run.name for run in self.runs() if _begun(run) > _ended(run)]

    def models(self) -> list[pathlib.Path]:
        """What can be asked: a model's folder, and runs with a training."""
        if self.role == "model":
            return [self.given]
        return [run for run in self.runs() if any(run.glob(f"artifacts/trainer/*/{trained.META}"))]

    def roots(self) -> list[pathlib.Path]:
        """Folders whose pictures may be named by a path: this one, where it was started, data."""
        found = [self.given, pathlib.Path.cwd()]
        for run in self.runs():
            found.append(run)
            try:
                recipe = yaml.safe_load((run / "config.yaml").read_text()) or {}
                data = recipe.get("data", {}).get("path", "")
            except (OSError, AttributeError, yaml.YAMLError):
                continue
            found += [pathlib.Path(data)] if data and pathlib.Path(data).is_dir() else []
        return [path.resolve() for path in found if path.resolve() != pathlib.Path("/")]


def of(word: str) -> Places:
    """Raises FileNotFoundError for a folder that is none of these."""
    path = pathlib.Path(word)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: no such folder; expected a run, a folder of runs, records or a model"
        )
    if (path / "manifest.json").is_file():
        return Places(path, "records")
    if is_run(path):
        return Places(path, "runs")
    if (path / trained.META).is_file() or saved.find(path) is not None:
        return Places(path, "model")
    try:
        runs.find([path])
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: expected a run (config.yaml and artifacts), a folder of runs, records "
            "(manifest.json) or a model, found none of them"
        ) from None
    return Places(path, "runs")


def is_run(path: pathlib.Path) -> bool:
    return (path / "config.yaml").is_file() and (
        (path / "artifacts").is_dir() or (path / "result.json").is_file()
    )


def key_of(path: pathlib.Path) -> str:
    """What a folder is called in an address, so that no address holds a path."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def folder_of(run: pathlib.Path, row: dict) -> pathlib.Path:
    """The evaluator's folder of a row."""
    return runs.store_of({**row, "run": str(run)}) / "evaluator" / row["evaluator"]


def _records_of(run: pathlib.Path) -> list[pathlib.Path]:
    """Of a run: those that were evaluated, else what its store holds, the newest first."""
    evaluated = [
        worst.records_of(path.parent)
        for path in run.glob("artifacts/evaluator/*/run.json")
        if not path.parent.suffix
    ]
    named = versions.read(run / "result.json").get("artifacts", {}).get("example_gen")
    made = [path.parent for path in run.glob("artifacts/example_gen/*/manifest.json")]
    found = {
        path.resolve(): path
        for path in (*evaluated, *([pathlib.Path(named)] if named else []), *made)
        if not path.suffix and (path / "manifest.json").is_file()
    }
    return sorted(found.values(), key=lambda p: -(p / "manifest.json").stat().st_mtime)


def _ended(run: pathlib.Path) -> float:
    """When the result was written; -1 where there is none."""
    result = run / "result.json"
    return result.stat().st_mtime if result.is_file() else -1.0


def _begun(run: pathlib.Path) -> float:
    """When the newest file of a step's unfinished work was written; 0 where there is none."""
    times = []
    for path in (run / "artifacts").glob("*/*.partial/*"):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)
