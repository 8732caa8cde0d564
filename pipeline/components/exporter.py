"""Exporter: a trainer's folder to a SavedModel for TF Serving.

Inputs: examples, model, evaluation. Output: saved_model/ with assets.extra, export_report.json.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sample import Sample
from convoy.models import tasks
from convoy.models.spec import Preprocess
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Export, Recipe, Section
from convoy.pipeline.evaluation import operating
from convoy.pipeline.networks import network
from convoy.serving.export import export
from convoy.serving.questions import Question

INPUTS = {"examples": "example_gen", "model": "trainer", "evaluation": "evaluator"}
# The numbers alone: another comparison by the gate is no reason to export anew.
BY_CONTENT = {"evaluation": ("metrics.json", operating.FILE)}
SOURCE = "source.json"
SAMPLES = 8  # pictures or sentences for measuring, comparing and warming up


class Params(Section):
    split: str
    export: Export
    name: str  # of the pushed model; warm-up requests carry it


def params_of(recipe: Recipe) -> Params:
    return Params(split=recipe.data.test, export=recipe.export, name=recipe.name)


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Exports and compares with the network in memory."""
    task, labels = network.load(inputs["model"], precision="float32")
    preprocess, limits = task.info.preprocess, tasks.TASKS[task.info.task].limits
    model = workdir / "saved_model"
    export(
        task,
        model,
        labels=labels,
        input_size=_input_size(preprocess),
        **{name: getattr(params.export, name) for name in limits},
        precision=params.export.precision,
        tolerance=params.export.tolerance,
        samples=payloads(inputs["examples"], params.split, SAMPLES),
        name=params.name,
        given=_made(inputs["examples"]),
        card={
            "data": _data(inputs["examples"]),
            "metrics": _numbers(inputs["evaluation"]),
        },
    )
    # Which training and export this is: a later run knows its own among the pushed ones.
    source = {"trainer": inputs["model"].name, "export": workdir.name.removesuffix(".partial")}
    write_json(model / "assets.extra" / SOURCE, source)
    points = json.loads((inputs["evaluation"] / operating.FILE).read_text())
    write_json(model / "assets.extra" / operating.FILE, points)


def _input_size(preprocess) -> tuple[int | None, ...]:
    """Of pictures (height, width), each None where any goes; of others their shape."""
    if not isinstance(preprocess, Preprocess):
        return preprocess.shape
    return (None, None) if preprocess.whole else preprocess.size


def _data(examples: pathlib.Path) -> dict:
    manifest = json.loads((examples / "manifest.json").read_text())
    return {split: counts["records"] for split, counts in manifest["splits"].items()}


def _numbers(evaluation: pathlib.Path) -> dict:
    metrics = json.loads((evaluation / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if isinstance(v, (int, float, str))}


def _made(examples: pathlib.Path) -> dict:
    """How the records' proposals or frames were made: those of later pictures are made likewise."""
    manifest = json.loads((examples / "manifest.json").read_text())
    if manifest["params"].get("frames", 1) > 1:
        return {"frames": {"align": manifest["params"]["align"]}}
    if "proposals" not in manifest:
        return {}
    own = {name: manifest["params"][name] for name in ("max_proposals", "edge_model")}
    return {"proposals": {"method": manifest["proposals"]["method"], **own}}


def payload(sample: Sample) -> Question:
    """What a request may hold of a sample: its content, and what is given beside it."""
    given = {"proposals": sample.proposals, "frames": sample.frames}
    return Question(sample.content, given)


def payloads(examples: pathlib.Path, split: str, limit: int) -> list[Question]:
    """Those of the first records of a split."""
    encoded: list[Question] = []
    for shard in shards(examples, split):
        for record in tfrecord.read(shard):
            encoded.append(payload(decode(record)))
            if len(encoded) == limit:
                return encoded
    return encoded
