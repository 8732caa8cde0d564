"""What the check of the data keeps in a run folder, beside its artifacts.

RUN_DIR/schema.pbtxt      what the data must look like: inferred once, then yours to edit
RUN_DIR/validated/        the statistics of the last data that was found valid, to tell drift from
RUN_DIR/validation.html   the last report
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from convoy.models import tasks
from convoy.pipeline.artifacts import Artifact, write_bytes, write_json
from convoy.pipeline.config import Recipe, Validate
from convoy.pipeline.errors import Refused


def inputs(
    run_dir: pathlib.Path, validate: Validate, statistics: Artifact, schema: Artifact, plan: bool
) -> dict[str, Artifact | pathlib.Path]:
    """Of example_validator. Where there is no schema file yet, the inferred one becomes it."""
    path = pathlib.Path(validate.schema) if validate.schema else run_dir / "schema.pbtxt"
    if not plan and not path.exists():
        _create(path, (schema.path / "schema.pbtxt").read_bytes())
    named: dict[str, Artifact | pathlib.Path] = {
        "statistics": statistics,
        "schema": path if path.exists() else schema,
    }
    valid = run_dir / "validated"
    # Statistics do not drift from themselves: comparing them would only cost a rerun its cache.
    if valid.is_dir() and _source_of(valid) != statistics.key:
        named["validated"] = valid
    return named


def conclude(
    run_dir: pathlib.Path, statistics: Artifact, validation: pathlib.Path, chief: bool
) -> dict:
    """Shows the report; keeps the statistics of valid data. Raises Refused for other data."""
    report = run_dir / "validation.html"
    verdict = json.loads((validation / "validation.json").read_text())
    if chief:
        write_bytes(report, (validation / "report.html").read_bytes())
    if not verdict["valid"]:
        raise Refused(f"{verdict['summary']} Report: {report}")
    if chief and _source_of(run_dir / "validated") != statistics.key:
        kept = run_dir / "validated"
        kept.mkdir(exist_ok=True)
        write_bytes(kept / "stats.pb", (statistics.path / "stats.pb").read_bytes())
        write_json(kept / "source.json", {"statistics_gen": statistics.key})
    warnings = [check["name"] for check in verdict["checks"] if check["verdict"] == "warning"]
    return {
        "valid": True,
        "summary": verdict["summary"],
        "warnings": warnings,
        "report": str(report),
    }


def check_annotation(manifest: Mapping[str, Any], recipe: Recipe) -> None:
    """Raises Refused where records lack what the task learns, before a network is built.

    manifest: of the records; one of an older version, without these counts, is passed.
    """
    what = tasks.row(recipe.task).needs
    data = recipe.data
    splits = (data.train,) if what in SOME else (data.train, data.val, data.test)
    for split in dict.fromkeys(name for name in splits if name):
        counts = manifest["splits"].get(split, {})
        without, records = counts.get(f"without_{what}", 0), counts.get("records", 0)
        if not without or (what in SOME and without < records):
            continue
        names = ", ".join(counts["lacking"][what])
        raise Refused(
            f"{without} of {records} records of split {split!r} have no {what}, such as {names}; "
            f"{recipe.task} learns of {NEEDS[what]}. Label them, take them out of the data set, or "
            "check that data.format is what the set has"
        )


SOME = ("object", "caption")  # what one picture that is trained on must have, not all
NEEDS = {
    "class": "samples that each have a class",
    "object": "pictures with objects",
    "caption": "pictures with captions",
    "target": "pictures that each have what they shall become, by the readers pairs and "
    "super_resolution",
}


def _source_of(valid: pathlib.Path) -> str:
    """Key of the statistics that were kept."""
    path = valid / "source.json"
    return json.loads(path.read_text())["statistics_gen"] if path.exists() else ""


def _create(path: pathlib.Path, content: bytes) -> None:
    """Writes a file that appears whole, and never in place of one that another process wrote."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    write_bytes(aside, content)
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
