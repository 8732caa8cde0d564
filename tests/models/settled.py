"""Networks and targets as a training leaves and meets them, for tests of all networks."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from convoy.data.signals import wav
from convoy.models import tasks
from convoy.models.keras_internals import maker
from tests.parity import formula


def settle(model: keras.Model, seen) -> None:
    """BatchNorm's statistics as after a training: those of the inputs `seen`.

    With those of the formula the mobile networks would answer the same to every picture. Variances
    below the layer's mean are raised to it: of the four or eight numbers of the last maps some are
    almost equal, and dividing by their deviation enlarges rounding a hundred times.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(seen, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        variance = layer.moving_variance.numpy()
        layer.moving_variance.assign(np.maximum(variance, variance.mean()))


def find_somebody(task, seen) -> None:
    """Of OpenPose: heat maps around 0 with peaks, and fields that lead to the right.

    A formula's maps have no peak, and no field along a line, so that nobody would be found.
    """
    if not (isinstance(task.model.output, dict) and "paf1" in task.model.output):
        return
    for name, scale in zip(task.reads, (0.2, 1.0), strict=True):
        layer, values = maker(task.model.output[name]), np.asarray(task.model(seen)[name])
        spread, mean = (rule(values, axis=(0, 1, 2)) for rule in (np.std, np.mean))
        kernel, bias = layer.get_weights()
        middle = np.where(np.arange(len(bias)) % 2, 0, 1) if name.startswith("paf") else 0.0
        layer.set_weights([scale * kernel / spread, scale * (bias - mean) / spread + middle])


def filled(boxes, size) -> np.ndarray:
    """uint8 [M, H, W]: the pixels of each box."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    edges = (boxes[:, index, None, None] for index in range(4))
    top, left, bottom, right = edges
    return np.uint8((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))


def points_across(boxes: np.ndarray, count: int) -> np.ndarray:
    """[N, count, (y, x, visibility)]: on the diagonal of each box, all visible."""
    share = np.linspace(0, 1, count, dtype=np.float32)[None, :, None]
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    places = low + share * (high - low)
    return np.concatenate([places, np.full_like(places[..., :1], 2)], -1)


def encoded(task, count: int) -> tf.Tensor:
    """Sentences; or sounds, series, of more samples than are seen: tones and noise."""
    if task.info.task == "text":
        return tf.constant(["the good film", "bad , bad actors", "", "is it good ?"][:count])
    signal, draw = task.info.preprocess, np.random.default_rng(0)
    shape = (signal.samples + 9, signal.channels)
    tones = [np.sin(np.arange(shape[0])[:, None] * (0.1 + 0.4 * n)) for n in range(count)]
    noise = draw.normal(0, 0.3, (count, *shape))
    return tf.constant([wav.encode(np.float32(x), signal.rate or 1) for x in tones + noise])


def given(task) -> tuple[str, ...]:
    """Names of what its model takes beside pictures; windows stand in for proposals."""
    return ("proposals",) if task.windows is not None else task.takes


def proposals(task, count: int) -> np.ndarray:
    """[count, 24, 4] boxes of the input, the last ones without area."""
    height, width = task.info.preprocess.size
    low = np.random.default_rng(0).uniform(0, 0.6, (24, 2))
    boxes = np.concatenate([low, low + np.random.default_rng(1).uniform(0.2, 0.4, (24, 2))], 1)
    boxes[-4:] = 0
    return np.float32(np.tile(boxes * [height, width, height, width], (count, 1, 1)))


def targets(task, count: int):
    """One label per input; objects where priors are, so that every level has some to learn."""
    given = {"sentence": tf.constant("the good film")}
    if "signal" in tasks.TASKS[task.info.task].fields:
        given["signal"] = encoded(task, 1)[0]
    if task.priors:
        number = len(task.priors.boxes)
        chosen = np.union1d(np.linspace(0, number - 1, 30).astype(int), np.arange(number)[-12:])
        given["boxes"] = task.priors.boxes[chosen]
        given["classes"] = np.arange(len(chosen)) % task.info.num_classes
        given["valid"] = np.ones(len(chosen), bool)
    elif "boxes" in tasks.TASKS[task.info.task].fields:
        given["boxes"] = proposals(task, 1)[0, :5]
        given["classes"] = np.arange(5) % task.info.num_classes
        given["valid"] = np.ones(5, bool)
    elif task.info.task == "detection":  # an object in every part of the picture
        height, width = task.info.preprocess.size
        low = np.float32([[y, x] for y in (0, height // 2) for x in (0, width // 2)])
        given["boxes"] = np.concatenate([low, low + np.float32([height / 2, width / 2])], axis=1)
        given["classes"] = np.arange(4) % task.info.num_classes
        given["valid"] = np.ones(4, bool)
    labels = [np.array([index % task.info.num_classes]) for index in range(count)]
    if "segmentation" in tasks.TASKS[task.info.task].fields:
        size = task.info.preprocess.inside.size
        given["segmentation"] = np.uint8(np.indices(size).sum(0) // 3 % task.info.num_classes)
    if "target" in tasks.TASKS[task.info.task].fields:
        given["target"] = tf.constant(formula.pictures(1, *task.info.preprocess.size, 3)[0])
    if "masks" in tasks.TASKS[task.info.task].fields:
        given["masks"] = filled(given["boxes"], task.info.preprocess.size)
    if "keypoints" in tasks.TASKS[task.info.task].fields:
        given["keypoints"] = points_across(given["boxes"], task.info.num_classes)
    if "captions" in tasks.TASKS[task.info.task].fields:
        given["caption"] = tf.constant("A good film, a film.")
    rows = [task.encode({**given, "labels": label}) for label in labels]
    return tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *rows)
