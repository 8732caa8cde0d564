"""From others' arrays to our layers' variables: layouts, biases before norms, other pixels."""

from __future__ import annotations

import math

import keras
import numpy as np

from convoy.models.keras_internals import inbound_nodes
from convoy.models.layers import Normalize
from convoy.models.rows import TORCH
from convoy.models.spec import Preprocess

Values = dict[str, np.ndarray]


class Graph:
    """Which of a network's layers meet: what an importer has to know of it."""

    def __init__(self, model: keras.Model):
        self.layers = {layer.name: layer for layer in model.layers if layer.weights}
        self.norms: dict[str, keras.layers.Layer] = {}  # convolution -> its BatchNorm
        self.maps: dict[str, tuple[int, ...]] = {}  # Dense -> (H, W, C) of what was flattened
        makers, after = {}, {}  # tensor -> the layer that made it; layer -> the tensor it takes
        for layer in model.layers:
            shared = len(inbound_nodes(layer)) != 1
            if shared or isinstance(layer, keras.layers.InputLayer):
                continue
            makers[id(layer.output)] = layer
            after[layer.name] = layer.input
        for name, layer in self.layers.items():
            if name not in after:
                continue
            if isinstance(layer, keras.layers.BatchNormalization):
                maker = makers.get(id(after[name]))
                if maker is not None and hasattr(maker, "kernel"):
                    self.norms[maker.name] = layer
            if isinstance(layer, keras.layers.Dense):
                maker = makers.get(id(after[name]))
                while isinstance(maker, keras.layers.Dropout):
                    maker = makers.get(id(after[maker.name]))
                # Of a picture, or of each of its regions.
                flat = (keras.layers.Flatten, keras.layers.Reshape)
                if isinstance(maker, flat) and len(maker.input.shape) in (4, 5):
                    self.maps[name] = tuple(maker.input.shape[-3:])
        self.first = next(iter(self.layers.values()), None)
        self.normalize = next((x for x in model.layers if isinstance(x, Normalize)), None)


def kernel(value: np.ndarray, layer, flattened: tuple[int, ...] | None) -> np.ndarray:
    """(out, in, h, w), (channels, 1, h, w) or (out, in) -> Keras' layout of `layer`'s kernel.

    A fully connected layer may be a convolution here, or the other way round. `flattened`: the map
    (H, W, C) that a Dense layer sees, which others flatten as (C, H, W).
    """
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return value.transpose(2, 3, 0, 1) if value.ndim == 4 else value
    ours = tuple(layer.kernel.shape)
    outputs = value.shape[0]
    if len(ours) == 5:  # a kernel per place
        return value.transpose(0, 3, 4, 2, 1) if value.ndim == 5 else value
    if len(ours) == 4:
        if value.ndim == 2 and value.shape[1] == math.prod(ours[:3]):
            value = value.reshape(outputs, ours[2], *ours[:2])
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
    if len(ours) == 2:
        value = value.reshape(outputs, -1)
        if flattened and value.shape[1] == math.prod(flattened):
            height, width, channels = flattened
            value = value.reshape(outputs, channels, height, width).transpose(2, 3, 1, 0)
            return value.reshape(-1, outputs)
        return value.T
    return value


def bias(value: np.ndarray, layer) -> np.ndarray:
    """(out,), or (out, places) of a layer with a bias per place, [H, W, out] here."""
    ours = tuple(layer.bias.shape)
    fits = value.ndim == 2 and len(ours) == 3 and value.size == math.prod(ours)
    return value.T.reshape(ours) if fits else value


def same_but_ones(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel as one of `shape` where they differ in sides of 1 alone: a Dense for a 1x1.

    The number of outputs may differ.
    """
    ours, theirs = ([side for side in sides[:-1] if side != 1] for sides in (shape, value.shape))
    return value.reshape(*shape[:-1], value.shape[-1]) if ours == theirs else value


def darknet_variance(variance: np.ndarray, epsilon: float) -> np.ndarray:
    """Darknet divides by sqrt(v) + 1e-6, we by sqrt(v' + epsilon): v'."""
    with np.errstate(invalid="ignore"):  # what is no variance becomes no number
        return (np.sqrt(variance.astype(np.float64)) + 1e-6) ** 2 - epsilon


def other_pixels(value: np.ndarray, theirs: Preprocess, normalize: Normalize | Preprocess):
    """A first kernel [h, w, c, out] made for `theirs` -> (the kernel for our pixels, a bias).

    Exact but for the border, where zeros of padding stand for slightly different colours. None
    instead of the bias where the pixels are the same.
    """
    their_scale, their_shift, their_order = _affine(theirs)
    our_scale, our_shift, our_order = _affine(normalize)
    to_ours = [our_order.index(color) for color in their_order]  # their channel -> ours
    factor = their_scale / our_scale[to_ours]
    offset = their_shift - factor * our_shift[to_ours]
    if their_order == our_order and np.allclose(factor, 1, atol=1e-6) and not offset.any():
        return value, None
    changed = np.empty(value.shape, np.float64)
    changed[:, :, to_ours] = value * factor[:, None]
    return changed, np.einsum("hwco,c->o", value.astype(np.float64), offset)


def spread(value: np.ndarray, theirs: Preprocess, channels: int):
    """A first kernel [h, w, 3, out] made for RGB -> (one of `channels` channels, a bias or None).

    The channels here are standardised by their own mean and deviation. So is a colour of ImageNet
    by that set's: the kernel is first changed to the one that sees colours so (`other_pixels`).
    Then every channel gets the mean over the three colours times 3 / channels: where all channels
    are alike, the answer is that to a gray picture; of one channel it is the sum over the colours.
    Three channels are red, green and blue, and keep their own.
    """
    value, bias = other_pixels(value, theirs, TORCH)
    if channels == 3:
        return value, bias
    mean = value.astype(np.float64).mean(axis=2, keepdims=True)
    return np.repeat(mean, channels, axis=2) * (3 / channels), bias


def _affine(p) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """What Normalize does to the three colours: factor, summand, and which colour is where."""
    mean, std = np.ones(3) * p.mean, np.ones(3) * p.std
    return p.scale / std, -mean / std, [2, 1, 0] if p.channel_order == "bgr" else [0, 1, 2]
