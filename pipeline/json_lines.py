"""Files of one JSON object per line, which have their names when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def written(path: pathlib.Path) -> Iterator[Callable[[dict], None]]:
    """A function that writes one line at a time, aside; renamed when all are written."""
    aside = path.with_name(f".{path.name}.partial")
    try:
        with open(aside, "w", encoding="utf-8") as file:
            yield lambda row: print(json.dumps(row), file=file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
