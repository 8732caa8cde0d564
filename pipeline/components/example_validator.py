"""ExampleValidator: is the data good enough to train on?

Outputs:
    validation.json   the verdict and every check: value, limit, verdict, text, examples
    anomalies.pb      tensorflow-metadata's Anomalies against the schema, drift and skew;
    anomalies.pbtxt   the same to read
    report.html       all of it on one page
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from convoy.models import tasks
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.components.schema_gen import dataset, datasets
from convoy.pipeline.config import Model, Recipe, Section, Validate
from convoy.pipeline.validation import anomalies, checks, drift, priors
from convoy.pipeline.validation.checks import Check
from convoy.pipeline.validation.report import write_report

INPUTS = {"statistics": "statistics_gen", "schema": "schema_gen"}


class Params(Section):
    """Which splits play which part, and the limits."""

    train: str
    judges: tuple[str, ...]  # the splits that choose the checkpoint and judge the model
    model: Model | None = None  # where boxes are all that is learnt: its priors must reach them
    classes: bool = True  # whether classes of pictures or of objects are learnt
    label_maps: bool = False  # whether the classes of pixels are learnt
    sides: tuple[int, int] | None = (
        None  # of the network's input, where pictures may be made smaller
    )
    limits: Validate = Validate()


def params_of(recipe: Recipe) -> Params:
    """The parameters of this component in a recipe."""
    data = recipe.data
    others = dict.fromkeys(name for name in (data.val, data.test) if name and name != data.train)
    return Params(
        train=data.train,
        judges=tuple(others),
        model=recipe.model if tasks.TASKS[recipe.task].priors else None,
        classes=bool({"labels", "boxes"} & set(tasks.TASKS[recipe.task].fields)),
        label_maps="segmentation" in tasks.TASKS[recipe.task].fields,
        sides=_sides(recipe),
        limits=recipe.validate.model_copy(update={"schema": ""}),  # an input, not a number
    )


def _sides(recipe: Recipe) -> tuple[int, int] | None:
    """Height and width of the input, None where the recipe does not say, or pairs are learnt."""
    learnt = tasks.row(recipe.task).fields
    return None if "target" in learnt or recipe.ingest.max_side else recipe.model.input_size


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Checks and decides; a refusal is written down, not raised.

    inputs: statistics, schema (a schema.pbtxt or a SchemaGen folder), and validated (a folder with
    the stats.pb of the last valid run), where there is one. Raises ValueError for a bad schema.
    """
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    schema = read_schema(pathlib.Path(inputs["schema"]))
    statistics = json.loads((inputs["statistics"] / "statistics.json").read_text())
    result = anomalies_pb2.Anomalies(baseline=schema)
    results = [
        *_against_schema(inputs, params, schema, statistics, result),
        *checks.of_splits(statistics, params.train, params.judges, params.limits),
        *(checks.of_classes(statistics, params.train, params.limits) if params.classes else ()),
        *checks.of_told(statistics),
        *checks.of_sizes(statistics["splits"][params.train]["numbers"], params.sides),
        *_objects(inputs, params, statistics),
        *_label_maps(params, statistics),
        *_compared(inputs, params, schema, result),
    ]
    valid, text = checks.verdict(results)
    write_bytes(workdir / "anomalies.pb", result.SerializeToString(deterministic=True))
    readable = text_format.MessageToString(result, as_utf8=True)
    write_bytes(workdir / "anomalies.pbtxt", readable.encode())
    rows = [dataclasses.asdict(result) for result in results]
    write_json(workdir / "validation.json", {"valid": valid, "summary": text, "checks": rows})
    used = (params.train, *params.judges)
    with np.load(inputs["statistics"] / "boxes.npz") as stored:
        boxes = {name: stored[name] for name in used}
    splits = {name: statistics["splits"][name] for name in used}
    write_report(workdir / "report.html", valid, text, results, splits, boxes)


def read_schema(path: pathlib.Path) -> schema_pb2.Schema:
    """A Schema in text format. Raises ValueError with the place of the mistake."""
    path = path / "schema.pbtxt" if path.is_dir() else path
    try:
        return text_format.Parse(path.read_text(encoding="utf-8-sig"), schema_pb2.Schema())
    except text_format.ParseError as error:
        raise ValueError(f"{path}: not a schema in text format: {error}") from None


def _against_schema(
    inputs, params: Params, schema, statistics: Mapping[str, Any], result
) -> list[Check]:
    for split in (params.train, *params.judges):
        problems = statistics["splits"][split]["problems"]
        anomalies.find(dataset(inputs["statistics"], split), schema, problems, result)
    errors = anomalies.errors(result)
    return [checks.of_schema(errors, len(result.anomaly_info) - len(errors))]


def _objects(inputs, params: Params, statistics: Mapping[str, Any]) -> Iterator[Check]:
    has_boxes = checks.objects(statistics["splits"][params.train])
    if params.model or has_boxes:
        yield from checks.of_objects(statistics, params.train, params.judges, params.limits)
    if params.model:
        with np.load(inputs["statistics"] / "boxes.npz") as boxes:
            reach = priors.reach(boxes[params.train], params.model, statistics["labels"])
        yield checks.of_priors(params.model.name, reach, params.limits)


def _label_maps(params: Params, statistics: Mapping[str, Any]) -> Iterator[Check]:
    if params.label_maps or statistics["splits"][params.train]["label_maps"]:
        limits = params.limits
        if not params.label_maps:  # there, but of no use to this task
            limits = limits.model_copy(update={"max_unlabelled": None, "max_untrained": None})
        yield from checks.of_label_maps(statistics, params.train, params.judges, limits)


def _compared(inputs, params: Params, schema, result) -> Iterator[Check]:
    """Skew of each judging split, and drift from the last valid run."""
    train = dataset(inputs["statistics"], params.train)
    for judge in params.judges:
        judging = dataset(inputs["statistics"], judge)
        skew = drift.compare(schema, "skew_comparator", train, judging, params.limits.max_skew)
        drift.record(result, skew, "skew_measurements")
        yield from checks.of_comparison(f"skew {params.train} → {judge}", skew)
    earlier = datasets(inputs["validated"]).get(params.train) if "validated" in inputs else None
    if earlier is None:  # the first run, or the first that trains on this split
        return
    drifted = drift.compare(schema, "drift_comparator", earlier, train, params.limits.max_drift)
    drift.record(result, drifted, "drift_measurements")
    yield from checks.of_comparison("drift", drifted)
    min_fraction = schema.dataset_constraints.num_examples_drift_comparator.min_fraction_threshold
    yield checks.of_size(train.num_examples, earlier.num_examples, min_fraction)
