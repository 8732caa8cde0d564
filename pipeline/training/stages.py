"""Fine-tuning in stages: first the head, then more and more of the backbone.

The head is what a network has beyond its backbone (`models.build(name, num_classes=None)`), so
VGG's full layers belong to it. `unfreeze: s16` lets learn all that comes after the map before s16
in the backbone's list of maps, head included. A frozen layer keeps its weights, and its BatchNorm
runs in inference mode: neither its scale nor its statistics move. A learning one does both.

Each stage is a training of its own in WORKDIR/stageN, with a new optimizer over what learns, so
nothing is kept or averaged for frozen weights. It starts from the weights that the stage before it
left (its best on data.val, else its last) and sees the pictures in another order. A killed run goes
on inside its stage, bit for bit; a stage whose weights are written is not trained again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import sys
from collections.abc import Callable

import keras
import tensorflow as tf

from convoy import models
from convoy.data.input.input import Stream
from convoy.models.keras_internals import without_values
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.config import Model, Stage, Train
from convoy.pipeline.networks.network import WEIGHTS
from convoy.pipeline.training import loop

PLACES = ("head", "all")


def train(
    task,
    stream: Stream,
    params: Train,
    workdir: pathlib.Path,
    *,
    model: Model,
    strategy: tf.distribute.Strategy,
    validate: Callable[[], dict[str, float]] | None = None,
    metric: str = "",
) -> int:
    """Trains `task.model` stage by stage; returns how many parameters learnt in any of them.

    Writes stageN/ (see loop.train), and as results metrics.jsonl of all stages one after the other
    and model.weights.h5: of the stage with the best score, without validation of the last.
    """
    stages = params.stages or (Stage(epochs=params.epochs, learning_rate=params.learning_rate),)
    # What a network is built with frozen, such as a detector's BatchNorm, stays so in every stage.
    fixed = frozenset(layer.name for layer in task.model.layers if not layer.trainable)
    plans = [fixed | frozen(task.model, model, stage.unfreeze) for stage in stages]
    slow = frozenset() if params.backbone_rate == 1.0 else backbone(model)
    folders = [workdir / f"stage{number}" for number in range(1, len(stages) + 1)]
    # Weight files hold no random state: each stage draws its dropout from the first one's.
    seeds = [(v, v.numpy()) for v in task.model.variables if "seed_generator" in v.path]
    most_learning = 0
    for number, (stage, still, folder) in enumerate(zip(stages, plans, folders, strict=True)):
        if number:
            task.model.load_weights(folders[number - 1] / WEIGHTS)
        learning = _freeze(task.model, still)
        most_learning = max(most_learning, learning)
        _say(number, stages, learning, task.info.params, params.backbone_rate)
        if (folder / WEIGHTS).exists():
            continue
        for state, value in seeds:
            state.assign(value)
        folder.mkdir(exist_ok=True)
        loop.train(
            task,
            dataclasses.replace(stream, seed=stream.seed + number),
            params.model_copy(
                update={"epochs": stage.epochs, "learning_rate": stage.learning_rate}
            ),
            folder,
            strategy=strategy,
            validate=validate,
            metric=metric,
            slow=slow,
        )
    _freeze(task.model, fixed)
    rows, best = _joined(folders, metric)
    write_bytes(workdir / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in rows).encode())
    task.model.load_weights(folders[best] / WEIGHTS)
    loop.save_weights(task.model, workdir / WEIGHTS)
    return most_learning


def _say(number: int, stages, learning: int, params: int, slower: float) -> None:
    """What learns now, before the lines of its training."""
    stage = stages[number]
    texts = {"head": "the head learns", "all": "all learns"}
    text = texts.get(stage.unfreeze, f"{stage.unfreeze} and what follows learn")
    slow = f", {slower:g} of it before the head" if slower < 1 and stage.unfreeze != "head" else ""
    print(
        f"stage {number + 1} of {len(stages)}: {text}, {learning:,} of {params:,} parameters; "
        f"{stage.epochs:g} epochs, learning rate {stage.learning_rate:g}{slow}",
        file=sys.stderr,
        flush=True,
    )


def frozen(built: keras.Model, model: Model, unfreeze: str) -> frozenset[str]:
    """Names of the layers that stay as they are under `unfreeze`. Raises ValueError."""
    if unfreeze == "all":
        return frozenset()
    network = _backbone(model)
    maps = list(network.output)
    if unfreeze not in (*PLACES, *maps):
        raise ValueError(
            f"train.stages: unfreeze {unfreeze!r}: {model.name} has {', '.join((*PLACES, *maps))}"
        )
    if unfreeze == "head":
        names = {layer.name for layer in network.layers}
    elif unfreeze == maps[0]:
        return frozenset()
    else:
        last_frozen = network.output[maps[maps.index(unfreeze) - 1]]
        names = {layer.name for layer in keras.Model(network.input, last_frozen).layers}
    return frozenset(names & {layer.name for layer in built.layers})


def backbone(model: Model) -> frozenset[str]:
    """Names of the layers before the head."""
    return frozenset(layer.name for layer in _backbone(model).layers)


def _backbone(model: Model) -> keras.Model:
    """The graph alone: no weights are drawn."""
    try:
        with without_values():
            return models.build(
                model.name,
                num_classes=None,
                input_size=model.input_size,
                width=model.width,
                backbone=model.backbone,
            )
    except ValueError as error:
        raise ValueError(f"train.stages and backbone_rate need a backbone: {error}") from error


def _freeze(built: keras.Model, still: frozenset[str]) -> int:
    """Sets which layers learn; returns their parameters."""
    for layer in built.layers:
        layer.trainable = layer.name not in still
    return sum(math.prod(v.shape) for v in built.trainable_variables)


def _joined(folders: list[pathlib.Path], metric: str) -> tuple[list[dict], int]:
    """(rows of all stages with steps and epochs counted on, the stage to use)."""
    rows, scores = [], []
    for number, folder in enumerate(folders, start=1):
        stage_rows = [
            json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
        ]
        offset = rows[-1] if rows else {"step": 0, "epoch": 0.0}
        for row in stage_rows:
            place = {key: round(offset[key] + row[key], 4) for key in ("step", "epoch")}
            rows.append({**row, **place, "stage": number})
        values = [
            row[metric]
            for row in stage_rows
            if row["kind"] == "val" and row.get(metric) is not None
        ]
        scores.append(max(values, default=-math.inf))
    best = max(range(len(folders)), key=lambda i: (scores[i], i))
    return rows, best
