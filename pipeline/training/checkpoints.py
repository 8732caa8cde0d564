"""Checkpoints of everything that a training step changes: one .npz each, never half-written.

The arrays are the model's variables (weights, running statistics, dropout seeds) and the
optimizer's (step, momenta, averages, loss scale), so a resumed run goes on bit for bit.
"""

from __future__ import annotations

import io
import pathlib
import re
import zipfile

import numpy as np

from convoy.pipeline.artifacts import write_bytes

_NUMBERED = re.compile(r"seed_generator_\d+")
_NAME = re.compile(r"step-(\d{9})\.npz$")


def save(folder: pathlib.Path, step: int, variables: list, keep: int) -> pathlib.Path:
    """Writes folder/step-NNNNNNNNN.npz and removes all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value.numpy() for name, value in _named(variables)})
    path = folder / f"step-{step:09d}.npz"
    write_bytes(path, buffer.getbuffer())
    for old in _all(folder)[:-keep]:
        old.unlink()
    return path


def restore_newest(folder: pathlib.Path, variables: list) -> pathlib.Path | None:
    """Assigns the newest checkpoint that is whole; None where there is none.

    Raises ValueError, before assigning anything, when it holds another network.
    """
    for path in reversed(_all(folder)):
        try:
            with np.load(path) as file:
                arrays = dict(file.items())
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            continue  # a disk fault: an older one will do
        named = _named(variables)
        differing = [
            name
            for name, variable in named
            if name not in arrays or arrays[name].shape != tuple(variable.shape)
        ]
        if differing or len(arrays) != len(named):
            raise ValueError(
                f"checkpoint {path} is of another network or optimizer: it holds {len(arrays)} "
                f"arrays, {len(named)} are needed; first difference: {(differing or ['count'])[0]}"
            )
        for name, variable in named:
            variable.assign(arrays[name])
        return path
    return None


def _named(variables: list) -> list[tuple[str, object]]:
    """Names as the archive spells them: the position keeps equal paths apart.

    Keras numbers seed generators by process, not by network: that number is left out.
    """
    paths = [_NUMBERED.sub("seed_generator", v.path).replace("/", "|") for v in variables]
    return [
        (f"{i:05d}|{path}", v) for i, (path, v) in enumerate(zip(paths, variables, strict=True))
    ]


def _all(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.glob("step-*.npz") if _NAME.search(path.name))
