"""ResNet v2: normalisation and ReLU before each convolution, nothing after the sums.

Paper: He 2016, Identity Mappings in Deep Residual Networks, https://arxiv.org/abs/1603.05027
resnet18_v2 ... resnet200_v2 are timm's layout: the first block of a stage has the stride, on its
3x3 convolution, and projects the normalised input. The paper has 110 to 200 layers; 18 and 34 are
its idea in the blocks of ResNet v1. Difference from the paper: each block normalises its own input,
also the first, while the paper normalises conv1's output before the pooling. With bottlenecks that
is the same function as long as the scale of that norm is positive; in 18 and 34 the paper's first
shortcut would also carry the normalised map.
resnet50_v2_keras ... resnet152_v2_keras are keras.applications' layout, so that its weights fit:
the last block of the first three stages has the stride, with a subsampled shortcut; conv1, the
projections and the last convolution of a block have biases; the stem's pooling pads with zeros.
BatchNorm epsilon 1e-5, momentum 0.9 (Keras: 1.001e-5, 0.99).
Weights start with variance 2 / fan-out, as in the authors' code and timm, the last layer's as
timm's N(0, 0.01). The "_keras" networks start as Keras', with Glorot's kernels.
"""

from __future__ import annotations

import math

import keras
from keras import ops

from convoy.models import layers
from convoy.models.spec import Preprocess

NORM = {"epsilon": 1e-5, "momentum": 0.9}
# variant: (blocks per stage, bottleneck, Keras' layout)
VARIANTS = {
    "resnet18_v2": ((2, 2, 2, 2), False, False),
    "resnet34_v2": ((3, 4, 6, 3), False, False),
    "resnet50_v2": ((3, 4, 6, 3), True, False),
    "resnet101_v2": ((3, 4, 23, 3), True, False),
    "resnet152_v2": ((3, 8, 36, 3), True, False),
    "resnet200_v2": ((3, 24, 36, 3), True, False),
    "resnet50_v2_keras": ((3, 4, 6, 3), True, True),
    "resnet101_v2_keras": ((3, 4, 23, 3), True, True),
    "resnet152_v2_keras": ((3, 8, 36, 3), True, True),
}
MINIMUM = 32


@keras.saving.register_keras_serializable("convoy")
class StemPool(keras.layers.Layer):
    """Maximum of 3x3 at stride 2, one pixel of padding on all sides that is never the maximum.

    Zeros would be one: the map was not through a ReLU yet.
    """

    def call(self, x):
        border = ((0, 0), (1, 1), (1, 1), (0, 0))
        return ops.max_pool(ops.pad(x, border, constant_values=-math.inf), 3, 2)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        half = [side if side is None else (side + 1) // 2 for side in (height, width)]
        return (batch, *half, channels)


def activate(x, *, name: str, index=""):
    """BatchNorm, ReLU: layers NAME_norm{index}, NAME_relu{index}."""
    x = layers.BatchNorm(**NORM, name=f"{name}_norm{index}")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu{index}")(x)


def conv(x, filters, kernel, stride=1, *, name: str, index="", bias=False, like_keras=False):
    """Convolution NAME_conv{index}, padded alike on all sides; like_keras: Glorot's kernel."""
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad{index}")(x)
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=bias,
        kernel_initializer=layers.GLOROT if like_keras else layers.he_fan_out(),
        name=f"{name}_conv{index}",
    )(x)


def basic(active, filters: int, stride: int, *, name: str):
    """A block's branch after its first norm and ReLU: two 3x3 convolutions."""
    x = conv(active, filters, 3, stride, name=name, index=1)
    return conv(activate(x, name=name, index=2), filters, 3, name=name, index=2)


def bottleneck(active, filters: int, stride: int, *, name: str, like_keras: bool = False):
    """A block's branch after its first norm and ReLU: 1x1, 3x3, 1x1 to 4 * filters."""
    kind = {"name": name, "like_keras": like_keras}
    x = conv(active, filters, 1, index=1, **kind)
    x = conv(activate(x, name=name, index=2), filters, 3, stride, index=2, **kind)
    x = activate(x, name=name, index=3)
    return conv(x, 4 * filters, 1, index=3, bias=like_keras, **kind)


def block(x, filters: int, stride: int, *, name: str, deep: bool, like_keras: bool):
    """Branch plus shortcut; a 1x1 projects the shortcut where the channels change."""
    outputs = 4 * filters if deep else filters
    active, shortcut = activate(x, name=name, index=1), x
    if x.shape[-1] != outputs:
        kind = {"bias": like_keras, "like_keras": like_keras}
        shortcut = conv(active, outputs, 1, stride, name=f"{name}_shortcut", **kind)
    elif stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, stride, name=f"{name}_shortcut_pool")(x)
    if deep:
        x = bottleneck(active, filters, stride, name=name, like_keras=like_keras)
    else:
        x = basic(active, filters, stride, name=name)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride: sums of blocks, the last one through norm and ReLU."""
    depths, deep, like_keras = VARIANTS[variant]
    x = conv(x, 64, 7, 2, name="stem", bias=like_keras, like_keras=like_keras)
    if like_keras:
        x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    else:
        x = StemPool(name="stem_pool")(x)
    maps, stride = {}, 4
    for stage, depth in enumerate(depths, start=1):
        for index in range(1, depth + 1):
            halves = stage < 4 and index == depth if like_keras else stage > 1 and index == 1
            name = f"stage{stage}_block{index}"
            kind = {"deep": deep, "like_keras": like_keras}
            x = block(x, 32 * 2**stage, 1 + halves, name=name, **kind)
            stride *= 1 + halves
            maps[f"s{stride}"] = x
    maps["s32"] = activate(x, name="head")
    return maps


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 32"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    start = layers.GLOROT if VARIANTS[variant][2] else layers.gaussian(0.01)
    logits = layers.head(maps["s32"], num_classes, dropout, kernel_initializer=start)
    return keras.Model(image, logits, name=variant)
