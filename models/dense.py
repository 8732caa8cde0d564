"""A classifier over a whole picture: one window after the other, or all at once by convolution.

`to_fully_convolutional` turns the full layers of a network into convolutions: a picture larger than
the network's input then gives a map of logits, one for each window. Papers: Sermanet 2014
https://arxiv.org/abs/1312.6229 (offsets, several scales); Long 2015
https://arxiv.org/abs/1411.4038. `sliding_windows` is what it saves: the network run on each window.
Both agree where the network's convolutions do not pad; padding sees the picture around a window in
the one and zeros in the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from convoy.models import arithmetic
from convoy.models.pooling import AdaptivePool, Pool

# What may follow the layer that turns a map into a vector; it works alike on maps.
_POINTWISE = ("Activation", "BatchNorm", "Dropout", "ReLU", "ScaledTanh", "Softmax")
_POINTWISE += ("BitmapDistance",)
# What no convolution replaces, and what to do instead.
_WHOLE = {
    "ExtremePool": "it ranks all positions: the layer before it is the map of scores already",
    "SpatialPyramid": "its bins grow with the picture: its weights fit a network of any size",
}
_GLOBAL = {
    "GlobalAveragePooling2D": keras.layers.AveragePooling2D,
    "GlobalMaxPooling2D": keras.layers.MaxPooling2D,
}


@keras.saving.register_keras_serializable("convoy")
class OffsetPool(keras.layers.Layer):
    """Max pooling at stride `size`, begun at each of size x size offsets.

    [B, H, W, C] -> [size^2 * B, h, w, C], the offsets one after the other, row by row;
    h = floor((H - size + 1) / size), so that all are of one size. OffsetJoin puts what becomes of
    them side by side.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = int(size)

    def call(self, x):
        size = self.size
        # One pooling at stride 1 holds all of them.
        x = ops.max_pool(x, size, 1)
        height, width = (n // size * size for n in ops.shape(x)[1:3])
        x = x[:, :height, :width]
        maps = [x[:, dy::size, dx::size] for dy in range(size) for dx in range(size)]
        return ops.concatenate(maps, axis=0)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        sides = [n and (n - self.size + 1) // self.size for n in sides]
        return (batch and batch * self.size**2, *sides, channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("convoy")
class OffsetJoin(keras.layers.Layer):
    """[size^2 * B, h, w, K] of an OffsetPool -> [B, h * size, w * size, K]."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = int(size)

    def call(self, x):
        size = self.size
        height, width, channels = ops.shape(x)[1:]
        x = ops.reshape(x, (size, size, -1, height, width, channels))
        x = ops.transpose(x, (2, 3, 0, 4, 1, 5))
        return ops.reshape(x, (-1, height * size, width * size, channels))

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch and batch // self.size**2, *(n and n * self.size for n in sides), channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def to_fully_convolutional(
    model: keras.Model,
    input_size: tuple[int | None, int | None] = (None, None),
    *,
    offsets: bool = False,
) -> keras.Model:
    """A copy with the same weights: images [B, H, W, C] -> logits [B, h, w, K].

    The network must end with Flatten or a global pooling, then Dense layers and others that work
    on each value alone; auxiliary heads are left out. At its own input size h = w = 1 and the
    logits are the network's. Global pooling becomes pooling by windows of the training map.
    `offsets` replaces the pooling before Flatten by all of its shifts, which divides the stride of
    the map by that pooling's.
    """
    model = _without_aux(model)
    chain = _head(model)
    replaced = _replacements(model, chain)
    if offsets:
        pool, size = _last_pool(model, chain[0])
        replaced[pool.name] = OffsetPool(size, name=pool.name)
    dense = keras.models.clone_model(
        model,
        input_tensors=keras.Input((*input_size, model.input.shape[-1]), name="image"),
        clone_function=lambda layer: replaced.get(layer.name) or _copy(layer),
    )
    if offsets:
        joined = OffsetJoin(size, dtype="float32", name="offsets")(dense.output)
        dense = keras.Model(dense.input, joined, name=model.name)
    for layer in model.layers:
        if layer.weights:
            twin = dense.get_layer(layer.name)
            pairs = list(zip(layer.get_weights(), twin.weights, strict=True))
            if any(value.size != math.prod(variable.shape) for value, variable in pairs):
                raise ValueError(
                    f"{model.name}: {layer.name!r} has weights for each position: it fits maps of "
                    "one size"
                )
            twin.set_weights([value.reshape(variable.shape) for value, variable in pairs])
    return dense


def _without_aux(model: keras.Model) -> keras.Model:
    """The network up to its logits, where its other outputs are auxiliary heads."""
    if isinstance(model.output, dict):
        aux_heads = set(model.output) - {"logits"}
        if len(aux_heads) < len(model.output) and all(name.startswith("aux") for name in aux_heads):
            return keras.Model(model.input, model.output["logits"], name=model.name)
    return model


def _copy(layer):
    return type(layer).from_config(layer.get_config())


def _head(model: keras.Model) -> list:
    """The layer that turns the last map into a vector, and those behind it, to the output."""
    if len(model.outputs) != 1:
        raise ValueError(f"{model.name}: expected one output, got {len(model.outputs)}")
    chain, vector = [], None
    for layer in reversed(model.layers):
        if chain and chain[0].input is not layer.output:
            break
        chain.insert(0, layer)
        kind = type(layer).__name__
        if kind in _GLOBAL or (kind == "Flatten" and max(layer.input.shape[1:3]) > 1):
            return chain
        if kind == "Flatten" and any(isinstance(member, keras.layers.Dense) for member in chain):
            vector = list(chain)  # of a map of one position, unless a global pooling made that
        by_itself = kind == "Conv2D" and layer.kernel_size == (1, 1)
        if not (by_itself or kind in (*_POINTWISE, "Dense", "Flatten")):
            break
    if vector:
        return vector
    kind = type(layer).__name__
    raise ValueError(
        f"{model.name}: expected Flatten or global pooling before the last Dense layers, found "
        f"{kind} {layer.name!r}: {_WHOLE.get(kind, 'no convolution does the same')}"
    )


def _nothing(layer):
    """A layer that returns what it is given, in place of `layer`."""
    # Keras' Identity cannot be saved with a precision of its own.
    return keras.layers.Activation("linear", dtype=layer.dtype_policy, name=layer.name)


def _replacements(model: keras.Model, chain: list) -> dict[str, keras.layers.Layer]:
    """Layers on maps, by the names of those on vectors."""
    collapse, *behind = chain
    sides = tuple(collapse.input.shape[1:3])
    replacements = _bins(model, collapse)
    if type(collapse).__name__ in _GLOBAL:
        kind = _GLOBAL[type(collapse).__name__]
        replacements[collapse.name] = kind(
            sides, strides=1, dtype=collapse.dtype_policy, name=collapse.name
        )
        sides = (1, 1)
    else:
        replacements[collapse.name] = _nothing(collapse)
    for layer in behind:
        if isinstance(layer, keras.layers.Flatten):
            replacements[layer.name] = _nothing(layer)
        elif isinstance(layer, keras.layers.Dense):
            replacements[layer.name] = keras.layers.Conv2D(
                layer.units,
                sides,
                activation=layer.activation,
                use_bias=layer.use_bias,
                dtype=layer.dtype_policy,
                name=layer.name,
            )
            sides = (1, 1)
    return replacements


def _bins(model: keras.Model, collapse) -> dict[str, keras.layers.Layer]:
    """Pooling into fixed bins before `collapse` is nothing where each bin is one position."""
    pool = _maker(model, collapse)
    if not isinstance(pool, AdaptivePool):
        return {}
    height, width = pool.input.shape[1:3]
    if (height, width) != (pool.bins, pool.bins):
        raise ValueError(
            f"{model.name}: {pool.name!r} averages a {height}x{width} map into "
            f"{pool.bins}x{pool.bins}: build the network at its own size"
        )
    return {pool.name: _nothing(pool)}


def _maker(model: keras.Model, collapse):
    """The layer whose map `collapse` takes."""
    return next(layer for layer in model.layers if layer.output is collapse.input)


def _last_pool(model: keras.Model, collapse) -> tuple[keras.layers.Layer, int]:
    """The max pooling whose map `collapse` flattens, and its size, which is its stride."""
    pool = _maker(model, collapse)
    if isinstance(pool, keras.layers.MaxPooling2D) and pool.padding == "valid":
        sizes = {*pool.pool_size, *pool.strides}
    elif isinstance(pool, Pool) and pool.kind == "max" and not (pool.padding or pool.ceil):
        sizes = {pool.size, pool.stride}
    else:
        sizes = set()
    if len(sizes) != 1:
        raise ValueError(
            f"{model.name}: offsets need a max pooling by square windows side by side before "
            f"{collapse.name!r}, found {type(pool).__name__} {pool.name!r}"
        )
    return pool, sizes.pop()


def classify(dense: keras.Model, pictures: Sequence, *, pool: str = "max", mirror: bool = False):
    """The same pictures at several sizes, each [B, H, W, C] -> probabilities [B, K] float32.

    At each size, and mirrored if wanted, the largest logit of the map counts ("max", OverFeat) or
    their mean ("mean", VGG); the sizes' softmax values are averaged.
    """
    reduce = {"max": ops.max, "mean": ops.mean}[pool]
    views = [view for x in pictures for view in ((x, ops.flip(x, 2)) if mirror else (x,))]
    probabilities = [
        ops.softmax(reduce(dense(view, training=False), axis=(1, 2))) for view in views
    ]
    return sum(probabilities) / len(probabilities)


def sliding_windows(model: keras.Model, images, stride: int) -> np.ndarray:
    """The network run on each window of [B, H, W, C]: logits [B, rows, columns, K]."""
    height, width = model.input_shape[1:3]
    rows, columns = (
        arithmetic.output_size(n, f, stride)
        for n, f in zip(images.shape[1:3], (height, width), strict=True)
    )
    outputs = [
        model(images[:, y : y + height, x : x + width], training=False)
        for y in range(0, rows * stride, stride)
        for x in range(0, columns * stride, stride)
    ]
    logits = np.stack([ops.convert_to_numpy(output) for output in outputs], axis=1)
    return logits.reshape(len(images), rows, columns, -1)


def count_windows(
    sizes: Sequence[tuple[int, int]], window: tuple[int, int], stride: int = 1
) -> int:
    """Passes that a sliding window needs over one picture at these (height, width)."""
    return sum(
        arithmetic.output_size(height, window[0], stride)
        * arithmetic.output_size(width, window[1], stride)
        for height, width in sizes
    )
