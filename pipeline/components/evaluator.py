"""Evaluator: metrics on the test split, a report, and the gate before a push.

Inputs: examples, model (a trainer's folder), and pushed (a SavedModel to be compared with), where
there is one. Output: metrics.json, gate.json, report.html, predictions.jsonl,
operating_points.json (the score of best F1 of each class).
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from pydantic import Field

from convoy.data.input.input import Stream
from convoy.data.sample import Sample
from convoy.pipeline import tasks
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.components.exporter import payload
from convoy.pipeline.config import Evaluate, Export, Recipe, Section, dump
from convoy.pipeline.evaluation import gate, predict
from convoy.pipeline.networks import network
from convoy.pipeline.report.summary import write_summary
from convoy.serving import client

INPUTS = {"examples": "example_gen", "model": "trainer"}


class Params(Section):
    task: str
    split: str
    evaluate: Evaluate
    export: Export
    recipe: str = Field("", exclude=True)  # for the report; what matters of it is above


def params_of(recipe: Recipe) -> Params:
    return Params(
        task=recipe.task,
        split=recipe.data.test,
        evaluate=recipe.evaluate,
        export=recipe.export,
        recipe=dump(recipe),
    )


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Evaluates and decides; a refusal is written down, not raised."""
    task, labels = network.load(inputs["model"], precision="float32")
    stream = Stream(
        records=inputs["examples"],
        split=params.split,
        task=params.task,
        preprocess=task.info.preprocess,
        encode=task.encode,
        batch_size=params.evaluate.batch_size,
    )
    samples, predictions = predict.run(predict.predictor(task, params.export), stream)
    metrics = predict.score(params.task, samples, predictions, labels)
    previous, note = None, ""
    if "pushed" in inputs:
        previous, note = _score_pushed(inputs["pushed"], samples, labels, params)
    verdict = gate.decide(
        metrics,
        params.evaluate.metric or predict.GATE_METRIC[params.task],
        params.evaluate.threshold,
        previous,
        params.evaluate.min_gain,
    )
    if note:
        verdict = dataclasses.replace(verdict, reasons=[*verdict.reasons, note])
    write_json(workdir / "metrics.json", metrics)
    write_json(workdir / "gate.json", {**dataclasses.asdict(verdict), "text": str(verdict)})
    _write_predictions(workdir / "predictions.jsonl", params.task, samples, predictions)
    points = write_summary(
        workdir / "report.html",
        task=params.task,
        title=f"{task.info.name} on {params.split}",
        labels=labels,
        samples=samples,
        predictions=predictions,
        metrics=metrics,
        verdict=verdict,
        examples=inputs["examples"],
        model=inputs["model"],
        recipe=params.recipe,
        gallery=params.evaluate.gallery,
    )
    write_json(workdir / "operating_points.json", points)


def _score_pushed(path: pathlib.Path, samples: list[Sample], labels: list[str], params: Params):
    """(metrics of the pushed model on the same samples or None, a sentence where None)."""
    theirs = (path / "assets.extra" / "labels.txt").read_text().splitlines()
    if theirs != list(labels):
        return None, "The pushed model has other classes, so it cannot be compared."
    model = client.load_local(path)
    module, predictions = tasks.of(params.task), []
    size = params.evaluate.batch_size
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        predictions += module.received(part, model([payload(sample) for sample in part]))
    return predict.score(params.task, samples, predictions, labels), ""


def _write_predictions(path: pathlib.Path, task: str, samples: list[Sample], predictions) -> None:
    """One JSON line a sample."""
    rows = zip(samples, map(tasks.of(task).row, predictions), strict=True)
    lines = [json.dumps({"source_id": sample.source_id, **row}) for sample, row in rows]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
