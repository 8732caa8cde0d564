"""Where an exported model lies in a folder that somebody names; of a run: pipeline/tools/exported.

No TensorFlow: folders are only looked at.
"""

from __future__ import annotations

import pathlib

from convoy.pipeline import versions

GRAPH = "saved_model.pb"
SERVED = "served"  # of a run's folder: the base paths that it pushes to
EXPORT = "saved_model"  # of the exporter's artifact


def find(path: pathlib.Path) -> pathlib.Path | None:
    """The SavedModel that a folder is or stands for, None where there is none.

    A SavedModel itself; an exporter's artifact; a base path, by its newest version; a folder with
    one base path, such as RUN/served. Raises ValueError where there are several base paths.
    """
    if not path.is_dir():
        return None
    for model in (path, path / EXPORT):
        if (model / GRAPH).is_file():
            return model
    if numbered := _complete(path):
        return numbered[max(numbered)]
    bases = [child for child in sorted(path.iterdir()) if child.is_dir() and _complete(child)]
    if len(bases) > 1:
        raise ValueError(f"{path} holds several models: give one of {', '.join(map(str, bases))}")
    return find(bases[0]) if bases else None


def _complete(base: pathlib.Path) -> dict[int, pathlib.Path]:
    found = versions.folders(base)
    return {number: folder for number, folder in found.items() if (folder / GRAPH).is_file()}
