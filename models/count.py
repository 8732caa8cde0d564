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
    return sum(
        call_macs(layer, taken[0].shape, given[0].shape)
        for layer, taken, given in calls(model)
        if getattr(layer, "kernel", None) is not None
    )


def call_macs(layer, taken: tuple[int | None, ...], given: tuple[int | None, ...]) -> int:
    """Multiply-accumulates of one call, [B, ...] to [B, ...]; 0 of a layer without a kernel.

    Each position of a layer's output costs as many as its kernel has weights; this holds for
    plain, grouped, depthwise and dense layers alike. Of a transposed convolution each position of
    its input does. Biases, normalisation and pooling are free.
    """
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    if getattr(layer, "untied", False):  # its kernel has weights for each position
        return math.prod(kernel.shape)
    transposed = getattr(layer, "transposed", isinstance(layer, keras.layers.Conv2DTranspose))
    positions = (n or 1 for n in (taken if transposed else given)[1:-1])  # None: of proposals
    return math.prod(positions) * math.prod(kernel.shape)
