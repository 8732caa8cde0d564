"""The network that read zip codes in 1989: two convolutions, two full layers, 9,760 parameters.

Paper: LeCun 1989, Backpropagation Applied to Handwritten Zip Code Recognition,
Neural Computation 1(4).
Every unit has a bias of its own, the weights alone are shared; beyond the border lies a background
of -1; units are 1.7159 tanh(2 x / 3).
Differences from the paper: which 8 maps of H1 each map of H2 sees is not in it, ours are three
overlapping blocks, those of https://github.com/karpathy/lecun1989-repro. Logits are the output
units before their tanh, which softmax cross entropy trains (the paper: squared error to +-1); the
largest is the same. First-order learning instead of its pseudo-Newton. Biases start at zero.
Pictures are white on black here, 16 px per side; paper and ink become -1 and 1.
Checked against NumPy loops and the paper's 64,660 connections.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.classification.lenet import ScaledTanh, uniform
from convoy.models.connections import TableConv
from convoy.models.spec import Preprocess

BLOCKS = (range(8), range(4, 12), (*range(4), *range(8, 12)))
H2_TABLE = [list(block) for block in BLOCKS for _ in range(4)]
BACKGROUND = -1.0


@keras.saving.register_keras_serializable("convoy")
class BackgroundPad(keras.layers.Layer):
    """Two pixels of background on each side."""

    def call(self, x):
        return ops.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)], constant_values=BACKGROUND)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *(n and n + 4 for n in sides), channels)


@keras.saving.register_keras_serializable("convoy")
class UnitBias(keras.layers.Layer):
    """A learned bias for each unit of the map [B, H, W, C]."""

    def build(self, input_shape):
        shape = tuple(input_shape[1:])
        if None in shape:
            raise ValueError(f"{self.name}: a bias for each unit needs a map of known size")
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, x):
        return x + self.bias

    def compute_output_shape(self, input_shape):
        return input_shape


def units(x, name: str):
    """Biases and squashing of a convolution's outputs."""
    return ScaledTanh(name=f"{name}_tanh")(UnitBias(name=f"{name}_bias")(x))


def features(x) -> dict:
    """Normalised pixels [B, 16, 16, 1] -> {"s2": H1 [B, 8, 8, 12], "s4": H2 [B, 4, 4, 12]}."""
    x = BackgroundPad(name="h1_pad")(x)
    x = keras.layers.Conv2D(
        12, 5, 2, use_bias=False, kernel_initializer=uniform(25), name="h1_conv"
    )(x)
    h1 = units(x, "h1")
    x = BackgroundPad(name="h2_pad")(h1)
    x = TableConv(H2_TABLE, 5, 2, use_bias=False, kernel_initializer=uniform(200), name="h2_conv")(
        x
    )
    return {"s2": h1, "s4": units(x, "h2")}


def build(variant: str, preprocess: Preprocess, *, num_classes: int | None = 10) -> keras.Model:
    """Images [B, 16, 16, 1], white on black -> logits [B, num_classes]; None: the maps."""
    why = "every unit has a bias of its own"
    layers.check_input(variant, preprocess.size, exact=16, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(maps["s4"])
    x = keras.layers.Dense(30, kernel_initializer=uniform(192), name="h3")(x)
    x = ScaledTanh(name="h3_tanh")(x)
    x = keras.layers.Dense(
        num_classes, kernel_initializer=uniform(30), dtype="float32", name="logits"
    )(x)
    return keras.Model(image, x, name=variant)
