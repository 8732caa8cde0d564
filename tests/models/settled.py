"""Networks and targets as a training leaves and meets them, for tests of all networks."""

from __future__ import annotations

import keras
import numpy as np

from convoy.models.keras_internals import maker


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


def proposals(task, count: int) -> np.ndarray:
    """[count, 24, 4] boxes of the input, the last ones without area."""
    height, width = task.info.preprocess.size
    low = np.random.default_rng(0).uniform(0, 0.6, (24, 2))
    boxes = np.concatenate([low, low + np.random.default_rng(1).uniform(0.2, 0.4, (24, 2))], 1)
    boxes[-4:] = 0
    return np.float32(np.tile(boxes * [height, width, height, width], (count, 1, 1)))
