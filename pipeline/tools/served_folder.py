"""What `convoy serve` is given as DIR: a run, a model, one version of it, or a folder of models."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from convoy.pipeline.networks import saved, trained
from convoy.pipeline.tools import exported
from convoy.pipeline.versions import folders, read


class Served(NamedTuple):
    """A base path, or a folder of those, and which versions of it."""

    base: pathlib.Path
    versions: str
    aside: tempfile.TemporaryDirectory | None = None  # to be kept while it is served


def of(word: str, versions: str, tell: Callable[[str], None]) -> Served:
    """A model that was not pushed is served as version 1 of a base path that is made aside.

    A run's model that was pushed is followed: newer versions are loaded. A folder that is neither
    run nor model stands for itself: models may appear in it. Raises FileNotFoundError, ValueError.
    """
    path = pathlib.Path(word)
    if exported.is_run(path):
        model = exported.pushed(path, read(path / "result.json"))
        if model is not None:
            exported.find(path, tell)  # says where the newest training was not pushed
            return Served(model.parent, versions)
        return _aside(exported.find(path, tell), path.resolve().name)
    if (path / trained.META).exists():
        return _aside(exported.find(path, tell), path.resolve().parents[2].name)
    model = saved.find(path) if (path / saved.GRAPH).is_file() or _exports(path) else None
    if model is None:
        return Served(path, versions)
    if not model.name.isdigit():
        name = read(model.parent / "run.json").get("params", {}).get("name")
        return _aside(model, name or model.resolve().name)
    number = str(next(n for n, at in folders(model.parent).items() if at.name == model.name))
    if versions not in ("latest", number):
        raise ValueError(f"{path} is version {number} alone, got --versions {versions}")
    return Served(model.parent, number)


def _exports(path: pathlib.Path) -> bool:
    return (path / saved.EXPORT / saved.GRAPH).is_file()


def _aside(model: pathlib.Path, name: str) -> Served:
    aside = tempfile.TemporaryDirectory(prefix="convoy-serve-")
    base = pathlib.Path(aside.name) / name
    base.mkdir()
    (base / "1").symlink_to(model.resolve(), target_is_directory=True)
    return Served(base, "latest", aside)
