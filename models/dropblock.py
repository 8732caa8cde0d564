"""DropBlock: dropout of whole squares of a map. Paper: Ghiasi 2018 https://arxiv.org/abs/1810.12890"""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("convoy")
class DropBlock(keras.layers.Layer):
    """In training, zeros in random squares of each channel, about `rate` of a map [B, H, W, C].

    A square of side x side (as much of it as the map has) is dropped around centres, each with the
    probability of equation 1, among those where it lies in the map whole; what is left is scaled by
    1 / (part kept), over the batch (algorithm 1). Squares of channels are drawn apart.
    """

    def __init__(self, rate, side=7, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.side, self.seed = float(rate), int(side), seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=None):
        if not training or not self.rate:
            return x
        height, width = x.shape[1:3]
        sides = (min(self.side, height), min(self.side, width))
        rows, columns = height - sides[0] + 1, width - sides[1] + 1
        chance = self.rate * height * width / (sides[0] * sides[1] * rows * columns)
        shape = (ops.shape(x)[0], rows, columns, x.shape[-1])
        drawn = keras.random.uniform(shape, dtype="float32", seed=self.generator)
        centers = ops.cast(drawn < chance, "float32")
        low, right = sides[0] - 1, sides[1] - 1
        padded = ops.pad(centers, [(0, 0), (low, low), (right, right), (0, 0)])
        kept = 1.0 - ops.max_pool(padded, sides, 1)
        kept = kept / ops.maximum(ops.mean(kept), 1e-6)
        return x * ops.cast(kept, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {"rate": self.rate, "side": self.side, "seed": self.seed}
        return {**super().get_config(), **config}
