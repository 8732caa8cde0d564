"""Timer: milliseconds per picture of a network on this machine, alone and with its answer.

Inputs: model and examples (a trainer's folder, records): the trained network on pictures of the
test split; or nothing: random weights on random pixels. Output: timing.json. In float32, one
picture at a time, medians. Not a step of a run: `convoy grid` asks for it.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import platform
from collections.abc import Callable, Mapping

from convoy import models
from convoy.models.spec import seen
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Export, Model, Recipe, Section, Train
from convoy.pipeline.evaluation import predict
from convoy.pipeline.networks import network
from convoy.pipeline.tools.benchmark import alternate

FIELDS = ("image", "matrix", "size")  # of a batch
INPUTS = {"model": "trainer", "examples": "example_gen"}
PICTURES = 8
ROUNDS = 24


class Params(Section):
    task: str
    split: str
    model: Model
    labels: tuple[str, ...]
    export: Export
    machine: str  # another one takes other times


def params_of(recipe: Recipe) -> Params:
    return Params(
        task=recipe.task,
        split=recipe.data.test,
        model=recipe.model,
        labels=recipe.data.labels,
        export=recipe.export,
        machine=f"{platform.node()}, {platform.machine()}, {os.cpu_count()} processors",
    )


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Times the network; what its suppression has to do depends on its weights and pictures."""
    from convoy.data.input.input import evaluation_batches

    if "model" in inputs:
        task, labels = network.load(inputs["model"], precision="float32")
        stream = predict.stream_of(task, inputs["examples"], params.split, 1)
        batches = list(evaluation_batches(stream).take(PICTURES))
        for batch in batches:
            del batch["serialized"]
    else:
        known = range(models.describe(params.model.name).num_classes)
        labels = list(params.labels) or [str(k) for k in known]
        task = network.build(params.model, labels, Train(), task=params.task)
        batches = [_random(task)]
    calls = _calls(task, labels, predict.limits_of(params.task, params.export), batches)
    for call in calls.values():
        call()
    wall, _ = alternate(calls, ROUNDS)
    write_json(
        workdir / "timing.json",
        {
            "ms": round(wall["answer"], 3),
            "network_ms": round(wall["network"], 3),
            "input": list(task.info.preprocess.size),
            "params": task.info.params,
            "macs": task.info.macs,
            "rounds": ROUNDS,
            "pictures": len(batches),
            "weights": "trained" if "model" in inputs else "random",
            "machine": params.machine,
        },
    )


def _random(task) -> dict:
    """A batch of one picture of the input's size, as `evaluation_batches` gives it."""
    import numpy as np
    import tensorflow as tf

    shape = task.info.preprocess.shape
    image = np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype(np.float32)
    matrix, size = np.eye(3, dtype=np.float32)[None], np.int32([shape[:2]])
    row = dict(zip(FIELDS, (image, matrix, size), strict=True))
    if "frames" in task.takes:
        row["frames"] = np.concatenate([image] * 4, axis=-1)
    return {name: tf.constant(value) for name, value in row.items()}


def _calls(task, labels, limits, batches) -> dict[str, Callable]:
    """{"network", "answer"}: functions that run on the next picture, and end when it is done."""
    import tensorflow as tf

    answer = predict.predictor(task, labels, limits)
    alone = tf.function(
        lambda batch: task.model(seen(batch["image"], batch, task.takes), training=False),
        autograph=False,
        reduce_retracing=True,
    )
    turns = {name: itertools.cycle(batches) for name in ("network", "answer")}

    def run_network():
        for output in tf.nest.flatten(alone(next(turns["network"]))):
            output.numpy()

    def run_answer():
        for output in answer(next(turns["answer"])).values():
            output.numpy()

    return {"network": run_network, "answer": run_answer}
