"""Parameters and multiply-accumulates of a built network."""

from __future__ import annotations

import math

import keras

from convoy.models.keras_internals import calls

_STATISTICS = ("moving_mean", "moving_variance")


def params(model: keras.Model) -> int:
    """Learnable parameters: all weights but BatchNorm's running statistics, frozen or not."""
    return sum(math.prod(w.shape) for w in model.weights if w.name not in _STATISTICS)


def macs(model: keras.Model) -> int:
    """Multiply-accumulates of convolutions and dense layers for one input of the model's size.

    Of layers behind proposals, whose number a request chooses, and windows: for one of them.
    """
    return sum(call_macs(layer, outputs[0].shape) for layer, _, outputs in calls(model))


def call_macs(layer, output: tuple[int | None, ...]) -> int:
    """Multiply-accumulates of one call that gives [B, ...]; 0 of a layer without a kernel.

    Each position of a layer's output costs as many as its kernel has weights; this holds for
    plain, grouped, depthwise and dense layers alike. Biases, normalisation and pooling are free.
    """
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    positions = (n or 1 for n in output[1:-1])  # None: of proposals
    return math.prod(positions) * math.prod(kernel.shape)
