"""`convoy ingest --input DIR --output DIR`: records of every split, without a recipe."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

from convoy.models import tasks
from convoy.pipeline import config
from convoy.pipeline.components import example_gen
from convoy.pipeline.errors import UsageError
from convoy.pipeline.manifest import summary

SECTIONS = ("data", "ingest", "seed")  # of a recipe, that an ingest alone has a use for


def run(
    path: str,
    output: str,
    format_name: str,
    overrides: Sequence[str] = (),
    beam: Sequence[str] = (),
) -> dict:
    """Writes aside and renames; returns counts.

    overrides: `section.key=value` of SECTIONS. Raises ValueError where the output holds anything,
    UsageError for a key that is of no use, and for folders that cannot be meant.
    """
    final = pathlib.Path(output).absolute()
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise ValueError(f"--output {final} exists; choose another folder, or remove it")
    raw = {
        "name": "records",
        "task": tasks.RECORDS_ALONE,
        "data": {"path": path, "format": format_name},
        "ingest": {"beam": list(beam)},
    }
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.partition(".")[0] not in SECTIONS or key in ("data.path", "data.format"):
            raise UsageError(
                f"--set {key} is not used: with --input there is no recipe; expected keys of "
                f"{' or '.join(SECTIONS)}, and --input and --format for the data set"
            )
        config.override_key(raw, override)
    given = {override.partition("=")[0].strip() for override in overrides}
    params = example_gen.params_of(config.parse(raw))
    if format_name != "digits" and not os.path.lexists(path):  # which is made where it is not
        raise UsageError(f"--input {path}: no such folder or archive")
    if final.resolve().is_relative_to(pathlib.Path(path).resolve()):
        raise UsageError(
            f"--output {final} lies inside of --input {path}: records would be a part of the data "
            "set when it is read again; choose a folder outside of it"
        )
    if not {"data.train", "data.val", "data.test"} & given:
        params = params.model_copy(update={"splits": ()})  # all that there are
    workdir = final.with_name(f".{final.name}.partial")
    example_gen.run({"source": pathlib.Path(path)}, params, workdir)
    os.replace(workdir, final)  # an empty folder may be there
    return {"output": str(final), **summary(final)}
