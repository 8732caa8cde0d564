"""`convoy style CONTENT STYLE -o OUT`: the first picture painted in the second one's style.

Gatys 2016 (losses.py), with the paper's layers of VGG-19 and average pooling. The picture's own
values are what L-BFGS changes, within 0 to 255, from the content or from noise.
Differences from the paper: each layer's maps are divided by their mean over the two pictures, one
number per layer, where the paper scales VGG's filters by their means over ImageNet: the weights of
the losses then mean the same of any network. Values are bounded while they change, not at the end.
"""

from __future__ import annotations

import gc
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from scipy import optimize

from convoy import models
from convoy.data.files.archives import SourceError
from convoy.models import tasks
from convoy.models.heads import without_heads
from convoy.models.spec import Preprocess
from convoy.pipeline.networks import network
from convoy.pipeline.tools.explain.run import published
from convoy.pipeline.tools.style import losses, maps, pictures
from convoy.pipeline.training.progress import Line, bar, duration

NETWORK = "vgg19"
STARTS = ("content", "noise")
KEPT = 10  # steps that L-BFGS remembers, two pictures of float64 each


def run(
    content: str,
    style: str,
    output: pathlib.Path,
    *,
    weights: str = "imagenet",
    name: str | None = None,
    size: int = 512,
    iterations: int = 500,
    start: str = "content",
    content_weight: float = 1.0,
    style_weight: float = 1000.0,
    every: int = 50,
    content_layer: str | None = None,
    style_layers: list[str] | None = None,
    seed: int = 0,
) -> dict:
    """Writes `output`, and before it a picture every `every` iterations (0: none) beside it.

    weights: imagenet, a file of published weights, its address, or a folder of a training here;
    name: the network of a file. size: pixels of the longer side. Raises ValueError, OSError.
    """
    pictures.check_output(output)
    pictures.check_size(size)
    _check(iterations, start, content_weight, style_weight, every)
    wanted, painted = (pictures.read(path, size, 3) for path in (content, style))
    task = _network(weights, name)
    channels = task.info.preprocess.channels
    if channels != 3:  # a network of gray pictures
        wanted, painted = (pictures.read(path, size, channels) for path in (content, style))
    chosen = maps.default_layers(task.model)
    content_layer, style_layers = content_layer or chosen[0], style_layers or chosen[1]
    label = task.info.name
    layers = list(dict.fromkeys([*style_layers, content_layer]))
    model = maps.averaging(task.model, layers, channels)
    del task  # with the layers behind: VGG-19 has 495 MB of them
    gc.collect()
    means = maps.mean_activations(model, [tf.constant(wanted), tf.constant(painted)])

    def normalised(image):
        return {key: found / means[key] for key, found in model(image, training=False).items()}

    targets = losses.Targets(
        {content_layer: normalised(tf.constant(wanted))[content_layer]},
        {k: losses.gram(normalised(tf.constant(painted))[k]) for k in style_layers},
        content_weight,
        style_weight,
    )
    noise = np.random.default_rng(seed).uniform(0.0, 255.0, wanted.shape)
    first = wanted if start == "content" else noise
    report = {"content": content, "style": style, "network": label, "weights": weights}
    report |= {"size": list(wanted.shape[1:]), "start": start}
    report |= {"content_layer": content_layer, "style_layers": list(style_layers)}
    found, result = paint(value_and_gradient(normalised, targets), first, iterations, output, every)
    pictures.write(output, found)
    return report | result | {"picture": str(output)}


def value_and_gradient(normalised, targets: losses.Targets):
    """image [1, H, W, C] -> ({loss, content_loss, style_loss}, d loss / d image), as tensors."""

    @tf.function(reduce_retracing=True)
    def call(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            parts = losses.total(normalised(image), targets)
        return parts, tape.gradient(parts["loss"], image)

    return call


def paint(call, first: np.ndarray, iterations: int, output: pathlib.Path, every: int):
    """(image [1, H, W, C], numbers of the report); shows a bar, writes pictures on the way."""
    history, line, began = [], Line(), time.monotonic()
    latest: dict[str, float] = {}
    evaluations, steps, done = 0, [], 0

    def evaluate(values):
        nonlocal evaluations
        parts, gradient = call(tf.constant(values.reshape(first.shape), tf.float32))
        latest.update({key: float(value) for key, value in parts.items()})
        evaluations += 1
        if not np.isfinite(latest["loss"]):
            raise ValueError(f"the loss is {latest['loss']} at evaluation {evaluations}")
        return latest["loss"], gradient.numpy().astype(np.float64).ravel()

    def after(intermediate_result):
        nonlocal done
        done += 1
        history.append(float(intermediate_result.fun))
        seconds = time.monotonic() - began
        left = duration(seconds / done * (iterations - done))
        text = f"{bar(done / iterations)} iteration {done}/{iterations} loss {history[-1]:.4g}"
        line.show(f"{text} left {left}", passing=True)
        if every and done % every == 0 and done < iterations:
            path = output.with_name(f"{output.stem}_{done:04d}{output.suffix}")
            pictures.write(path, intermediate_result.x.reshape(first.shape))
            steps.append(str(path))

    before, _ = evaluate(first.astype(np.float64))
    result = optimize.minimize(
        evaluate,
        first.astype(np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(0.0, 255.0),
        callback=after,
        options={
            "maxiter": iterations,
            "maxfun": 20 * iterations,
            "maxcor": KEPT,
            "ftol": 0.0,
            "gtol": 0.0,
        },
    )
    found = result.x.reshape(first.shape)
    evaluate(result.x)  # the parts of the picture that is kept
    line.show(
        f"{done} iterations, {evaluations} evaluations, loss {before:.4g} -> {result.fun:.4g}"
    )
    numbers = {"iterations": done, "evaluations": evaluations, "loss_before": before, **latest}
    return found, numbers | {"seconds": time.monotonic() - began, "losses": history, "steps": steps}


def _check(iterations, start, content_weight, style_weight, every) -> None:
    if iterations < 1:
        raise ValueError(f"--iterations: expected at least 1, got {iterations}")
    if start not in STARTS:
        raise ValueError(f"--start: expected {' or '.join(STARTS)}, got {start}")
    if every < 0:
        raise ValueError(f"--every: expected 0 (none) or more, got {every}")
    weights = (content_weight, style_weight)
    if min(weights) < 0 or max(weights) == 0 or not np.isfinite(weights).all():
        raise ValueError(
            "--content_weight, --style_weight: expected numbers of at least 0, one of them more, "
            f"got {content_weight:g} and {style_weight:g}"
        )


def _network(weights: str, name: str | None):
    """The Task without heads, in float32. Raises ValueError, OSError."""
    if pathlib.Path(weights).is_dir():
        if name:
            raise ValueError(f"--network {name}: {weights} is a training's folder and has its own")
        task, _ = network.load(pathlib.Path(weights), precision="float32")
    else:
        name = name or NETWORK
        _check_scores(models.describe(name))
        keras.config.set_dtype_policy("float32")
        try:
            task, _ = published(name, weights)
        except (SourceError, OSError) as error:
            raise ValueError(
                f"no weights of {name} here: {error}. Give --weights FILE of published ones, or "
                "--weights RUN_DIR, the folder of any classifier trained here"
            ) from None
    _check_scores(task.info)
    return without_heads(task)


def _check_scores(info) -> None:
    if not (tasks.TASKS[info.task].picture_scores and isinstance(info.preprocess, Preprocess)):
        raise ValueError(f"{info.name}: expected a network that classifies pictures: {info.task}")
