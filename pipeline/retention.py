"""Retention: which artifacts of a store are still needed, and removing the others.

Each run that came to a result is a line of STORE/runs.jsonl: when it began, its folder, its
artifacts. Of each run folder the newest `keep` runs count. Removed is what none of them refers to
and what is older than the begin of the newest `keep` runs of the store, so that a training that was
killed, or an artifact that was made since for a run that failed, is there to go on with. Nothing is
removed while a run uses the store, and nothing that is being made. What was pushed lies elsewhere:
push.keep says how many versions stay.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence

from convoy.pipeline import locks

RUNS = "runs.jsonl"
ASIDE = ".removed"  # the end of an artifact's name on its way out
MIB = 1 << 20


def note(
    store: pathlib.Path,
    run_dir: pathlib.Path,
    upto: str,
    started: float,
    artifacts: Mapping[str, str],
) -> None:
    """Adds a run to those of a store; started: seconds since the epoch."""
    names = [f"{name}/{pathlib.Path(path).name}" for name, path in artifacts.items()]
    line = {"run_dir": str(run_dir), "started": started, "upto": upto, "artifacts": names}
    with open(store / RUNS, "a") as file:
        file.write(json.dumps(line) + "\n")


def after(store: pathlib.Path, keep: int, tell: Callable[[str], None]) -> None:
    """After a run; another one that uses the store is a reason to wait for the next time."""
    try:
        removed = clean(store, keep)
    except locks.Held as held:
        tell(f"keep_runs: nothing is removed now: {held}")
        return
    if removed:
        tell(f"keep_runs: {summary(removed)}")


def clean(store: pathlib.Path, keep: int, *, plan: bool = False) -> dict[str, int]:
    """Removes what is not needed any more; returns {"COMPONENT/KEY": its bytes}.

    plan: only says what. Raises locks.Held where a run uses the store.
    """
    with locks.held(store / locks.LOCK, str(store)):
        removed: dict[str, int] = {}
        for path in unneeded(store, keep):
            with _not_made(path) as free:
                if not free:
                    continue
                removed[path.relative_to(store).as_posix()] = _bytes(path)
                if not plan:
                    # All at once: half of an artifact under its final name would be found again.
                    aside = path.with_name(f".{path.name}{ASIDE}")
                    os.rename(path, aside)
        if not plan:
            for aside in store.glob(f"*/.*{ASIDE}"):  # of cleanings that were killed, too
                shutil.rmtree(aside)
        return removed


def unneeded(store: pathlib.Path, keep: int) -> list[pathlib.Path]:
    """Artifacts and half-made ones that no kept run refers to; none without enough runs."""
    newest: dict[str, list[dict]] = {}
    runs = sorted(_runs(store), key=lambda run: run["started"])
    for run in runs:
        newest.setdefault(run["run_dir"], []).append(run)
    kept = {name for own in newest.values() for run in own[-keep:] for name in run["artifacts"]}
    if len(runs) < keep:
        return []
    since = runs[-keep]["started"]
    found = [path for path in sorted(store.glob("*/*")) if path.is_dir() and path.name[0] != "."]
    return [
        path
        for path in found
        if path.relative_to(store).as_posix() not in kept and _changed(path) < since
    ]


def summary(removed: Mapping[str, int]) -> str:
    """One clause for people."""
    return f"{len(removed)} artifacts, {sum(removed.values()) / MIB:,.1f} MiB, that no run needs"


def stores(run_dirs: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The stores of run folders, each once, wherever they lie."""
    found = dict.fromkeys((run_dir / "artifacts").resolve() for run_dir in run_dirs)
    return [store for store in found if store.is_dir()]


def _runs(store: pathlib.Path) -> list[dict]:
    """Of folders that are still there; a line that was cut short by a crash is none."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in (store / RUNS).read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return [run for run in found if pathlib.Path(run["run_dir"]).is_dir()]


@contextlib.contextmanager
def _not_made(path: pathlib.Path):
    """Whether no process makes the artifact; the block keeps it so."""
    lock = path.parent / f"{path.name.removesuffix('.partial')}.lock"
    try:
        with locks.held(lock, str(path)):
            yield True
    except locks.Held:
        yield False


def _changed(path: pathlib.Path) -> float:
    """When anything in a folder was last changed, as far as its files tell."""
    return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))


def _bytes(path: pathlib.Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
