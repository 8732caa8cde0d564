"""`convoy ingest --input DIR --output DIR`: records of every split, without a recipe."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence

from data.sample import Listing
from pipeline.components import example_gen


def run(path: str, output: str, format_name: str, beam: Sequence[str] = ()) -> dict:
    """Writes aside and renames; returns counts. Raises ValueError where the output exists."""
    final = pathlib.Path(output).absolute()
    if final.exists():
        raise ValueError(f"--output {final} exists; choose another folder, or remove it")
    root = pathlib.Path(path)
    params = example_gen.Params(format=format_name, beam=tuple(beam))
    name, listing = example_gen.listing_of(root, params)
    splits = _splits(listing)
    params = params.model_copy(update={"format": name, "splits": splits})
    workdir = final.with_name(f".{final.name}.partial")
    example_gen.run({"source": root}, params, workdir)
    os.rename(workdir, final)
    return {"output": str(final), **summary(final)}


def _splits(listing: Listing) -> tuple[str, ...]:
    """The splits but "trainval" where it only repeats others, as in every VOC devkit."""
    members: dict[str, set[str]] = {}
    for reference in listing.references:
        members.setdefault(reference.split, set()).add(reference.source_id)
    others = set().union(*(ids for split, ids in members.items() if split != "trainval"))
    if members.get("trainval", {""}) <= others:
        del members["trainval"]
    return tuple(sorted(members))


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
