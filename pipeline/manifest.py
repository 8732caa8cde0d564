"""What a folder of records says of itself: its manifest.json, as the ingest wrote it."""

from __future__ import annotations

import json
import pathlib

from convoy.data import labels
from convoy.models import tasks
from convoy.models.spec import Channels

TOLD = ("notes", "unused", "ambiguous")  # of an ingest, to people: rows of data.sample.Told


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
        **{key: manifest.get(key) for key in ("format", "pictures")},
        # Samples that two splits share, {"train+val": 3}, and pictures of the same bytes likewise.
        "overlap": manifest.get("overlap", {}),
        "duplicates": manifest.get("duplicates", {}).get("pictures", {}),
        **{key: manifest.get(key, []) for key in TOLD},
    }


def lines(counts: dict) -> list[str]:
    """What people are told of an ingest, of its `summary`: one thing a line."""
    classes = counts["classes"]
    shown = f"{', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}"
    splits = ", ".join(f"{name} {records}" for name, records in counts["splits"].items())
    told = [
        f"format {counts['format']}: {counts['records']} records ({splits}), "
        f"{counts['objects']} objects, {len(classes)} classes: {shown}"
    ]
    if counts["pictures"] and any(counts["pictures"].values()):  # a reader may have no files
        pictures = {key: f"{value} {key.replace('_', ' ')}" for key, value in
                    counts["pictures"].items()}  # fmt: skip
        found = pictures.pop("found")
        told.append(f"pictures: {found} = {' + '.join(pictures.values())}")
    for name, reasons in (("rejected", "rejected_by_reason"), ("warnings", "warnings")):
        if counts[reasons]:
            listed = ", ".join(f"{reason} {count}" for reason, count in counts[reasons].items())
            told.append(f"{name}: {listed}; see {name}.jsonl")
    told += [f"in several splits: {count} samples of {splits.replace('+', ' and ')}, by their ids"
             for splits, count in counts["overlap"].items()]  # fmt: skip
    for splits, count in counts["duplicates"].items():
        where = splits.replace("+", " and ")
        told.append(f"the same picture under another id: {count} in {where}")
    for key in ("unused", "ambiguous"):
        for row in counts[key]:
            examples = f" (e.g. {', '.join(row['examples'])})" if row["examples"] else ""
            told.append(f"{key}: {row['count']} {row['what']}{examples}: {row['why']}")
    told += [f"note: {note}" for note in counts["notes"]]
    # Names of files need not be UTF-8, a terminal is.
    return [line.encode("utf-8", "backslashreplace").decode() for line in told]


def manifest_of(records: pathlib.Path) -> dict:
    """The manifest of a folder of records. Raises FileNotFoundError."""
    path = records / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run `convoy ingest` first")
    return json.loads(path.read_text())


def class_names(records: pathlib.Path, task: str) -> tuple[str, ...]:
    """The label map that a task learns, of a folder of records. Raises ValueError."""
    name = tasks.row(task).label_map or "labels"  # of a task that makes its own: the objects'
    path = records / f"{name}.txt"
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file: these records have no {name.replace('_', ' ')}, of which "
            f"{task} learns. docs/data.md says which sources have them"
        )
    return labels.read(path)


def channels_of(records: pathlib.Path) -> Channels | None:
    """What the records' pictures are where the recipe said so, with their mean and deviation."""
    told = manifest_of(records).get("channels")
    return Channels.read(told) if told else None


def scale_of(records: pathlib.Path) -> int:
    """Sides of the records' target pictures in sides of their pictures."""
    manifest = manifest_of(records)
    enlarges = manifest.get("format") == "super_resolution"
    return int(manifest["params"]["scale"]) if enlarges else 1
