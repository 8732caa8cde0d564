"""Pusher: a blessed and verified export becomes the newest version under TF Serving's base path.

Inputs: export (the exporter's folder), evaluation (gate.json), infra_validation (verified.json).
Output: pushed.json. The version is copied aside and renamed: a server sees all of it or nothing.

The same export is never there twice, whichever recipes share the base path. Where an older version
holds it, that one is renamed to the newest number if the gate found it better than the version that
is newest now, or if that one is the same training exported otherwise; where it is only as good, the
newest one stays, so that two equal recipes do not take turns every night. A version whose files are
no longer what was pushed holds no export: it is named, and the export becomes a new version.

The gate's decision holds for the version that it was compared with. Where another one was pushed
since, nothing is pushed (Overtaken), and whoever runs the steps asks the gate again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import NamedTuple

from convoy.pipeline import locks
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Push, Recipe, Section
from convoy.pipeline.errors import Refused, disk_full
from convoy.pipeline.versions import (
    MARK,
    RECORD,
    SOURCE,
    folders,
    identity,
    last_number,
    newest,
    read,
    trainer_of,
    withdrawn,
)

INPUTS = {
    "export": "exporter",
    "evaluation": "evaluator",
    "infra_validation": "infra_validator",
}
ASIDE = ".partial-"  # servers ignore folders whose name is no number
WAIT_S = 600.0  # for another push into the same folder: a copy takes seconds to minutes


class Overtaken(RuntimeError):
    """Another version was pushed since the gate decided; its decision no longer holds."""


class Params(Section):
    name: str  # of the served model
    push: Push


class Pushed(NamedTuple):
    """Where an export is after a push."""

    version: int  # that holds it
    new: bool  # it was copied there now
    newest: int  # version of the base path, the one that is served
    returned_from: int | None = None  # the number that the version had until now
    damaged: int | None = None  # a version that would hold it, had its files not changed since


def params_of(recipe: Recipe, model_dir: pathlib.Path) -> Params:
    """model_dir: the base path, MODEL_DIR/NAME."""
    push = recipe.push.model_copy(update={"model_dir": str(model_dir.parent)})
    return Params(name=recipe.name, push=push)


def run(
    inputs: Mapping[str, pathlib.Path],
    params: Params,
    workdir: pathlib.Path,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Pushes. Raises Refused where the model is not blessed, not verified, or was withdrawn by a
    rollback; Overtaken; and locks.Held where another push does not end.
    """
    model = inputs["export"] / "saved_model"
    check(model, inputs["evaluation"], inputs["infra_validation"])
    base = pathlib.Path(params.push.model_dir) / params.name
    gate = read(inputs["evaluation"] / "gate.json")
    better, against = (gate.get("gain") or 0.0) > 0, gate.get("against")
    pushed = push(model, base, keep=params.push.keep, better=better, against=against, tell=tell)
    path = str(folders(base)[pushed.version].resolve())
    report = {"name": params.name, **pushed._asdict(), "path": path}
    write_json(workdir / "pushed.json", report)


def summary(pushed: Mapping) -> str:
    """One clause for people about a pushed.json; the version's path follows."""
    version, newest, before = (pushed[key] for key in ("version", "newest", "returned_from"))
    if pushed["new"]:
        damaged = pushed["damaged"]
        changed = f" (version {damaged} held it, but its files have changed since)"
        return "new version" + changed * (damaged is not None)
    if before is not None:
        return f"this very export was version {before} and is the newest again, version {version}"
    if version != newest:
        return f"already there (version {newest} is newer, and this one is not better)"
    return "already there"


def check(model: pathlib.Path, evaluation: pathlib.Path, infra: pathlib.Path) -> None:
    """Raises Refused unless gate.json blesses and verified.json verifies this very SavedModel."""
    gate = read(evaluation / "gate.json")
    if gate.get("blessed") is not True:
        reason = gate.get("summary") or f"{evaluation / 'gate.json'} has no blessing"
        raise Refused(f"not pushed: {reason}")
    verified = read(infra / "verified.json")
    if verified.get("verified") is not True:
        raise Refused(f"not pushed: {infra / 'verified.json'} does not verify the export")
    if verified.get("digest") != content_digest(model):
        raise Refused(
            f"not pushed: {infra / 'verified.json'} verifies another SavedModel than {model}; "
            "run infra_validator on this one"
        )


def push(
    model: pathlib.Path,
    base: pathlib.Path,
    *,
    keep: int,
    better: bool = False,
    against: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Pushed:
    """Copies a SavedModel to base/VERSION, unless a version holds this very export already.

    better: than the newest version, so that an older one that holds it becomes the newest. against:
    `identity` of the newest version of another training when the gate decided, "" of none; None =
    not asked. The newest `keep` versions stay. Two pushers of one base path take turns, the second
    for WAIT_S at most. Raises Overtaken, locks.Held, and Refused for a model that was withdrawn.
    """
    base.mkdir(parents=True, exist_ok=True)
    with locks.held(base / locks.LOCK, str(base), wait_s=WAIT_S, tell=tell):
        for leftover in base.glob(f"{ASIDE}*"):  # of pushes that were killed
            shutil.rmtree(leftover)
        _check_still(model, base, against)
        digest, found = content_digest(model), folders(base)
        _check_withdrawn(model, base, digest)
        last, fresh = max(found, default=0), last_number(base) + 1
        existing, damaged = _existing(model, found, digest)
        if existing is None:
            _copy(model, base, fresh, digest)
            pushed = Pushed(fresh, True, fresh, damaged=damaged)
        elif existing != last and (better or trainer_of(found[last]) == trainer_of(model) != ""):
            _return(found[existing], fresh)
            pushed = Pushed(fresh, False, fresh, existing)
        else:
            pushed = Pushed(existing, False, last)
        kept = folders(base)
        for old in sorted(kept)[:-keep]:
            if old == pushed.version:
                continue  # what the result names stays
            aside = base / f"{ASIDE}old-{old}"
            os.rename(kept[old], aside)  # goes all at once, too
            shutil.rmtree(aside)
    return pushed


def _check_still(model: pathlib.Path, base: pathlib.Path, against: str | None) -> None:
    """Raises Overtaken where the gate did not see the version that is newest now."""
    number = newest(base, but=trainer_of(model))
    now = "" if number is None else identity(folders(base)[number])
    if against is not None and now != against:
        raise Overtaken(
            f"{base}: version {number} is of another training than the one that the gate compared "
            "with"
            if number is not None
            else f"{base}: the version that the gate compared with is gone"
        )


def _check_withdrawn(model: pathlib.Path, base: pathlib.Path, digest: str) -> None:
    """Raises Refused for what a rollback took out of service: this export, or its training's."""
    trainer = trainer_of(model)
    for number, about in withdrawn(base).items():
        if digest == about["identity"] or (trainer and trainer == about["trainer"]):
            why = f": {about['reason']}" if about["reason"] else ""
            raise Refused(
                f"not pushed: a rollback withdrew this training's model, version {number}, on "
                f"{about['when']}{why}. To allow it again, take {number} out of {base / RECORD}"
            )


def _existing(
    model: pathlib.Path, found: Mapping[int, pathlib.Path], digest: str
) -> tuple[int | None, int | None]:
    """The newest version with the same content, or of the same export of the same training.

    (it, None), or (None, such a version whose files are no longer those that were pushed).
    """
    source, damaged = read(model / SOURCE), None
    for number in sorted(found, reverse=True):
        pushed = read(found[number] / MARK).get("digest")
        same = source.get("export") and read(found[number] / SOURCE) == source
        if same or pushed == digest:
            if pushed is None or content_digest(found[number]) == pushed:
                return number, None
            damaged = damaged or number
    return None, damaged


def _return(version: pathlib.Path, number: int) -> None:
    """Renames a version, so that servers load it under the new number."""
    mark = version / MARK
    write_json(mark, {**read(mark), "version": number})
    os.rename(version, version.with_name(str(number)))


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
    try:
        _copy_aside(model, aside, version, digest)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(aside, ignore_errors=True)  # it would keep the disk full
        if disk_full(error):  # shutil's own error is a list of one line per file
            raise OSError(errno.ENOSPC, "the disk is full", str(base)) from None
        raise
    os.rename(aside, base / str(version))
    folder = os.open(base, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_aside(model: pathlib.Path, aside: pathlib.Path, version: int, digest: str) -> None:
    shutil.copytree(model, aside)
    (aside / "assets.extra").mkdir(exist_ok=True)
    write_json(aside / MARK, {"digest": digest, "version": version})
    for file in aside.rglob("*"):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
