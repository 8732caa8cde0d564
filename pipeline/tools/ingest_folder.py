"""`convoy ingest --input DIR --output DIR`: records of every split, without a recipe."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from convoy.pipeline.components import example_gen
from convoy.pipeline.manifest import summary


def run(path: str, output: str, format_name: str, beam: Sequence[str] = ()) -> dict:
    """Writes aside and renames; returns counts. Raises ValueError where the output exists."""
    final = pathlib.Path(output).absolute()
    if final.exists():
        raise ValueError(f"--output {final} exists; choose another folder, or remove it")
    root = pathlib.Path(path)
    params = example_gen.Params(format=format_name, splits=(), beam=tuple(beam))
    workdir = final.with_name(f".{final.name}.partial")
    example_gen.run({"source": root}, params, workdir)
    os.rename(workdir, final)
    return {"output": str(final), **summary(final)}
