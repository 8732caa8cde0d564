"""HDF5 files of Keras: arrays by layer, of the legacy layout and of Keras 3's .weights.h5.

Legacy (keras.applications' downloads): attribute layer_names of the root, or of model_weights in a
whole model; a group for each layer with its attribute weight_names in the order of layer.weights.
Keras 3: groups LAYER/vars with the attribute "name" and arrays 0, 1, ...
Names of the variables differ between versions of Keras ("block1_conv1_W_1:0"): their order alone
counts. Published files are older than today's keras.applications, whose layers have other names in
places: where names do not fit, a legacy file's layers go by their order, as Keras loads them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection

import h5py
import keras
import numpy as np

from convoy.models.keras_internals import without_values

Layers = dict[str, dict[str, np.ndarray]]
_INFLATED = 1100  # bytes that one of a compressed file can stand for at most
# What h5py raises for files that are damaged.
_BROKEN = (OSError, LookupError, RuntimeError, TypeError, ValueError, AttributeError, MemoryError)


def read(path: str | os.PathLike, names: Collection[str] = (), application: str = "") -> Layers:
    """Layer -> variable -> array in Keras' layout. Raises ValueError.

    Layers that Keras numbers by itself are called "conv2d#0", "batch_normalization#0", ... in the
    order of their numbers. Where half of the `names` are not there, those of `application`
    (a function of keras.applications) are given by position.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            legacy = "layer_names" in root.attrs
            limit = _INFLATED * os.path.getsize(path)
            layers = _legacy(root, limit) if legacy else _keras3(root, limit)
    except _BROKEN as error:
        raise ValueError(f"{path}: no HDF5 file of Keras' weights, or cut off: {error}") from None
    if not layers:
        raise ValueError(f"{path}: an HDF5 file without layers of Keras' weights")
    named = numbered(layers)
    if legacy and application and sum(name in named for name in names) < len(names) / 2:
        with without_values():
            reference = getattr(keras.applications, application)(weights=None)
        order = [layer.name for layer in reference.layers if layer.weights]
        named = numbered(dict(zip(order, layers.values(), strict=False)))
        named |= {name: layers[name] for name in list(layers)[len(order) :]}
    return named


def numbered(layers: Layers) -> Layers:
    """Layers that Keras numbers by itself under their places: "conv2d_7" -> "conv2d#0"."""
    places = {}
    for kind in ("conv2d", "batch_normalization"):
        numbers = {}
        for name in layers:
            match = re.fullmatch(rf"{kind}(?:_v1)?(?:_(\d+))?", name)
            if match:
                numbers[name] = int(match[1] or 0)
        for index, name in enumerate(sorted(numbers, key=numbers.get)):
            places[name] = f"{kind}#{index}"
    return {places.get(name, name): values for name, values in layers.items()}


def _legacy(root, limit: int) -> Layers:
    layers = {}
    for layer in map(_text, root.attrs["layer_names"]):
        group = root[layer]
        arrays = [_array(group[_text(name)], limit) for name in group.attrs["weight_names"]]
        if arrays:
            layers[layer] = _variables(layer, arrays)
    return layers


def _keras3(root, limit: int) -> Layers:
    layers = {}

    def visit(_, group):
        if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
            layer = _text(group.attrs["name"])
            arrays = [_array(group[str(index)], limit) for index in range(len(group))]
            layers[layer] = _variables(layer, arrays)

    root.visititems(visit)
    return layers


def _array(dataset, limit: int) -> np.ndarray:
    if dataset.dtype.kind not in "fiub" or dataset.nbytes > limit:
        raise ValueError(f"{dataset.name}: {dataset.shape} of {dataset.dtype} cannot be weights")
    return np.asarray(dataset)


def _text(name) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _variables(layer: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Kernel and bias, or what BatchNormalization holds, of which scale and center may lack."""
    names = ("kernel", "bias")
    if arrays[0].ndim == 1:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        names = names[1:] if len(arrays) == 3 else names
    if len(arrays) > len(names):
        raise KeyError(f"layer {layer} has {len(arrays)} arrays, expected {len(names)} at most")
    return dict(zip(names, arrays, strict=False))
