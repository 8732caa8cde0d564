"""Channels that can be left out of a network, and the smaller network without them.

A channel can go where one layer makes it and, through layers that treat channels apart
(BatchNorm, activations, pooling, padding, depthwise kernels), one layer reads it: all of VGG but
the logits, all pointwise layers of MobileNet v1, ResNet's maps inside of a block. What is added to
a shortcut stays. A channel's importance is a product:

weights:    |gamma| of the last BatchNorm before the reader (without one, the L1 norm of the
            channel's own kernel), as in Network Slimming https://arxiv.org/abs/1708.06519, times
            the L1 norm of the kernel that reads it (Li 2017 https://arxiv.org/abs/1608.08710)
activation: the mean of |value| that the reader gets over given pictures, times the same norm

Importances are divided by their layer's mean, so that layers can be compared (Molchanov 2017,
https://arxiv.org/abs/1611.06440, divides by the L2 norm, which empties wide layers first), and the
least of all layers go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import keras
import numpy as np

CRITERIA = ("activation", "weights")
LEAST = 0.1  # part of a layer's channels that stays whatever their importance
_MAKES = (keras.layers.Conv2D, keras.layers.Dense)
_APART = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Dropout,
    keras.layers.DepthwiseConv2D,
    keras.layers.Flatten,
)


class Chain(NamedTuple):
    """Who makes channels and who alone reads them."""

    maker: str
    between: tuple[str, ...]
    reader: str


def chains(model: keras.Model) -> dict[str, Chain]:
    """By the maker's name, in the network's order."""
    readers: dict[int, list] = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            for tensor in keras.tree.flatten(layer.input):
                readers.setdefault(id(tensor), []).append(layer)
    outputs = {id(tensor) for tensor in keras.tree.flatten(model.output)}
    by_maker = {}
    for maker in model.layers:
        if type(maker) not in _MAKES or getattr(maker, "groups", 1) != 1:
            continue
        between, layer = [], maker
        while id(layer.output) not in outputs and len(readers.get(id(layer.output), ())) == 1:
            layer = readers[id(layer.output)][0]
            if type(layer) in _MAKES:
                if getattr(layer, "groups", 1) == 1:
                    by_maker[maker.name] = Chain(maker.name, tuple(between), layer.name)
                break
            if not isinstance(layer, _APART) or getattr(layer, "depth_multiplier", 1) != 1:
                break
            between.append(layer.name)
    return by_maker


def importance(
    model: keras.Model, criterion: str, pictures: Iterable | None = None
) -> dict[str, np.ndarray]:
    """Maker -> [channels] importance >= 0, before layers are made comparable.

    pictures: batches [B, H, W, C], for "activation".
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion {criterion!r}: expected one of {', '.join(CRITERIA)}")
    prunable = chains(model)
    means = _mean_values(model, prunable, pictures) if criterion == "activation" else {}
    scores = {}
    for name, chain in prunable.items():
        read = _by_channel(model, chain, np.abs(model.get_layer(chain.reader).get_weights()[0]))
        if criterion == "activation":
            scores[name] = means[name] * read
        else:
            scores[name] = _strength(model, chain) * read
    return scores


def choose(importances: Mapping[str, np.ndarray], keep: float) -> dict[str, np.ndarray]:
    """Maker -> indices of the channels that stay: of all channels the part `keep`, or a bit more.

    More, because each layer keeps LEAST of its channels. Of equal ones the first go.
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep: expected a part in (0, 1], got {keep}")
    if not importances:
        raise ValueError("this network has no channels that one layer alone makes and reads")
    relative = np.concatenate([v / max(float(v.mean()), 1e-30) for v in importances.values()])
    goes = np.zeros(len(relative), bool)
    goes[np.argsort(relative, kind="stable")[: round((1.0 - keep) * len(relative))]] = True
    stays, start = {}, 0
    for name, values in importances.items():
        count = int((~goes[start : start + len(values)]).sum())
        count = max(count, math.ceil(LEAST * len(values)))
        stays[name] = np.sort(np.argsort(values, kind="stable")[len(values) - count :])
        start += len(values)
    return stays


def narrowed(model: keras.Model, widths: Mapping[str, int]) -> keras.Model:
    """The same network with fresh weights and other numbers of channels in the named layers."""
    unknown = widths.keys() - {layer.name for layer in model.layers}
    if unknown:
        raise ValueError(f"model.widths: {model.name} has no layer {', '.join(sorted(unknown))}")

    def clone(layer):
        config = layer.get_config()
        if layer.name in widths:
            config["filters" if "filters" in config else "units"] = widths[layer.name]
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=clone)


def pruned(model: keras.Model, stays: Mapping[str, np.ndarray]) -> keras.Model:
    """The network with only these channels of each named layer, and their weights."""
    prunable = chains(model)
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    for name, kept in stays.items():
        chain = prunable[name]
        weights[name] = [values[..., kept] for values in weights[name]]
        for layer in chain.between:
            # [channels], but a depthwise kernel is [height, width, channels, 1]
            weights[layer] = [
                values[:, :, kept] if values.ndim == 4 else values[kept]
                for values in weights[layer]
            ]
        reader = weights[chain.reader]
        positions = reader[0].shape[-2] // len(_channels(model, chain))
        rows = _rows(kept, len(_channels(model, chain)), positions)
        reader[0] = reader[0][..., rows, :]
    small = narrowed(model, {name: len(kept) for name, kept in stays.items()})
    for layer in small.layers:
        layer.set_weights(weights[layer.name])
    return small


def silenced(model: keras.Model, stays: Mapping[str, np.ndarray]) -> keras.Model:
    """The whole network whose other channels have no effect: their readers' weights are 0."""
    prunable = chains(model)
    same = narrowed(model, {})
    same.set_weights(model.get_weights())
    for name, kept in stays.items():
        chain = prunable[name]
        reader = same.get_layer(chain.reader)
        kernel, *rest = reader.get_weights()
        channels = len(_channels(model, chain))
        read = np.zeros(kernel.shape[-2], bool)
        read[_rows(kept, channels, kernel.shape[-2] // channels)] = True
        reader.set_weights([np.where(read[:, None], kernel, 0.0), *rest])
    return same


def _channels(model: keras.Model, chain: Chain) -> range:
    return range(model.get_layer(chain.maker).kernel.shape[-1])


def _rows(kept: np.ndarray, channels: int, positions: int) -> np.ndarray:
    """Rows of the reader's kernel; flattened maps have `channels` rows per position."""
    return (np.arange(positions)[:, None] * channels + kept[None]).ravel()


def _by_channel(model: keras.Model, chain: Chain, kernel: np.ndarray) -> np.ndarray:
    """[channels] sums of a reader's kernel [..., inputs, outputs]."""
    rows = kernel.sum(axis=(*range(kernel.ndim - 2), -1))
    return rows.reshape(-1, len(_channels(model, chain))).sum(0)


def _strength(model: keras.Model, chain: Chain) -> np.ndarray:
    """[channels] |gamma| of the last BatchNorm, or the L1 norm of the maker's kernel."""
    for name in reversed(chain.between):
        layer = model.get_layer(name)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.scale:
            return np.abs(keras.ops.convert_to_numpy(layer.gamma))
    kernel = np.abs(model.get_layer(chain.maker).get_weights()[0])
    return kernel.sum(axis=tuple(range(kernel.ndim - 1)))


def _mean_values(model: keras.Model, prunable: Mapping[str, Chain], pictures) -> dict:
    """Maker -> [channels] mean of |what its reader gets|."""
    probe = keras.Model(
        model.input, {name: model.get_layer(chain.reader).input for name, chain in prunable.items()}
    )
    sums, count = dict.fromkeys(prunable, 0.0), 0
    for batch in pictures or ():
        maps = probe(batch, training=False)
        count += len(batch)
        for name, chain in prunable.items():
            values = np.abs(keras.ops.convert_to_numpy(keras.ops.cast(maps[name], "float32")))
            values = values.reshape(len(batch), -1, len(_channels(model, chain)))
            sums[name] = sums[name] + values.mean(1, dtype=np.float64).sum(0)
    if not count:
        raise ValueError("criterion activation: expected pictures to measure on, got none")
    return {name: total / count for name, total in sums.items()}
