"""What a folder of records says of itself: its manifest.json, as the ingest wrote it."""

from __future__ import annotations

import json
import pathlib

from convoy.data import labels
from convoy.models import tasks


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


def class_names(records: pathlib.Path, task: str) -> tuple[str, ...]:
    """The label map that a task learns, of a folder of records. Raises ValueError."""
    name = tasks.row(task).label_map
    path = records / f"{name}.txt"
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file: these records have no {name.replace('_', ' ')}, of which "
            f"{task} learns. Its sources are those with label pictures: docs/data.md"
        )
    return labels.read(path)
