"""Normalisation by neighbours: across channels (AlexNet), within a channel, local contrast.

None of them has weights. All compute in float32 and take maps [B, H, W, C] of any size.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("convoy")
class LocalResponseNorm(keras.layers.Layer):
    """x / (k + a * sum of squares over `size` neighbouring channels) ** beta.

    Krizhevsky 2012 writes a = alpha with k = 2; Caffe and PyTorch take a = alpha / size with k = 1:
    `mean` True says the second. The neighbours of channel c are c - size // 2 ... c + size // 2.
    """

    def __init__(self, size=5, k=2.0, alpha=1e-4, beta=0.75, mean=False, **kwargs):
        super().__init__(**kwargs)
        _check_odd("LocalResponseNorm", size)
        self.size, self.mean = int(size), bool(mean)
        self.k, self.alpha, self.beta = float(k), float(alpha), float(beta)

    def call(self, x):
        wide = ops.cast(x, "float32")
        reach, channels = self.size // 2, x.shape[-1]
        squares = ops.pad(ops.square(wide), [(0, 0)] * 3 + [(reach, reach)])
        total = sum(squares[..., shift : shift + channels] for shift in range(self.size))
        rate = self.alpha / self.size if self.mean else self.alpha
        return ops.cast(wide * ops.power(self.k + rate * total, -self.beta), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {key: getattr(self, key) for key in ("size", "k", "alpha", "beta", "mean")}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("convoy")
class WithinChannelNorm(keras.layers.Layer):
    """x / (1 + alpha * mean of squares over size x size positions) ** beta, each channel alone.

    Caffe's LRN with norm_region WITHIN_CHANNEL: beyond the border the squares are 0 and count.
    """

    def __init__(self, size=3, alpha=5e-5, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        _check_odd("WithinChannelNorm", size)
        self.size, self.alpha, self.beta = int(size), float(alpha), float(beta)

    def call(self, x):
        wide = ops.cast(x, "float32")
        reach = self.size // 2
        border = [(0, 0), (reach, reach), (reach, reach), (0, 0)]
        mean = ops.average_pool(ops.pad(ops.square(wide), border), self.size, 1)
        return ops.cast(wide * ops.power(1.0 + self.alpha * mean, -self.beta), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {key: getattr(self, key) for key in ("size", "alpha", "beta")}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("convoy")
class LocalContrastNorm(keras.layers.Layer):
    """v = x - (neighbourhood's mean); v / max(s, mean of s), s the neighbourhood's deviation.

    Jarrett 2009, What is the Best Multi-Stage Architecture for Object Recognition?, section 2.1:
    a neighbourhood is all channels of size x size positions weighted by a Gaussian (its deviation
    is size / 4 here, the paper gives none), the mean of s is that of the picture. At the border the
    weights of the positions inside sum to 1.
    """

    def __init__(self, size=9, **kwargs):
        super().__init__(**kwargs)
        _check_odd("LocalContrastNorm", size)
        self.size = int(size)

    def call(self, x):
        wide = ops.cast(x, "float32")
        inside = self._blur(ops.ones_like(wide[:1, :, :, :1]))
        centered = wide - self._around(wide, inside)
        # The floor keeps the root's gradient finite where a region is flat.
        deviation = ops.sqrt(ops.maximum(self._around(ops.square(centered), inside), 1e-10))
        floor = ops.mean(deviation, axis=(1, 2, 3), keepdims=True)
        return ops.cast(centered / ops.maximum(deviation, floor), self.compute_dtype)

    def _around(self, x, inside):
        """[B, H, W, C] -> [B, H, W, 1]: each neighbourhood's weighted mean."""
        return self._blur(ops.mean(x, axis=-1, keepdims=True)) / inside

    def _blur(self, x):
        return ops.conv(x, gaussian(self.size, self.size / 4)[:, :, None, None], padding="same")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "size": self.size}


def gaussian(size: int, deviation: float) -> np.ndarray:
    """[size, size] float32, sum 1."""
    place = np.arange(size) - (size - 1) / 2
    row = np.exp(-np.square(place / deviation) / 2)
    return (np.outer(row, row) / row.sum() ** 2).astype(np.float32)


def _check_odd(name: str, size: int) -> None:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"{name}: expected an odd size, got {size}: the window has a centre")
