"""LeNet-5: the network of 1998 to the last parameter, and the one that textbooks draw.

Paper: LeCun 1998, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11).

lenet5_1998 has the sparse connection table of C3, trainable subsampling, scaled tanh and output
units that measure the distance to fixed +-1 bitmaps: 60,000 trainable parameters. Differences from
the paper: logits are minus the squared distances, so that softmax cross entropy trains it (the
paper's competing term with j = 0.1 is the same idea); the bitmaps are drawn by us, since the
paper's exist as a figure alone; no second-order learning rates.

lenet5 is the modern reading: dense C3, average pooling, tanh, a linear output; 61,706 parameters.
Its first layer pads a 28 px digit by 2, where the paper has digits in 32 px frames.

Weights of lenet5_1998 start as the paper's appendix A says, uniform in +-2.4 / fan-in of the unit,
those of lenet5 as Glorot's, which Caffe's and most later readings have; biases at zero.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from convoy.models import layers
from convoy.models.spec import Preprocess

# Maps of S2 that each map of C3 sees (table I of the paper).
C3_TABLE = (
    (0, 1, 2),
    (1, 2, 3),
    (2, 3, 4),
    (3, 4, 5),
    (4, 5, 0),
    (5, 0, 1),
    (0, 1, 2, 3),
    (1, 2, 3, 4),
    (2, 3, 4, 5),
    (3, 4, 5, 0),
    (4, 5, 0, 1),
    (5, 0, 1, 2),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
# Digits 0 to 9 on 12 rows of 7 pixels; a row is a hexadecimal number, its highest bit on the left.
GLYPHS = (
    "00 1c 22 41 41 41 41 41 41 22 1c 00",
    "00 08 18 28 08 08 08 08 08 08 3e 00",
    "00 3e 41 01 01 02 0c 10 20 40 7f 00",
    "00 3e 41 01 01 1e 01 01 01 41 3e 00",
    "00 02 06 0a 12 22 42 7f 02 02 02 00",
    "00 7f 40 40 7c 42 01 01 01 42 3c 00",
    "00 1e 20 40 40 5e 61 41 41 21 1e 00",
    "00 7f 01 02 02 04 04 08 08 10 10 00",
    "00 1c 22 41 22 1c 22 41 41 22 1c 00",
    "00 3c 42 41 41 43 3d 01 01 02 3c 00",
)
NUM_CLASSES = len(GLYPHS)
AMPLITUDE, SLOPE = 1.7159, 2 / 3


def bitmaps() -> np.ndarray:
    """[10, 84] float32: each digit's 12 x 7 picture, ink +1, paper -1, row by row."""
    rows = [[int(row, 16) for row in glyph.split()] for glyph in GLYPHS]
    bits = np.asarray(rows)[:, :, None] >> np.arange(6, -1, -1) & 1
    return (2.0 * bits - 1.0).reshape(NUM_CLASSES, -1).astype(np.float32)


def uniform(fan_in: int):
    """The paper's initialiser: uniform in +-2.4 / fan_in."""
    return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)


@keras.saving.register_keras_serializable("convoy")
class ScaledTanh(keras.layers.Layer):
    """1.7159 tanh(2 x / 3): f(1) = 1 and f(-1) = -1."""

    def call(self, x):
        return AMPLITUDE * ops.tanh(SLOPE * x)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("convoy")
class Subsample(keras.layers.Layer):
    """Sum of each 2x2 square, times a learned coefficient per map, plus a learned bias."""

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.coefficient = self.add_weight(shape=shape, initializer=uniform(4), name="coefficient")
        self.bias = self.add_weight(shape=shape, initializer="zeros", name="bias")

    def call(self, x):
        return 4.0 * ops.average_pool(x, 2, 2) * self.coefficient + self.bias

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *(side and side // 2 for side in sides), channels)


@keras.saving.register_keras_serializable("convoy")
class SparseConv(keras.layers.Layer):
    """Valid 5x5 convolution where each output map sees the input maps of its row in C3_TABLE.

    kernel [5, 5, P] holds one 5x5 filter per connection, in the table's order.
    """

    def build(self, input_shape):
        pairs = [(source, out) for out, sources in enumerate(C3_TABLE) for source in sources]
        channels, outputs = input_shape[-1], len(C3_TABLE)
        spread = np.zeros((len(pairs), channels * outputs), np.float32)
        for index, (source, out) in enumerate(pairs):
            spread[index, source * outputs + out] = 1.0
        self.spread, self.dense_shape = spread, (5, 5, channels, outputs)
        limits = np.float32([2.4 / (25 * len(C3_TABLE[out])) for _, out in pairs])
        draw = keras.initializers.RandomUniform(-1.0, 1.0)
        self.kernel = self.add_weight(
            shape=(5, 5, len(pairs)),
            initializer=lambda shape, dtype: draw(shape, dtype) * limits,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(outputs,), initializer="zeros", name="bias")

    def call(self, x):
        spread = ops.cast(self.spread, self.compute_dtype)
        dense = ops.reshape(ops.matmul(self.kernel, spread), self.dense_shape)
        return ops.conv(x, dense, padding="valid") + self.bias

    def compute_output_shape(self, input_shape):
        batch, *sides, _ = input_shape
        return (batch, *(side and side - 4 for side in sides), len(C3_TABLE))


@keras.saving.register_keras_serializable("convoy")
class BitmapDistance(keras.layers.Layer):
    """[..., 84] -> [..., num_classes]: minus the squared distance to each digit's bitmap.

    float32; of maps [B, H, W, 84] at each position.
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_classes = num_classes

    def call(self, x):
        centers = ops.convert_to_tensor(bitmaps()[: self.num_classes])
        return -ops.sum(ops.square(x[..., None, :] - centers), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = NUM_CLASSES,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 1], white on black -> logits [B, num_classes]; None: the maps by stride."""
    if variant == "lenet5_1998":
        return _lenet5_1998(preprocess, num_classes)
    return _lenet5(preprocess, num_classes, dropout)


def _lenet5_1998(preprocess: Preprocess, num_classes: int | None) -> keras.Model:
    why = "C5 covers its whole input map of 5x5 (pad a 28 px digit by 2)"
    layers.check_input("lenet5_1998", preprocess.size, exact=32, why=why)
    if num_classes is not None and num_classes > NUM_CLASSES:
        raise ValueError(
            f"lenet5_1998: expected at most {NUM_CLASSES} classes, got {num_classes}: "
            "its output units hold bitmaps of the ten digits"
        )
    image, x = layers.image_input(preprocess)
    x = ScaledTanh(name="c1_tanh")(_conv(x, 6, 25, "c1"))
    x = s2 = ScaledTanh(name="s2_tanh")(Subsample(name="s2")(x))
    x = ScaledTanh(name="c3_tanh")(SparseConv(name="c3")(x))
    x = s4 = ScaledTanh(name="s4_tanh")(Subsample(name="s4")(x))
    if num_classes is None:
        return keras.Model(image, {"s2": s2, "s4": s4}, name="lenet5_1998")
    x = ScaledTanh(name="c5_tanh")(_conv(x, 120, 400, "c5"))
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(84, kernel_initializer=uniform(120), name="f6")(x)
    logits = BitmapDistance(num_classes, name="logits")(ScaledTanh(name="f6_tanh")(x))
    return keras.Model(image, logits, name="lenet5_1998")


def _conv(x, filters: int, fan_in: int, name: str):
    return keras.layers.Conv2D(filters, 5, kernel_initializer=uniform(fan_in), name=name)(x)


def _lenet5(preprocess: Preprocess, num_classes: int | None, dropout: float) -> keras.Model:
    why = "fc1 is made for the 5x5 map that this size leaves"
    layers.check_input("lenet5", preprocess.size, exact=28, why=why)
    image, x = layers.image_input(preprocess)
    x = keras.layers.Conv2D(6, 5, padding="same", activation="tanh", name="conv1")(x)
    x = s2 = keras.layers.AveragePooling2D(2, name="pool1")(x)
    x = keras.layers.Conv2D(16, 5, activation="tanh", name="conv2")(x)
    x = s4 = keras.layers.AveragePooling2D(2, name="pool2")(x)
    if num_classes is None:
        return keras.Model(image, {"s2": s2, "s4": s4}, name="lenet5")
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(120, activation="tanh", name="fc1")(x)
    x = keras.layers.Dense(84, activation="tanh", name="fc2")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name="lenet5")
