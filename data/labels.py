"""The label map: labels.txt, one class name per line; the line is the class, from 0."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence


def check(labels: Sequence[str], where: str = "labels") -> tuple[str, ...]:
    """The names as a tuple. Raises ValueError for none, an empty or a repeated name."""
    if not labels:
        raise ValueError(f"{where}: expected at least one class name, got none")
    positions: dict[str, int] = {}
    for index, name in enumerate(labels):
        if not name.strip() or name != name.strip() or len(name.splitlines()) != 1:
            raise ValueError(
                f"{where}: class {index} is {name!r}; expected a name without line breaks "
                "and without blanks around it"
            )
        if name in positions:
            raise ValueError(f"{where}: {name!r} is both class {positions[name]} and class {index}")
        positions[name] = index
    return tuple(labels)


def usable(names: Sequence[str], where: str) -> tuple[tuple[str, ...], list[str]]:
    """(the names, blanks around them cut; a note and no names where `check` would raise)."""
    try:
        return (check([name.strip() for name in names], where) if names else ()), []
    except ValueError as error:
        return (), [f"{error}: no network can learn of these {where}"]


def read(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names of a labels.txt; a blank line at the end is allowed. Raises ValueError."""
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    return check(text.rstrip("\n").splitlines(), str(path))


def write(path: str | os.PathLike, labels: Sequence[str]) -> None:
    """Writes aside and renames."""
    path = pathlib.Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text("".join(f"{name}\n" for name in check(labels)), encoding="utf-8")
    os.replace(aside, path)


def properties(labels: Sequence[str]) -> dict[str, list[int]]:
    """{property: its classes}, of classes that are called PROPERTY=VALUE. Raises ValueError."""
    found: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        name, sign, _ = label.partition("=")
        if not sign:
            raise ValueError(
                f"expected classes that are called PROPERTY=VALUE, got {label!r}: name the columns "
                "of the table in data.attributes"
            )
        found.setdefault(name, []).append(index)
    return found
