"""SchemaGen: the statistics of the training split -> schema.pbtxt, a first draft to edit.

What the data is held to is the file that `validate.schema` names; this one becomes it where there
is none.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import statistics_pb2

from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.config import Recipe, Section
from convoy.pipeline.validation.infer import infer

INPUTS = {"statistics": "statistics_gen"}
HEAD = """\
# What the records must look like (tensorflow_metadata.v0.Schema). Inferred once; edit it freely:
# it is not written again. Delete it to have it inferred anew.
"""


class Params(Section):
    """The split that the schema is made of."""

    train: str


def params_of(recipe: Recipe) -> Params:
    """The parameters of this component in a recipe."""
    return Params(train=recipe.data.train)


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """inputs: {"statistics": a StatisticsGen folder}. Raises ValueError without that split."""
    statistics, workdir = pathlib.Path(inputs["statistics"]), pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    labels = json.loads((statistics / "statistics.json").read_text())["labels"]
    schema = infer(dataset(statistics, params.train), labels)
    text = HEAD + text_format.MessageToString(schema, as_utf8=True)
    write_bytes(workdir / "schema.pbtxt", text.encode())


def dataset(folder: pathlib.Path, split: str) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics of one split, of the stats.pb in a folder. Raises ValueError."""
    by_split = datasets(folder)
    if split in by_split:
        return by_split[split]
    raise ValueError(f"split {split!r} is not in the statistics; they hold {', '.join(by_split)}")


def datasets(folder: pathlib.Path) -> dict[str, statistics_pb2.DatasetFeatureStatistics]:
    """split -> its statistics."""
    content = (pathlib.Path(folder) / "stats.pb").read_bytes()
    parsed = statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
    return {split.name: split for split in parsed.datasets}
