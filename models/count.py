"""Parameters and multiply-accumulates of a built network."""

from __future__ import annotations

import math

import keras

_STATISTICS = ("moving_mean", "moving_variance")


def params(model: keras.Model) -> int:
    """Learnable parameters: all weights but BatchNorm's running statistics, frozen or not."""
    return sum(math.prod(w.shape) for w in model.weights if w.name not in _STATISTICS)


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of convolutions and dense layers for one input of the model's size.

    Each position of a layer's output costs as many as its kernel has weights; this holds for
    plain, grouped, depthwise and dense layers alike. Biases, normalisation and pooling are free.
    """
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            positions = math.prod(layer.output.shape[1:-1])
            total += positions * math.prod(kernel.shape)
    return total
