"""Content-addressed outputs: run a component once for each distinct (code, parameters, inputs).

An artifact is a folder `STORE/COMPONENT/KEY`. A component writes into `KEY.partial` beside it; only
when it returns is the folder renamed, so what has a final name is complete. A killed component
finds its own `KEY.partial` again, so the ones that can resume do.
"""

from __future__ import annotations

import dataclasses
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

SOURCES = (".py", ".html")  # what a component's code is made of
ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A finished component output."""

    path: pathlib.Path
    key: str  # identifies the content; the next component's input
    cached: bool


def execute(
    name: str,
    run: Callable[[Mapping[str, pathlib.Path], Any, pathlib.Path], None],
    *,
    inputs: Mapping[str, Artifact | pathlib.Path],
    params: Any,
    store: pathlib.Path,
    code: tuple[str, ...],
    plan: bool = False,
    follow: bool = False,
) -> Artifact:
    """Runs `run(inputs, params, workdir)` unless its artifact exists.

    plan: only say whether it would run. follow: this process is a worker beside the chief of the
    same job: it works in the chief's folder and leaves locking and renaming to it.

    inputs: artifacts (known by their key) or raw files (known by names, sizes and times).
    params: a pydantic model or dict; `code`: packages or files whose source is part of the key.
    """
    paths = {k: v.path if isinstance(v, Artifact) else pathlib.Path(v) for k, v in inputs.items()}
    key = digest(
        {
            "component": name,
            "code": code_version(code),
            "params": params.model_dump(mode="json") if hasattr(params, "model_dump") else params,
            "inputs": {
                k: v.key if isinstance(v, Artifact) else fingerprint(paths[k])
                for k, v in sorted(inputs.items())
            },
        }
    )
    final = store / name / key
    if final.is_dir() or plan:
        return Artifact(final, key, cached=final.is_dir())
    final.parent.mkdir(parents=True, exist_ok=True)
    if follow:
        workdir = final.parent / f"{key}.partial"
        workdir.mkdir(exist_ok=True)
        run(paths, params, workdir)
        return Artifact(final, key, cached=False)
    with open(final.parent / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second run of the same work waits, then finds it done
        if final.is_dir():
            return Artifact(final, key, cached=True)
        workdir = final.parent / f"{key}.partial"
        workdir.mkdir(exist_ok=True)
        started = time.time()
        run(paths, params, workdir)
        write_json(workdir / "run.json", _record(name, key, paths, params, started))
        os.rename(workdir, final)
    return Artifact(final, key, cached=False)


def digest(value: Any) -> str:
    """Short sha256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version(names: tuple[str, ...]) -> str:
    """Hash of the sources under the given packages or files of this project."""
    sha = hashlib.sha256()
    for name in sorted(names):
        top = ROOT / name
        paths = [p for p in top.rglob("*") if p.suffix in SOURCES] if top.is_dir() else [top]
        for path in sorted(paths):
            sha.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()[:16]


def fingerprint(path: pathlib.Path) -> str:
    """Hash of names, sizes and modification times below a path; contents are not read."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    sha = hashlib.sha256()
    for entry in _walk(str(path)):
        sha.update(f"{entry}\0".encode())
    return sha.hexdigest()[:16]


def _walk(path: str):
    if os.path.isfile(path):
        stat = os.stat(path)
        yield f"{stat.st_size}:{stat.st_mtime_ns}"
        return
    for entry in sorted(os.scandir(path), key=lambda e: e.name):
        if entry.is_dir():
            for line in _walk(entry.path):
                yield f"{entry.name}/{line}"
        else:
            stat = entry.stat()
            yield f"{entry.name}:{stat.st_size}:{stat.st_mtime_ns}"


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes aside and renames, so that a reader never sees half a file."""
    write_bytes(path, (json.dumps(value, indent=2, default=str) + "\n").encode())


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes aside and renames."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: expected the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: no folder {path.parent} to write it into")
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _record(name, key, paths, params, started) -> dict[str, Any]:
    packages = ("tensorflow", "keras", "apache-beam", "numpy")
    return {
        "component": name,
        "key": key,
        "started": datetime.datetime.fromtimestamp(started, datetime.timezone.utc).isoformat(),
        "seconds": round(time.time() - started, 3),
        "inputs": {k: str(v) for k, v in paths.items()},
        "params": params.model_dump(mode="json") if hasattr(params, "model_dump") else params,
        "environment": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }
