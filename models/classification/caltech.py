"""The two-stage ConvNet of 2009 for Caltech-101: 9x9 filters, tanh, wide pooling.

Papers: Jarrett 2009, What is the Best Multi-Stage Architecture for Object Recognition?, ICCV;
LeCun 2010, Convolutional Networks and Applications in Vision, ISCAS, which draws this network:
83 px -> 64 maps of 75 -> 14 -> 256 maps of 6 -> 1 -> 101 classes. Each of the 256 maps sees 16 of
the 64, drawn at random: 4,096 filters.

caltech_convnet      tanh, average pooling
caltech_convnet_rn   then rectification |x| and local contrast normalisation before each pooling
                     ("R_abs - N - P_A", the best of Jarrett's table)
caltech_convnet_max  tanh, max pooling

Differences from the papers: no learned gain behind tanh; our own drawing of the connections; gray
levels in [-1, 1] instead of contrast-normalised pictures of 143 px; training is supervised. Neither
says how weights start: with variance 1 / fan-in, as LeCun 1998, Efficient BackProp, section 4.6,
has it for tanh; a connection's fan-in in stage 2 is 16 maps' filters.
Checked against NumPy loops.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from convoy.models import layers
from convoy.models.connections import TableConv, random_table
from convoy.models.normalization import LocalContrastNorm
from convoy.models.pooling import Pool
from convoy.models.spec import Preprocess


@dataclasses.dataclass(frozen=True)
class Variant:
    pool: str = "average"
    rectify: bool = False  # |x|, then local contrast normalisation


VARIANTS = {
    "caltech_convnet": Variant(),
    "caltech_convnet_rn": Variant(rectify=True),
    "caltech_convnet_max": Variant(pool="max"),
}
TABLE = random_table(outputs=256, fan_in=16, channels=64, seed=0)
MINIMUM = 83


@keras.saving.register_keras_serializable("convoy")
class Rectify(keras.layers.Layer):
    """|x|."""

    def call(self, x):
        return ops.abs(x)

    def compute_output_shape(self, input_shape):
        return input_shape


def stage(x, v: Variant, size: int, stride: int, name: str):
    """tanh, rectification and normalisation where wanted, pooling."""
    x = keras.layers.Activation("tanh", name=f"{name}_tanh")(x)
    if v.rectify:
        x = Rectify(name=f"{name}_abs")(x)
        x = LocalContrastNorm(9, name=f"{name}_contrast")(x)
    return Pool(v.pool, size, stride, name=f"{name}_pool")(x)


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride."""
    v = VARIANTS[variant]
    x = keras.layers.Conv2D(64, 9, kernel_initializer=layers.LECUN, name="stage1_conv")(x)
    first = stage(x, v, 10, 5, "stage1")
    x = TableConv(TABLE, 9, kernel_initializer=layers.LECUN, name="stage2_conv")(first)
    return {"s5": first, "s20": stage(x, v, 6, 4, "stage2")}


def build(variant: str, preprocess: Preprocess, *, num_classes: int | None = 101) -> keras.Model:
    """Images [B, H, W, 1] -> logits [B, num_classes]; None: the maps by stride."""
    why = "two valid 9x9 convolutions and poolings of 10 and 6 leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(maps["s20"])
    logits = keras.layers.Dense(
        num_classes, kernel_initializer=layers.LECUN, dtype="float32", name="logits"
    )(x)
    return keras.Model(image, logits, name=variant)
