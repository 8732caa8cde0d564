"""Convolution whose kernel differs from place to place: Darknet's `local`."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("convoy")
class Local(keras.layers.Layer):
    """[B, H, W, C] -> [B, H, W, filters], zeros around the map, a kernel and a bias per position.

    kernel [H * W, side, side, C, filters], positions row by row; bias [H, W, filters].
    """

    untied = True  # each position has weights of its own: models/count.py

    def __init__(self, filters, side, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.filters, self.side = int(filters), int(side)
        self.kernel_size, self.strides, self.padding = (self.side,) * 2, (1, 1), "same"
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.use_bias = True

    def build(self, input_shape):
        height, width, channels = input_shape[1:]
        self.kernel = self.add_weight(
            shape=(height * width, self.side, self.side, channels, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(height, width, self.filters), initializer="zeros", name="bias"
        )

    def call(self, x):
        height, width, channels = x.shape[1:]
        low = (self.side - 1) // 2
        border = (low, self.side - 1 - low)
        x = ops.pad(x, [(0, 0), border, border, (0, 0)])
        seen = [
            x[:, i : i + height, j : j + width] for i in range(self.side) for j in range(self.side)
        ]
        seen = ops.reshape(ops.stack(seen, axis=3), (-1, height * width, self.side**2 * channels))
        kernel = ops.reshape(self.kernel, (height * width, -1, self.filters))
        # One product of matrices a position: [P, B, N] with [P, N, filters].
        found = ops.matmul(ops.transpose(seen, (1, 0, 2)), kernel)
        found = ops.reshape(ops.transpose(found, (1, 0, 2)), (-1, height, width, self.filters))
        return found + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        config = {"filters": self.filters, "side": self.side, "kernel_initializer": initializer}
        return {**super().get_config(), **config}
