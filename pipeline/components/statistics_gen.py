"""StatisticsGen: records -> statistics.json for people, stats.pb for TFDV."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

import pydantic

from data import statistics
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import Recipe


class Params(pydantic.BaseModel):
    """Nothing to choose: every split of the records is described."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def params_of(recipe: Recipe) -> Params:
    """The parameters of this component in a recipe."""
    return Params()


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """inputs: {"examples": an ExampleGen folder}. Raises FileNotFoundError, CorruptRecord."""
    records, workdir = pathlib.Path(inputs["examples"]), pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    path = records / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; run `convoy ingest` first")
    manifest = json.loads(path.read_text())
    splits = {
        split: statistics.collect(
            [str(records / name) for name in numbers["shards"]], manifest["labels"]
        )
        for split, numbers in manifest["splits"].items()
    }
    write_bytes(workdir / "stats.pb", statistics.to_proto(splits).SerializeToString())
    write_json(workdir / "statistics.json", splits)
