"""`convoy ingest --input DIR --output DIR`: records of every split, without a recipe."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence

from convoy.pipeline.components import example_gen


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


def summary(records: pathlib.Path) -> dict:
    """Counts of a folder of records, over its splits."""
    manifest = manifest_of(records)
    splits = manifest["splits"]
    return {
        "records": sum(split["records"] for split in splits.values()),
        "objects": sum(split["objects"] for split in splits.values()),
        "shards": sum(len(split["shards"]) for split in splits.values()),
        "rejected": sum(manifest["rejected"].values()),
        "rejected_by_reason": manifest["rejected"],
        "warnings": manifest["warnings"],
        "classes": manifest["labels"],
        "splits": {name: split["records"] for name, split in splits.items()},
    }


def manifest_of(records: pathlib.Path) -> dict:
    """The manifest of a folder of records. Raises FileNotFoundError."""
    path = records / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run `convoy ingest` first")
    return json.loads(path.read_text())
