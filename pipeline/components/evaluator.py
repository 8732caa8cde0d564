"""Evaluator: metrics on the test split, a report, and the gate before a push.

Inputs: examples, model (a trainer's folder), and pushed (a SavedModel to be compared with), where
there is one. Output: metrics.json, gate.json, report.html, predictions.jsonl,
operating_points.json (the score of best F1 of each class).
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from pydantic import Field

from convoy.data.input.input import count
from convoy.models import tasks as table
from convoy.pipeline import json_lines, tasks
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Evaluate, Export, Recipe, Section, dump
from convoy.pipeline.evaluation import gate, predict, pushed, views
from convoy.pipeline.networks import network
from convoy.pipeline.report.summary import write_summary
from convoy.pipeline.versions import identity
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
    batch_size = params.evaluate.batch_size
    stream = predict.stream_of(task, inputs["examples"], params.split, batch_size)
    module = tasks.of(params.task)
    metrics = module.Metrics(labels)
    total = count(inputs["examples"], params.split)
    chosen = module.Chosen(total, params.evaluate.gallery)
    limits = predict.limits_of(params.task, params.export)
    if params.evaluate.tta:
        joining = views.joining(params.task, labels, limits)
        ask = views.augmented(views.of_network(task, labels, limits), params.evaluate.tta, joining)
        answered = views.answers(ask, inputs["examples"], params.split)
    else:
        answered = predict.answers(predict.predictor(task, labels, limits), stream)
    with json_lines.written(workdir / "predictions.jsonl") as write:
        for sample, answer in answered:
            metrics.update(sample, answer)
            chosen.update(sample, answer)
            write({"source_id": sample.source_id, **module.row(answer)})
    numbers = metrics.result()
    how = f"test-time augmentation ({views.said(params.evaluate.tta)})" * bool(params.evaluate.tta)
    if how:
        numbers["measured_with"] = how
    previous, note = None, ""
    if "pushed" in inputs:
        previous, note = _measure_pushed(inputs["pushed"], inputs["examples"], labels, params)
    verdict = gate.decide(
        numbers,
        params.evaluate.metric or table.row(params.task).gate,
        params.evaluate.threshold,
        previous,
        params.evaluate.min_gain,
    )
    notes = [note, how and f"Measured with {how}, which the served model does without."]
    verdict = dataclasses.replace(verdict, reasons=[*verdict.reasons, *filter(None, notes)])
    write_json(workdir / "metrics.json", numbers)
    against = identity(inputs["pushed"]) if "pushed" in inputs else ""
    told = {"summary": str(verdict), "against": against}  # which version it was compared with
    write_json(workdir / "gate.json", {**dataclasses.asdict(verdict), **told})
    shown = module.show(metrics, numbers, chosen.pairs())
    write_summary(
        workdir / "report.html",
        title=f"{task.info.name} on {params.split}" + (how and f", with {how}"),
        metrics=numbers,
        shown=shown,
        verdict=verdict,
        examples=inputs["examples"],
        model=inputs["model"],
        recipe=params.recipe,
    )
    write_json(workdir / "operating_points.json", shown.points)


def _measure_pushed(path: pathlib.Path, records: pathlib.Path, labels: list[str], params: Params):
    """(numbers of the pushed model on the same records or None, a sentence where None)."""
    same_classes = client.labels_of(path) == list(labels)
    if table.row(params.task).label_map and not same_classes:
        return None, "The pushed model has other classes, so it cannot be compared."
    if params.evaluate.tta:
        joining = views.joining(params.task, labels, client.report_of(path))
        ask = views.augmented(views.of_model(path), params.evaluate.tta, joining)
        answers = views.answers(ask, records, params.split)
    else:
        answers = pushed.answers(path, records, params.split, params.evaluate.batch_size)
    return predict.measure(tasks.of(params.task).Metrics(labels), answers), ""
