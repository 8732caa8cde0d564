"""The versions of a pushed model: numbered folders of a base path, as TensorFlow Serving has them.

A number may be written with zeros before it, `0001`, as TensorFlow Serving takes it; where two
folders have one number, the one without zeros counts.
"""

from __future__ import annotations

import json
import pathlib

MARK = "assets.extra/pushed.json"  # digest and number, written by the push
SOURCE = "assets.extra/source.json"  # which training and which export it is: the exporter's


def folders(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """{number: folder} of the versions under a base path."""
    named = [
        child
        for child in base.iterdir()
        if child.name.isascii() and child.name.isdigit() and child.is_dir()
    ]
    return {int(child.name): child for child in sorted(named, key=lambda x: (-len(x.name), x.name))}


def versions(base: pathlib.Path) -> list[int]:
    """Numbers of the versions under a base path."""
    return list(folders(base))


def newest(base: pathlib.Path, *, but: str = "") -> int | None:
    """The newest version under a base path that is not of the training `but`, None without one."""
    if not base.is_dir():
        return None
    found = folders(base)
    return max((n for n in found if not but or trainer_of(found[n]) != but), default=None)


def trainer_of(version: pathlib.Path) -> str:
    """Key of the training that a SavedModel came from, "" where it does not say."""
    return read(version / SOURCE).get("trainer", "")


def identity(version: pathlib.Path) -> str:
    """What tells a pushed version from others, whatever its number; its own number as a last way.

    It is of what was pushed, whatever has become of the files since.
    """
    return read(version / MARK).get("digest") or trainer_of(version) or version.name


def read(path: pathlib.Path) -> dict:
    """A JSON file's content, {} where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
