"""Pusher: a blessed and verified export becomes the newest version under TF Serving's base path.

Inputs: export (the exporter's folder), evaluation (gate.json), infra_validation (verified.json).
Output: pushed.json. The version is copied aside and renamed: a server sees all of it or nothing.

The same export is never there twice, whichever recipes share the base path. Where an older version
holds it, that one is renamed to the newest number if the gate found it better than the version that
is newest now, or if that one is the same training exported otherwise; where it is only as good, the
newest one stays, so that two equal recipes do not take turns every night.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import NamedTuple

from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Push, Recipe, Section
from convoy.pipeline.errors import Refused

INPUTS = {
    "export": "exporter",
    "evaluation": "evaluator",
    "infra_validation": "infra_validator",
}
ASIDE = ".partial-"  # servers ignore folders whose name is no number
MARK = "assets.extra/pushed.json"
SOURCE = "assets.extra/source.json"  # which training and which export it is: the exporter's


class Params(Section):
    name: str  # of the served model
    push: Push


class Pushed(NamedTuple):
    """Where an export is after a push."""

    version: int  # that holds it
    new: bool  # it was copied there now
    newest: int  # version of the base path, the one that is served
    returned_from: int | None = None  # the number that the version had until now


def params_of(recipe: Recipe, model_dir: pathlib.Path) -> Params:
    """model_dir: the base path, MODEL_DIR/NAME."""
    push = recipe.push.model_copy(update={"model_dir": str(model_dir.parent)})
    return Params(name=recipe.name, push=push)


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Pushes. Raises Refused where the model is not blessed or not verified."""
    model = inputs["export"] / "saved_model"
    check(model, inputs["evaluation"], inputs["infra_validation"])
    base = pathlib.Path(params.push.model_dir) / params.name
    gain = _read(inputs["evaluation"] / "gate.json").get("gain") or 0.0
    pushed = push(model, base, keep=params.push.keep, better=gain > 0)
    path = str((base / str(pushed.version)).resolve())
    report = {"name": params.name, **pushed._asdict(), "path": path}
    write_json(workdir / "pushed.json", report)


def summary(pushed: Mapping) -> str:
    """One clause for people about a pushed.json; the version's path follows."""
    version, newest, before = (pushed[key] for key in ("version", "newest", "returned_from"))
    if pushed["new"]:
        return "new version"
    if before is not None:
        return f"this very export was version {before} and is the newest again, version {version}"
    if version != newest:
        return f"already there (version {newest} is newer, and this one is not better)"
    return "already there"


def check(model: pathlib.Path, evaluation: pathlib.Path, infra: pathlib.Path) -> None:
    """Raises Refused unless gate.json blesses and verified.json verifies this very SavedModel."""
    gate = _read(evaluation / "gate.json")
    if gate.get("blessed") is not True:
        reason = gate.get("summary") or f"{evaluation / 'gate.json'} has no blessing"
        raise Refused(f"not pushed: {reason}")
    verified = _read(infra / "verified.json")
    if verified.get("verified") is not True:
        raise Refused(f"not pushed: {infra / 'verified.json'} does not verify the export")
    if verified.get("digest") != content_digest(model):
        raise Refused(
            f"not pushed: {infra / 'verified.json'} verifies another SavedModel than {model}; "
            "run infra_validator on this one"
        )


def push(model: pathlib.Path, base: pathlib.Path, *, keep: int, better: bool = False) -> Pushed:
    """Copies a SavedModel to base/VERSION, unless a version holds this very export already.

    better: than the newest version, so that an older one that holds it becomes the newest. The
    newest `keep` versions stay. Two pushers of one base path take turns.
    """
    base.mkdir(parents=True, exist_ok=True)
    with open(base / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in base.glob(f"{ASIDE}*"):  # of pushes that were killed
            shutil.rmtree(leftover)
        digest = content_digest(model)
        last = max(versions(base), default=0)
        existing = _existing(model, base, digest)
        if existing is None:
            _copy(model, base, last + 1, digest)
            pushed = Pushed(last + 1, True, last + 1)
        elif existing != last and (
            better or trainer_of(base / str(last)) == trainer_of(model) != ""
        ):
            _return(base, existing, last + 1)
            pushed = Pushed(last + 1, False, last + 1, existing)
        else:
            pushed = Pushed(existing, False, last)
        for old in sorted(versions(base))[:-keep]:
            if old == pushed.version:
                continue  # what the result names stays
            aside = base / f"{ASIDE}old-{old}"
            os.rename(base / str(old), aside)  # goes all at once, too
            shutil.rmtree(aside)
    return pushed


def newest(base: pathlib.Path, *, but: str = "") -> int | None:
    """The newest version under a base path that is not of the training `but`, None without one."""
    if not base.is_dir():
        return None
    numbers = [n for n in versions(base) if not but or trainer_of(base / str(n)) != but]
    return max(numbers, default=None)


def trainer_of(version: pathlib.Path) -> str:
    """Key of the training that a SavedModel came from, "" where it does not say."""
    return _read(version / SOURCE).get("trainer", "")


def _existing(model: pathlib.Path, base: pathlib.Path, digest: str) -> int | None:
    """The newest version with the same content, or of the same export of the same training."""
    source = _read(model / SOURCE)
    for number in sorted(versions(base), reverse=True):
        version = base / str(number)
        same = source.get("export") and _read(version / SOURCE) == source
        if same or _read(version / MARK).get("digest") == digest:
            return number
    return None


def _return(base: pathlib.Path, version: int, number: int) -> None:
    """Renames a version, so that servers load it under the new number."""
    mark = base / str(version) / MARK
    write_json(mark, {**_read(mark), "version": number})
    os.rename(base / str(version), base / str(number))


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
