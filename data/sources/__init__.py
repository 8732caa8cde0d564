"""One reader a format. A reader is a module with two functions:

scan(path, *, labels=(), holdout=0.2, seed=0) -> Listing
    Lists the samples of every split and finds the class names; opens no picture.
read(reference, labels, *, max_pixels, warn) -> Sample
    Reads one, checked and upright. Raises BadSample; calls warn(reason, detail) for each object
    that it leaves out or changes.
"""

from __future__ import annotations

import importlib
import types

SOURCES = {
    "voc": "data.sources.voc",
    "folder": "data.sources.folder",
    "digits": "data.sources.digits",
}


class SourceError(ValueError):
    """A data set is not laid out as its format says; the message names what was looked for."""


def source(name: str) -> types.ModuleType:
    """The reader of a format."""
    if name not in SOURCES:
        raise SourceError(f"format {name!r}: expected one of {', '.join(sorted(SOURCES))}")
    return importlib.import_module(SOURCES[name])


def ignore(reason: str, detail: str) -> None:
    """A `warn` that forgets."""
