"""`convoy validate --records DIR --output DIR`: a folder of records, without a recipe.

The output is a run folder: its schema.pbtxt is yours to edit, and later records are compared with
the last valid ones.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence

from convoy.models import tasks
from convoy.pipeline import config, steps
from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.manifest import manifest_of
from convoy.pipeline.store import fingerprint

TRAIN = ("train", "trainval")  # the first that exists is the training split


def run(
    records: str,
    output: str,
    overrides: Sequence[str] = (),
    beam: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> dict:
    """Statistics, schema and verdict. Raises errors.Refused for data that is not valid."""
    path = pathlib.Path(records).absolute()
    splits = manifest_of(path)["splits"]
    train, judges = roles({name: split["records"] for name, split in splits.items()})
    raw = {
        "name": "records",
        "task": tasks.RECORDS_ALONE,
        "run_dir": str(pathlib.Path(output).absolute()),
        "data": {
            "train": train,
            "val": judges[0] if judges else None,
            "test": (judges or [train])[-1],
        },
        "ingest": {"beam": list(beam)},
    }
    for override in overrides:
        config.override_key(raw, override)
    job = steps.Job(config.parse(raw), tell=tell)
    job.done["example_gen"] = Artifact(path, fingerprint(path), cached=True)
    return steps.run(job, "example_validator")


def roles(records: Mapping[str, int]) -> tuple[str, list[str]]:
    """(the training split, those that judge) of splits by their numbers of records."""
    train = next((name for name in TRAIN if name in records), max(records, key=records.get))
    return train, [name for name in records if name not in (train, *TRAIN)]
