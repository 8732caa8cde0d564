"""Pooling that Keras lacks: sizes rounded up, L2, distance weights, spatial pyramids.

None of the layers has weights.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import arithmetic

KINDS = arithmetic.POOLINGS


@keras.saving.register_keras_serializable("convoy")
class Pool(keras.layers.Layer):
    """Pooling by windows of size x size, `stride` apart (None: side by side).

    kind: "max"; "average"; "l2", the root of the sum of squares; "distance", the sum with the
    weights of arithmetic.distance_weights. `padding` pixels surround the map: values no maximum
    sees, zeros elsewhere. `ceil` lets a last window hang over the bottom and the right, as Caffe
    rounds; an average then counts the padding and no more.
    """

    def __init__(self, kind="max", size=2, stride=None, padding=0, ceil=False, **kwargs):
        super().__init__(**kwargs)
        if kind not in KINDS:
            raise ValueError(f"Pool: expected kind of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self.size, self.stride = kind, int(size), int(stride or size)
        self.padding, self.ceil = int(padding), bool(ceil)
        # Else a window could lie beyond the map: no maximum, and Caffe would leave it out.
        if self.padding + (self.stride - 1 if self.ceil else 0) >= self.size:
            raise ValueError(f"Pool: padding {padding} is too large for windows of {size}")

    def call(self, x):
        size, stride = self.size, self.stride
        if self.kind == "max":
            return ops.max_pool(self._pad(x, float("-inf")), size, stride)
        if self.kind == "l2":
            mean = ops.average_pool(self._pad(ops.square(x), 0.0), size, stride)
            # The root's gradient at 0 is infinite.
            return ops.sqrt(ops.maximum(mean * size**2, keras.config.epsilon() ** 2))
        if self.kind == "distance":
            weights = arithmetic.distance_weights(size)[:, :, None, None]
            kernel = ops.cast(ops.tile(weights, (1, 1, x.shape[-1], 1)), x.dtype)
            return ops.depthwise_conv(self._pad(x, 0.0), kernel, stride)
        mean = ops.average_pool(self._pad(x, 0.0), size, stride)
        if not self.ceil:
            return mean
        counted = ops.ones_like(ops.pad(x[:1, :, :, :1], self._border()))
        return mean / ops.average_pool(self._hang(counted, 0.0), size, stride)

    def _border(self) -> list:
        side = (self.padding, self.padding)
        return [(0, 0), side, side, (0, 0)]

    def _pad(self, x, value: float):
        return self._hang(ops.pad(x, self._border(), constant_values=value), value)

    def _hang(self, x, value: float):
        """ceil((n - size) / stride) = floor((n - size + stride - 1) / stride)."""
        if not self.ceil or self.stride == 1:
            return x
        side = (0, self.stride - 1)
        return ops.pad(x, [(0, 0), side, side, (0, 0)], constant_values=value)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, self._places(height), self._places(width), channels)

    def _places(self, n):
        if n is None:
            return None
        hang = self.stride - 1 if self.ceil else 0
        return (n + 2 * self.padding + hang - self.size) // self.stride + 1

    def get_config(self):
        config = {key: getattr(self, key) for key in ("kind", "size", "stride", "padding", "ceil")}
        return {**super().get_config(), **config}


def adaptive_pool(x, n: int, kind: str = "max"):
    """[B, H, W, C] of any size -> [B, n, n, C]: "max" or "average" of n x n bins.

    Bin i covers floor(i a / n) up to ceil((i + 1) a / n) of a positions, as in PyTorch and in
    SPP-net's appendix; bins overlap where n does not divide a, and repeat where a < n. (Keras'
    adaptive pooling ends the process where a < n, and needs a size known in advance.)
    """
    reduce = {"max": ops.max, "average": ops.mean}[kind]
    for axis in (1, 2):
        size = ops.shape(x)[axis]
        ends = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        bins = [x[:, a:b] if axis == 1 else x[:, :, a:b] for a, b in ends]
        x = ops.stack([reduce(window, axis=axis) for window in bins], axis=axis)
    return x


@keras.saving.register_keras_serializable("convoy")
class AdaptivePool(keras.layers.Layer):
    """`adaptive_pool` as a layer: [B, H, W, C] -> [B, bins, bins, C]."""

    def __init__(self, bins, kind="average", **kwargs):
        super().__init__(**kwargs)
        self.bins, self.kind = int(bins), kind

    def call(self, x):
        return adaptive_pool(x, self.bins, self.kind)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.bins, self.bins, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "bins": self.bins, "kind": self.kind}


@keras.saving.register_keras_serializable("convoy")
class SpatialPyramid(keras.layers.Layer):
    """[B, H, W, C] of any size -> [B, C * sum of n^2]: for each level n, maxima of n x n bins.

    He 2014 https://arxiv.org/abs/1406.4729. The bins of adaptive_pool are windows of ceil(a / n)
    at stride floor(a / n) (the paper's section 2.3) wherever those make n bins: of 13 positions for
    6, 3, 2 and 1; of 10 they would make 9 for 6. Order: level, row, column, channel.
    """

    def __init__(self, levels=(6, 3, 2, 1), **kwargs):
        super().__init__(**kwargs)
        self.levels = tuple(map(int, levels))

    def call(self, x):
        flat = [ops.reshape(adaptive_pool(x, n), (-1, n * n * x.shape[-1])) for n in self.levels]
        return ops.concatenate(flat, axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] * sum(n * n for n in self.levels))

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}
