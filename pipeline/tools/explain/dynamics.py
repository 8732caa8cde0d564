"""`convoy explain MODEL IMAGE... --dynamics`: a residual network's blocks as steps of an ODE.

Lu, Zhong, Li, Dong 2018, Beyond Finite Layer Neural Networks, https://arxiv.org/abs/1710.10121. A
residual block goes from x_n to

    x_n + F(x_n)                            Euler's method: a step of length |F| / |x_n|
    (1 - k) x_n + k x_{n-1} + F(x_n)        linear multi-step, as LM-ResNet learns k:
                                            a step of length |F + k (x_{n-1} - x_n)| / |x_n|

Lengths are Euclidean, over all values of one picture's map; x_n is what the block adds F to, so
where a block changes the shape, its projected input.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from convoy.models import tasks
from convoy.models.classification.lm_resnet import MultiStep
from convoy.models.heads import without_heads
from convoy.models.keras_internals import maker
from convoy.models.structure import lines
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.report.plots import png
from convoy.pipeline.tools.explain.run import fitted, load_network


class Block(NamedTuple):
    """A block's parts as symbolic tensors of one shape [B, h, w, C]."""

    name: str  # of the layer that adds
    branch: keras.KerasTensor  # F(x)
    x: keras.KerasTensor
    previous: keras.KerasTensor | None  # the block's before; None: Euler's method
    k: float | None


def run(
    model: str,
    pictures: Sequence[str],
    output: pathlib.Path,
    *,
    random: bool = False,
    weights: str | None = None,
) -> dict:
    """Writes dynamics.png and explain.json; returns what that holds. Raises ValueError, OSError."""
    task, _ = load_network(model, random, weights)
    if not tasks.TASKS[task.info.task].picture_scores:
        raise ValueError(
            f"--dynamics: {task.info.name} is for {task.info.task}: expected a network whose "
            "scores are of pictures"
        )
    task = without_heads(task)
    found = blocks(task.model)
    images = [fitted(path, task.info.preprocess)[1] for path in pictures]
    rows = steps(task.model, found, images)
    report = {"model": str(model), "network": task.info.name, "images": list(map(str, pictures))}
    report |= {"input": list(images[0].shape), "blocks": rows}
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(output / "dynamics.png", png(plot(task.info.name, rows)))
    report["pictures"] = [str(output / "dynamics.png")]
    write_json(output / "explain.json", report)
    return report


def blocks(model: keras.Model) -> list[Block]:
    """The residual blocks in the order of computation. Raises ValueError where there is none.

    Of two maps that are added, the one with more layers with kernels behind it is F(x).
    """
    rows = lines(model)
    depth = {line.name: line.depth for line in rows}
    found = []
    for line in rows:
        if line.kind not in ("Add", MultiStep.__name__):
            continue
        layer = model.get_layer(line.name)
        inputs = layer.input
        if isinstance(layer, MultiStep):
            found.append(Block(line.name, *inputs, float(layer.k)))
        elif len(inputs) == 2 and inputs[0].shape == inputs[1].shape:
            x, branch = sorted(inputs, key=lambda tensor: depth[maker(tensor).name])
            if depth[maker(x).name] < depth[maker(branch).name]:
                found.append(Block(line.name, branch, x, None, None))
    if not found:
        raise ValueError(
            f"--dynamics: {model.name} has no residual blocks (x + F(x)); networks with them are "
            "resnet18, resnet50_v2, lm_resnet20 and others of `convoy models`"
        )
    return found


def steps(model: keras.Model, found: Sequence[Block], images: Sequence[np.ndarray]) -> list[dict]:
    """Per block {"block", "k", "euler", "multistep"}: step lengths, means over images [H, W, C].

    "multistep" and "k" are None in blocks of Euler's method. A block whose x is 0 has None too.
    """
    parts = [
        [part for part in (block.branch, block.x, block.previous) if part is not None]
        for block in found
    ]
    probe = keras.Model(model.inputs[0], [part for each in parts for part in each])
    lengths = []
    for image in images:
        values = iter(probe(tf.convert_to_tensor(image[None], tf.float32), training=False))
        lengths.append(
            [
                _lengths(block, *itertools.islice(values, len(each)))
                for block, each in zip(found, parts, strict=True)
            ]
        )
    rows = []
    for index, block in enumerate(found):
        euler, multistep = (_mean([each[index][kind] for each in lengths]) for kind in (0, 1))
        rows.append({"block": block.name, "k": block.k, "euler": euler, "multistep": multistep})
    return rows


def _lengths(block: Block, branch, x, previous=None) -> tuple[float, float | None]:
    branch, x = (tf.cast(values, tf.float64).numpy() for values in (branch, x))
    size = np.linalg.norm(x)
    if size == 0:
        return np.nan, None if previous is None else np.nan
    euler = float(np.linalg.norm(branch) / size)
    if previous is None:
        return euler, None
    moved = branch + block.k * (tf.cast(previous, tf.float64).numpy() - x)
    return euler, float(np.linalg.norm(moved) / size)


def _mean(values: list[float | None]) -> float | None:
    """Of the pictures in which x is not 0."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known else None


def plot(network: str, rows: Sequence[dict]) -> Figure:
    """Step lengths per block, both methods side by side; below them the learnt k, if any."""
    learnt = any(row["k"] is not None for row in rows)
    figure = Figure(figsize=(max(6.0, 0.32 * len(rows) + 2), 6.0 if learnt else 4.2))
    axes = figure.subplots(2 if learnt else 1, 1, sharex=True, squeeze=False)[:, 0]
    places = np.arange(len(rows))
    width = 0.4 if learnt else 0.7
    shown = [("euler", "Euler: |F(x)| / |x|", -width / 2 if learnt else 0.0)]
    if learnt:
        text = "linear multi-step: |F(x) + k (previous - x)| / |x|"
        shown.append(("multistep", text, width / 2))
    for kind, label, offset in shown:
        values = [np.nan if row[kind] is None else row[kind] for row in rows]
        axes[0].bar(places + offset, values, width, label=label)
    axes[0].set_title(f"{network}: length of each block's step")
    axes[0].set_ylabel("part of |x|")
    axes[0].legend()
    if learnt:
        ks = [np.nan if row["k"] is None else row["k"] for row in rows]
        axes[1].axhline(0.0, color="gray", linewidth=0.8)
        axes[1].plot(places, ks, "o", color="tab:green")
        axes[1].set_ylabel("learnt k")
    names = [row["block"].removesuffix("_add").removesuffix("_step") for row in rows]
    axes[-1].set_xticks(places, names, rotation=90, fontsize=8)
    figure.tight_layout()
    return figure
