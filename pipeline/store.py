"""The store: a component runs once for each distinct (code, parameters, inputs).

An artifact is a folder `STORE/COMPONENT/KEY`. A component writes into `KEY.partial` beside it; only
when it returns is the folder renamed, so what has a final name is complete. A killed component
finds its own `KEY.partial` again, so the ones that can resume do.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from convoy.pipeline import locks
from convoy.pipeline.artifacts import Artifact, write_json

BEGUN = "begun.json"  # in a growing artifact's folder: its kind and size
Size = tuple[float, ...]


class Growth(Protocol):
    """A module that knows how a larger artifact of a kind begins: see training/longer.py."""

    def size(self, params: Mapping[str, Any]) -> Size | None: ...  # None = this one does not grow

    def without(self, params: Mapping[str, Any]) -> Mapping[str, Any]: ...  # all but the size

    def goes_on(self, smaller: Size, whole: bool, size: Size) -> bool: ...  # or is none

    def reached(self, artifact: pathlib.Path) -> int: ...  # the one that got furthest is taken

    def begin(self, smaller: pathlib.Path, workdir: pathlib.Path, size: Size) -> str: ...


def execute(
    name: str,
    run: Callable[[Mapping[str, pathlib.Path], Any, pathlib.Path], None],
    *,
    inputs: Mapping[str, Artifact | pathlib.Path],
    params: Any,
    store: pathlib.Path,
    code: str,
    grows: Growth | None = None,
    plan: bool = False,
    follow: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Artifact:
    """Runs `run(inputs, params, workdir)` unless its artifact exists.

    plan: only say whether it would run. follow: this process is a worker beside the chief of the
    same job: it works in the chief's folder and leaves locking and renaming to it.

    inputs: artifacts (known by their key) or raw files (known by names, sizes and times).
    params: a pydantic model or dict; code: hash of the code that runs, see closure.py.
    grows: an artifact that differs in its size alone is begun from the smaller one that got
    furthest, and `tell` receives the message that `begin` returns.
    """
    paths = {k: v.path if isinstance(v, Artifact) else pathlib.Path(v) for k, v in inputs.items()}
    plain = params.model_dump(mode="json") if hasattr(params, "model_dump") else params
    content = {
        "component": name,
        "code": code,
        "params": plain,
        "inputs": {
            k: v.key if isinstance(v, Artifact) else fingerprint(paths[k])
            for k, v in sorted(inputs.items())
        },
    }
    size = grows.size(plain) if grows else None
    kind = None if size is None else digest({**content, "params": grows.without(plain)})
    key = digest(content)
    final = store / name / key
    if final.is_dir() or plan:
        return Artifact(final, key, cached=final.is_dir())
    final.parent.mkdir(parents=True, exist_ok=True)
    workdir = final.parent / f"{key}.partial"

    def begin() -> None:
        workdir.mkdir(exist_ok=True)
        if not follow:
            _remove_leftovers(workdir)
        if size is None:
            return
        with _smaller(final.parent, grows, kind, size, workdir) as smaller:
            text = grows.begin(smaller, workdir, size) if smaller else ""
        if not follow:
            write_json(workdir / BEGUN, {"kind": kind, "size": size})
        if text:
            tell(f"{name}: {text}")

    if follow:
        begin()
        run(paths, params, workdir)
        return Artifact(final, key, cached=False)
    with open(final.parent / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run of the same work waits, then finds it done
        if final.is_dir():
            return Artifact(final, key, cached=True)
        begin()
        started = time.time()
        run(paths, params, workdir)
        write_json(workdir / "run.json", _record(name, key, paths, plain, started))
        os.rename(workdir, final)
    return Artifact(final, key, cached=False)


@contextlib.contextmanager
def _smaller(
    folder: pathlib.Path, grows: Growth, kind: str, size: Size, workdir: pathlib.Path
) -> Iterator[pathlib.Path | None]:
    """The artifact of a kind that got furthest on the way to a size; its lock is held."""
    found = []
    for path in folder.glob(f"*/{BEGUN}"):
        other, whole = path.parent, not path.parent.suffix
        begun = json.loads(path.read_text())
        known = other != workdir and begun["kind"] == kind
        if known and grows.goes_on(tuple(begun["size"]), whole, size):
            found.append(other)
    best = max(found, key=grows.reached, default=None)
    if best is None or not best.suffix:
        yield best
        return
    try:
        with locks.held(folder / f"{best.stem}.lock", str(best)):
            yield best
    except locks.Held:  # a run of its own is under way
        yield None


def _remove_leftovers(workdir: pathlib.Path) -> None:
    """Removes what a killed process was writing aside, which nobody will rename any more."""
    for pattern in (".*.tmp", ".*.new", "aside-*.weights.h5"):
        for path in workdir.rglob(pattern):
            path.unlink(missing_ok=True)


def of_files(artifact: Artifact, names: tuple[str, ...]) -> Artifact:
    """The artifact, known by what these files of it hold: all that its reader looks at."""
    files = [artifact.path / name for name in names]
    if not all(file.is_file() for file in files):  # planned
        return artifact
    key = digest([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    return Artifact(artifact.path, key, artifact.cached)


def digest(value: Any) -> str:
    """Short sha256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(path: pathlib.Path) -> str:
    """Hash of names, sizes and modification times below a path; contents are not read.

    Links are followed as data.files does: not to a folder above, and one that leads nowhere counts
    by its name.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    sha = hashlib.sha256()
    for entry in _walk(str(path)):
        sha.update(f"{entry}\0".encode("utf-8", "surrogateescape"))
    return sha.hexdigest()[:16]


def _walk(path: str, above: frozenset[str] = frozenset()):
    if os.path.isfile(path):
        stat = os.stat(path)
        yield f"{stat.st_size}:{stat.st_mtime_ns}"
        return
    real = os.path.realpath(path)
    if real in above:
        return
    for entry in sorted(os.scandir(path), key=lambda e: e.name):
        if os.path.isdir(entry.path):
            for line in _walk(entry.path, above | {real}):
                yield f"{entry.name}/{line}"
        elif os.path.exists(entry.path):
            stat = entry.stat()
            yield f"{entry.name}:{stat.st_size}:{stat.st_mtime_ns}"
        else:
            yield f"{entry.name}:nowhere"


def _record(name, key, paths, params, started) -> dict[str, Any]:
    packages = ("tensorflow", "keras", "apache-beam", "numpy")
    return {
        "component": name,
        "key": key,
        "started": datetime.datetime.fromtimestamp(started, datetime.timezone.utc).isoformat(),
        "seconds": round(time.time() - started, 3),
        "inputs": {k: str(v) for k, v in paths.items()},
        "params": params,
        "environment": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }
