"""Larger maps: fixed bilinear deconvolution, bilinear resizing, unpooling by the encoder's places.

Functions of keras.ops alone. Only BilinearDeconvolution has a weight, which never learns.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def bilinear_filter(size: int) -> np.ndarray:
    """[size] float32: a triangle whose half width is the stride that it is made for, size / 2.

    Long 2014 https://arxiv.org/abs/1411.4038 section 3.3; the numbers are those of its surgery.py.
    """
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 else factor - 0.5
    return (1 - np.abs(np.arange(size) - center) / factor).astype(np.float32)


@keras.saving.register_keras_serializable("convoy")
class BilinearDeconvolution(keras.layers.Layer):
    """[B, h, w, C] -> [B, s (h - 1) + size, s (w - 1) + size, C]: each channel enlarged alone.

    kernel [size, size, C, C] as in Caffe, a bilinear filter on its diagonal and zeros elsewhere.
    """

    transposed = True  # for count.call_macs

    def __init__(self, size, stride, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride = int(size), int(stride)

    def build(self, input_shape):
        channels = input_shape[-1]

        def start(shape, dtype=None):
            line = bilinear_filter(self.size)
            return ops.convert_to_tensor(
                np.multiply.outer(np.outer(line, line), np.eye(channels, dtype=np.float32)), dtype
            )

        self.kernel = self.add_weight(
            shape=(self.size, self.size, channels, channels),
            initializer=start,
            trainable=False,
            name="kernel",
        )

    def call(self, x):
        return ops.conv_transpose(x, self.kernel, self.stride, padding="valid")

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *(n and self.stride * (n - 1) + self.size for n in sides), channels)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "stride": self.stride}


@keras.saving.register_keras_serializable("convoy")
class Resize(keras.layers.Layer):
    """Bilinear, of any size: [B, h, w, C] -> [B, *size, C]; borders go on. Computed in float32."""

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(map(int, size))

    def call(self, x):
        wide = ops.image.resize(ops.cast(x, "float32"), self.size, "bilinear")
        return ops.cast(wide, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("convoy")
class MaxPoolWithPlaces(keras.layers.Layer):
    """2 x 2 maxima, and where in its window each was: [B, H, W, C] -> two of ceil(H / 2) and so on.

    places int32, 0 to 3 in the order of rows; of equal values the first. A window that hangs over
    the bottom or the right sees what is there. The gradient goes to that one place.
    """

    def call(self, x):
        windows = _windows(x, float("-inf"))
        places = ops.argmax(windows, axis=3)
        chosen = _chosen(places)
        # Not their maximum, whose gradient equal values would share.
        return ops.sum(ops.where(chosen, windows, ops.zeros_like(windows)), axis=3), places

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        shape = (batch, -(-height // 2), -(-width // 2), channels)
        return shape, shape

    def compute_output_spec(self, x):
        shape, _ = self.compute_output_shape(x.shape)
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, "int32")


@keras.saving.register_keras_serializable("convoy")
class Unpool(keras.layers.Layer):
    """Values back to the places of a MaxPoolWithPlaces, zeros elsewhere.

    [x [B, h, w, C], places] -> [B, *size, C], size the pooled map's.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(map(int, size))

    def call(self, inputs):
        x, places = inputs
        height, width, channels = x.shape[1:]
        x = ops.expand_dims(x, 3)
        spread = ops.where(_chosen(places), x, ops.zeros_like(x))
        spread = ops.reshape(spread, (-1, height, width, 2, 2, channels))
        spread = ops.transpose(spread, (0, 1, 3, 2, 4, 5))
        whole = ops.reshape(spread, (-1, 2 * height, 2 * width, channels))
        return whole[:, : self.size[0], : self.size[1]]

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], *self.size, input_shape[0][-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def _windows(x, fill: float):
    """[B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), 4, C]."""
    height, width, channels = x.shape[1:]
    x = ops.pad(x, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], constant_values=fill)
    rows, columns = -(-height // 2), -(-width // 2)
    x = ops.reshape(x, (-1, rows, 2, columns, 2, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, rows, columns, 4, channels))


def _chosen(places):
    """[B, h, w, C] numbers 0 to 3 -> [B, h, w, 4, C] bool."""
    return ops.expand_dims(places, 3) == ops.reshape(ops.arange(4, dtype="int32"), (1, 1, 1, 4, 1))


def cropped(x, size, offset, *, name: str):
    """The window of `size` = (height, width) at `offset` = (top, left) of a map [B, H, W, C]."""
    (top, left), (height, width) = offset, size
    if min(x.shape[1] - top - height, x.shape[2] - left - width) < 0:
        raise ValueError(f"{name}: a window of {size} at {offset} is not inside {x.shape[1:3]}")
    border = ((top, x.shape[1] - top - height), (left, x.shape[2] - left - width))
    return keras.layers.Cropping2D(border, name=name)(x)
