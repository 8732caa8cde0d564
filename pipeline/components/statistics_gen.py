"""StatisticsGen: what the records of each split hold, in one Beam pass without TensorFlow.

Outputs:
    statistics.json   for people, and for what has no place in the proto
    stats.pb          tensorflow-metadata's DatasetFeatureStatisticsList, for TFDV and Facets
    boxes.npz         a fair sample of each split's boxes, see data/statistics/partial.py
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping

import numpy as np
import pydantic

from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.config import Recipe
from convoy.pipeline.manifest import manifest_of

INPUTS = {"examples": "example_gen"}


class Params(pydantic.BaseModel):
    """Nothing to choose: every split is described; `beam` decides only where that happens."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    beam: tuple[str, ...] = pydantic.Field((), exclude=True)


def params_of(recipe: Recipe) -> Params:
    """The parameters of this component in a recipe."""
    return Params(beam=recipe.ingest.beam)


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """inputs: {"examples": an ExampleGen folder}. Raises FileNotFoundError, IngestError."""
    from convoy.data.statistics import job, proto, summary  # imports Beam

    records, workdir = pathlib.Path(inputs["examples"]), pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(records)
    splits = job.run(records, manifest, workdir, params.beam)
    overview = summary.summary(records, manifest, splits)
    write_json(workdir / "statistics.json", overview)
    stats = proto.to_proto(splits, overview)
    write_bytes(workdir / "stats.pb", stats.SerializeToString(deterministic=True))
    boxes = io.BytesIO()
    np.savez(boxes, **{name: partial.boxes for name, partial in splits.items()})
    write_bytes(workdir / "boxes.npz", boxes.getvalue())
