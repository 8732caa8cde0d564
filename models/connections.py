"""Convolution by a table of connections: each output map sees some of the input maps."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def random_table(outputs: int, fan_in: int, channels: int, seed: int) -> list[list[int]]:
    """`outputs` rows of `fan_in` different input maps each, drawn evenly; the same for a seed."""
    draw = np.random.default_rng(seed)
    return [sorted(draw.permutation(channels)[:fan_in].tolist()) for _ in range(outputs)]


@keras.saving.register_keras_serializable("convoy")
class TableConv(keras.layers.Layer):
    """Convolution without padding where output map o sees the input maps of table[o].

    All rows of the table are of one length F. kernel [size, size, F, outputs] holds for each
    output one filter per connection, in its row's order.
    """

    def __init__(
        self, table, size, stride=1, use_bias=True, kernel_initializer="glorot_uniform", **kwargs
    ):
        super().__init__(**kwargs)
        self.table = [[int(source) for source in row] for row in table]
        self.size, self.stride, self.use_bias = int(size), int(stride), bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        if len({len(row) for row in self.table}) != 1:
            raise ValueError("TableConv: expected as many connections of every output map")

    def build(self, input_shape):
        outputs, fan_in = len(self.table), len(self.table[0])
        self.kernel = self.add_weight(
            shape=(self.size, self.size, fan_in, outputs),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")
        # [F, C, outputs]: connection f of output o comes from map c.
        eye = np.eye(input_shape[-1], dtype=np.float32)
        self.spread = eye[np.asarray(self.table)].transpose(1, 2, 0)

    def call(self, x):
        spread = ops.cast(self.spread, self.compute_dtype)
        dense = ops.einsum("hwfo,fco->hwco", self.kernel, spread)
        x = ops.conv(x, dense, self.stride, padding="valid")
        return x + self.bias if self.use_bias else x

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        sides = [n and (n - self.size) // self.stride + 1 for n in sides]
        return (batch, *sides, len(self.table))

    def get_config(self):
        config = {key: getattr(self, key) for key in ("table", "size", "stride", "use_bias")}
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **config, "kernel_initializer": initializer}
