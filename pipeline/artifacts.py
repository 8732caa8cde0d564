"""A component's finished output, and how files are written: all of them or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A finished component output."""

    path: pathlib.Path
    key: str  # identifies the content; the next component's input
    cached: bool


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
