"""Pusher: a blessed and verified export becomes the next version under TF Serving's base path.

Inputs: export (the exporter's folder), evaluation (gate.json), infra_validation (verified.json).
Output: pushed.json. The version is copied aside and renamed: a server sees all of it or nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping

from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Push, Section
from convoy.pipeline.errors import Refused

ASIDE = ".partial-"  # servers ignore folders whose name is no number
MARK = "assets.extra/pushed.json"


class Params(Section):
    name: str  # of the served model
    push: Push


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Pushes. Raises Refused where the model is not blessed or not verified."""
    model = inputs["export"] / "saved_model"
    check(model, inputs["evaluation"], inputs["infra_validation"])
    base = pathlib.Path(params.push.model_dir) / params.name
    version, new = push(model, base, keep=params.push.keep)
    write_json(
        workdir / "pushed.json",
        {
            "name": params.name,
            "version": version,
            "path": str((base / str(version)).resolve()),
            "new": new,
        },
    )


def check(model: pathlib.Path, evaluation: pathlib.Path, infra: pathlib.Path) -> None:
    """Raises Refused unless gate.json blesses and verified.json verifies this very SavedModel."""
    gate = _read(evaluation / "gate.json")
    if gate.get("blessed") is not True:
        reason = gate.get("text") or f"{evaluation / 'gate.json'} has no blessing"
        raise Refused(f"not pushed: {reason}")
    verified = _read(infra / "verified.json")
    if verified.get("verified") is not True:
        raise Refused(f"not pushed: {infra / 'verified.json'} does not verify the export")
    if verified.get("digest") != content_digest(model):
        raise Refused(
            f"not pushed: {infra / 'verified.json'} verifies another SavedModel than {model}; "
            "run infra_validator on this one"
        )


def push(model: pathlib.Path, base: pathlib.Path, *, keep: int) -> tuple[int, bool]:
    """Copies a SavedModel to base/VERSION; returns (version, whether it is a new one).

    Where the newest version already holds the same files, that one is returned. The newest `keep`
    versions stay. Two pushers of one base path take turns.
    """
    base.mkdir(parents=True, exist_ok=True)
    with open(base / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in base.glob(f"{ASIDE}*"):  # of pushes that were killed
            shutil.rmtree(left)
        digest = content_digest(model)
        newest = max(versions(base), default=0)
        if newest and _read(base / str(newest) / MARK).get("digest") == digest:
            version, new = newest, False
        else:
            version, new = newest + 1, True
            _copy(model, base, version, digest)
        for old in sorted(versions(base))[:-keep]:
            aside = base / f"{ASIDE}old-{old}"
            os.rename(base / str(old), aside)  # goes all at once, too
            shutil.rmtree(aside)
    return version, new


def versions(base: pathlib.Path) -> list[int]:
    """Numbers of the versions under a base path."""
    return [int(child.name) for child in base.iterdir() if child.name.isdigit() and child.is_dir()]


def content_digest(model: pathlib.Path) -> str:
    """sha256 over names and contents of a SavedModel's files."""
    sha = hashlib.sha256()
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        name = file.relative_to(model).as_posix()
        if name == MARK:
            continue
        content = hashlib.sha256()
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        sha.update(f"{name}\0{content.hexdigest()}\n".encode())
    return sha.hexdigest()


def _copy(model: pathlib.Path, base: pathlib.Path, version: int, digest: str) -> None:
    aside = base / f"{ASIDE}{version}"
    shutil.copytree(model, aside)
    (aside / "assets.extra").mkdir(exist_ok=True)
    write_json(aside / MARK, {"digest": digest, "version": version})
    for file in aside.rglob("*"):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
    os.rename(aside, base / str(version))
    folder = os.open(base, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: pathlib.Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
