"""Files in one folder per class: which class and which split their folders say.

Layouts: `train/<class>/**` with `val/<class>/**` and so on, or `<class>/**` alone; also below one
folder that holds everything, as archives have it. Files may lie deeper
(`train/<wnid>/images/*.JPEG`). Folders of splits are called train, val, test, ..., or have such a
word in their names (`seg_train`, `training_set`), of which there are then two and more, and may
hold a single folder of the same name. Beside folders of splits, one with such a word in its name
(testing_set) that holds their classes alone is another.

A class may be called train, too. Folders are splits where they hold folders of classes; beside
folders with other names they are classes if they hold none, or if there is one such name, and two
other folders or more, that hold the same folders as it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from convoy.data.sources.layout import split_of
from convoy.data.sources.split import SPLITS


class Row(NamedTuple):
    split: str | None  # None: no folder says it
    label: str
    name: str  # of the file


def labelled(names: Iterable[str]) -> list[Row]:
    """Every file, of these names, that lies below a class folder."""
    # The names of a folder's folders once in memory, not for each of some million files.
    shared: dict[str, list[str]] = {}
    rows = []
    for name in names:
        folder = name.rpartition("/")[0]
        if folder:
            rows.append((shared.setdefault(folder, folder.split("/")), name))
    rows = _unwrapped(rows)
    splits = _splits(rows)
    if splits is None:
        return [Row(None, folders[0], name) for folders, name in rows]
    below: dict[str, set[str]] = {top: set() for top in splits}  # the folders in each split
    for folders, _ in rows:
        if folders[0] in splits:
            below[folders[0]].update(folders[1:2])
    found = []
    for (top, *folders), name in rows:
        if top in splits and folders:
            repeated = below[top] == {top} and len(folders) > 1
            found.append(Row(splits[top], folders[1 if repeated else 0], name))
    return found


def _unwrapped(rows: list[tuple[list[str], str]]) -> list[tuple[list[str], str]]:
    """Without the folders that hold everything, unless that leaves no two classes."""
    inside = rows
    while len({folders[0] for folders, _ in inside}) == 1 and _splits(inside) is None:
        inside = [(folders[1:], name) for folders, name in inside]
        if not all(folders for folders, _ in inside):
            return rows
    return inside


def _splits(rows: list[tuple[list[str], str]]) -> dict[str, str] | None:
    """Top folder -> its split; None where the top folders are classes."""
    inside: dict[str, set[str]] = {}  # top folder -> folders with pictures in it
    for folders, _ in rows:
        inside.setdefault(folders[0], set()).update(folders[1:2])
    split_by_top = {top: SPLITS[top.lower()] for top in inside if top.lower() in SPLITS}
    if not split_by_top:
        split_by_top = {top: split for top in inside if (split := split_of(f"{top}/"))}
        if len(set(split_by_top.values())) < 2:
            return None
    classes = set().union(*(inside[top] for top in split_by_top))
    several = len(set(split_by_top.values())) > 1
    for top, folders in inside.items():  # train, val, and testing_set with the same classes
        split = split_of(f"{top}/") if several and top not in split_by_top else None
        if split and folders and folders <= classes:
            split_by_top[top] = split
    others = inside.keys() - split_by_top.keys()
    if not any(inside[top] for top in split_by_top):
        return None if others else split_by_top
    of_others = set().union(*(inside[top] for top in others))
    if len(split_by_top) == 1 and len(others) > 1:
        (only,) = split_by_top
        return None if inside[only] <= of_others else split_by_top
    return split_by_top
