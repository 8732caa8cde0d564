"""What is asked about: files, folders of them and globs; a command's words or Python's inputs."""

from __future__ import annotations

import glob
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

from convoy.data import frames
from convoy.data.files import files
from convoy.data.signals import series
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.predicted import PREDICTIONS
from convoy.pipeline.tools.video import is_video

KINDS: dict[str, Callable[[str], bool]] = {  # of a request: which files of a folder are meant
    "image": files.is_picture,
    "image or video": lambda name: files.is_picture(name) or is_video(name),
    "signal": lambda name: name.lower().endswith(tuple(f".{end}" for end in series.ENDINGS)),
    "text": lambda name: name.lower().endswith(".txt"),
}

ASKED = ("image", "video")  # keys of a row of predictions.json: what was asked about


def expand(words: Iterable, request: str = "image", drawn: Sequence[str] = ()) -> list:
    """The words with folders and globs as their files, in the order of names, 2 before 10.

    Folders are looked through to their ends, without hidden files and without those of `drawn`:
    what a command drew there before. What is no path, and a file that is named itself, stays as it
    is. Raises UsageError for a folder without such files, and a glob that meets none.
    """
    listed: list = []
    known = {os.path.realpath(path) for path in drawn}
    for word in words:
        if not isinstance(word, (str, pathlib.Path)) or _exists(word, os.path.isfile):
            listed.append(word)
        elif _exists(word, os.path.isdir):
            inside = [path for path in _below(str(word), request) if _new(path, known)]
            if not inside:
                raise UsageError(f"{word}: a folder without any {request} file that could be asked")
            listed += inside
        elif glob.has_magic(str(word)):
            listed += _matching(word, request, known)
        else:
            listed.append(word)  # it is not there, or a sentence: who opens it says so
    return listed


def drawn_before(output: pathlib.Path) -> list[str]:
    """The pictures and videos that `convoy predict` left in a folder, by its predictions.json."""
    try:
        rows = json.loads((output / PREDICTIONS).read_text())
        values = [value for row in rows for key, value in row.items() if key not in ASKED]
        return [value for value in values if isinstance(value, str)]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _matching(word, request: str, known: set[str]) -> list:
    found = sorted(glob.glob(str(word), recursive=True), key=frames.order)
    paths = [path for path in found if os.path.isfile(path) and _new(path, known)]
    for folder in (path for path in found if os.path.isdir(path) and "**" not in str(word)):
        paths += [path for path in _below(folder, request) if _new(path, known)]
    if paths:
        return paths
    if request == "text":
        return [word]  # a sentence with a question mark
    raise UsageError(f"{word}: no such file, and as a pattern it meets no file")


def _below(folder: str, request: str) -> list[str]:
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        meant = [name for name in names if not name.startswith(".") and KINDS[request](name)]
        found += [os.path.join(top, name) for name in meant]
    return sorted(found, key=frames.order)


def _new(path: str, known: set[str]) -> bool:
    real = os.path.realpath(path)
    return not {real, os.path.dirname(real)} & known


def _exists(word, of_kind: Callable[[str], bool]) -> bool:
    try:
        return of_kind(word)
    except ValueError:  # a zero byte in a sentence
        return False
