"""The versions of a pushed model: numbered folders of a base path, as TensorFlow Serving has them.

A number may be written with zeros before it, `0001`, as TensorFlow Serving takes it; where two
folders have one number, the one without zeros counts.

A rollback takes the newest version out of service: its folder becomes NUMBER.withdrawn, which is no
number, so that every server that watches the path goes back to the version before. Its number is
never given again, and RECORD says of it what it was, so that no later push brings it back.
"""

from __future__ import annotations

import json
import pathlib

MARK = "assets.extra/pushed.json"  # digest and number, written by the push
RECORD = "withdrawn.json"  # in the base path: {number: what was withdrawn, when, by whom, why}
ASIDE = ".withdrawn"  # the end of a withdrawn version's name
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


def withdrawn(base: pathlib.Path) -> dict[int, dict]:
    """What rollbacks took out of service under a base path, without what was put back by hand."""
    found = {int(number): about for number, about in read(base / RECORD).items()}
    there = folders(base) if found else {}
    return {
        number: about
        for number, about in found.items()
        if number not in there or identity(there[number]) != about["identity"]
    }


def last_number(base: pathlib.Path) -> int:
    """The highest number that was ever given, as far as versions and RECORD tell; 0 of none."""
    return max([*folders(base), *map(int, read(base / RECORD))], default=0)


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
