"""Records and predictions in the formats of other programs: `convoy convert RECORDS --to coco`."""

from __future__ import annotations

import collections
import importlib
import json
import os
import pathlib
import shutil

from absl import flags

from convoy.data.exports import FORMATS, ExportError, Records, records_of
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools import predicted


def define(values: flags.FlagValues) -> None:
    """The verb's flags."""
    flags.DEFINE_enum("to", None, sorted(FORMATS), "Format to write.", flag_values=values)
    flags.DEFINE_string("output", None, "Folder to make.", values, short_name="o")
    text = "Of predictions: take objects from this score on."
    flags.DEFINE_float("score", 0.5, text, flag_values=values)


def verb(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    """What the verb does."""
    if len(words) != 1 or not values.to or not values.output:
        raise UsageError(
            "expected one folder of records, or of what `convoy predict` wrote, "
            f"--to {'|'.join(FORMATS)}, and -o DIR"
        )
    result = run(pathlib.Path(words[0]), values.to, pathlib.Path(values.output), values.score)
    for kind, count in result["dropped"].items():
        print(f"dropped: {count} {kind}, which {values.to} cannot hold")
    print(result["output"])
    return result


def run(folder: pathlib.Path, to: str, output: pathlib.Path, score: float = 0.5) -> dict:
    """Writes records, or predictions from `score` on, aside and renames.

    Returns {"output", "format", "records": {split: count}, "dropped": {kind: count}}. Raises
    ExportError.
    """
    dropped: collections.Counter[str] = collections.Counter()
    if (folder / predicted.PREDICTIONS).is_file():
        records = predicted.read(folder, score)
        counts = {predicted.SPLIT: len(records.rows)}
        dropped["pictures that were not answered"] = records.failed
        dropped["videos"] = records.videos
    else:
        records, counts = _records(folder)
    output = output.absolute()
    if os.path.lexists(output):
        raise ExportError(f"{output}: already exists; remove it, or choose another folder")
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        write = importlib.import_module(FORMATS[to]).write
        write(records, aside, lambda kind, count: dropped.update({kind: count}))
        os.rename(aside, output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    lost = {kind: count for kind, count in sorted(dropped.items()) if count}
    return {"output": str(output), "format": to, "records": counts, "dropped": lost}


def _records(folder: pathlib.Path) -> tuple[Records, dict[str, int]]:
    """(the records of a folder, how many per split)."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        records = records_of(folder, manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ExportError(
            f"{folder}: expected a folder of records as `convoy ingest` writes it, or one of "
            f"predictions; {error.filename} is missing"
        ) from None
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ExportError(
            f"{folder}/manifest.json: not written by `convoy ingest`: {error}"
        ) from None
    counts = {split: entry.get("records", 0) for split, entry in manifest["splits"].items()}
    return records, counts
