"""MobileNet v3: v2's blocks with squeeze-and-excitation and the hard swish, found by search.

Paper: Howard 2019 https://arxiv.org/abs/1905.02244 (tables 1 and 2)
Checked against keras.applications, with which these agree: strided layers pad bottom and right
where the map is even (torchvision: alike on all sides), the squeeze has a quarter of the expanded
channels, rounded to multiples of 8, and a hard sigmoid; pixels in [-1, 1] (torchvision: ImageNet's
mean and deviation), first weights as in mobilenet.py. BatchNorm epsilon 1e-3 as in both. Ours:
BatchNorm momentum 0.9 (Keras 0.999, torchvision 0.99); dropout (paper 0.2) is the caller's. As in
Keras, no width changes the stem, and only widths above 1 the last layer.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification.mobilenet_v2 import MINIMUM, conv, depthwise, divisible
from convoy.models.spec import Preprocess

RELU, SWISH = "relu", "hard_swish"
# (kernel, expanded channels over input's, filters, squeeze-and-excitation, activation, stride)
LARGE = (
    (3, 1, 16, False, RELU, 1),
    (3, 4, 24, False, RELU, 2),
    (3, 3, 24, False, RELU, 1),
    (5, 3, 40, True, RELU, 2),
    (5, 3, 40, True, RELU, 1),
    (5, 3, 40, True, RELU, 1),
    (3, 6, 80, False, SWISH, 2),
    (3, 2.5, 80, False, SWISH, 1),
    (3, 2.3, 80, False, SWISH, 1),
    (3, 2.3, 80, False, SWISH, 1),
    (3, 6, 112, True, SWISH, 1),
    (3, 6, 112, True, SWISH, 1),
    (5, 6, 160, True, SWISH, 2),
    (5, 6, 160, True, SWISH, 1),
    (5, 6, 160, True, SWISH, 1),
)
SMALL = (
    (3, 1, 16, True, RELU, 2),
    (3, 72 / 16, 24, False, RELU, 2),
    (3, 88 / 24, 24, False, RELU, 1),
    (5, 4, 40, True, SWISH, 2),
    (5, 6, 40, True, SWISH, 1),
    (5, 6, 40, True, SWISH, 1),
    (5, 3, 48, True, SWISH, 1),
    (5, 3, 48, True, SWISH, 1),
    (5, 6, 96, True, SWISH, 2),
    (5, 6, 96, True, SWISH, 1),
    (5, 6, 96, True, SWISH, 1),
)
# variant: (blocks, channels of the layer between pooling and logits)
VARIANTS = {"mobilenet_v3_large": (LARGE, 1280), "mobilenet_v3_small": (SMALL, 1024)}


def squeeze_excite(x, *, name: str):
    """Each channel times a number in [0, 1] that two layers compute from all channels' means."""
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    for index, (filters, activation) in enumerate(
        ((divisible(x.shape[-1] / 4), "relu"), (x.shape[-1], "hard_sigmoid")), start=1
    ):
        weights = keras.layers.Conv2D(
            filters,
            1,
            activation=activation,
            kernel_initializer=layers.GLOROT,
            name=f"{name}_conv{index}",
        )(weights)
    return keras.layers.Multiply(name=f"{name}_scale")([x, weights])


def block(x, filters, *, kernel, expansion, squeeze, activation, stride, name: str):
    """1x1 widens, depthwise, squeeze-and-excitation, 1x1 narrows without activation; plus input."""
    shortcut = x
    if expansion > 1:
        expanded = divisible(expansion * x.shape[-1])
        x = conv(x, expanded, name=f"{name}_expand", activation=activation)
    x = depthwise(x, kernel, stride, name=f"{name}_depthwise", activation=activation)
    if squeeze:
        x = squeeze_excite(x, name=f"{name}_squeeze")
    x = conv(x, filters, name=f"{name}_project", activation=None)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def features(x, variant: str, width: float = 1.0) -> dict:
    """Normalised pixels -> maps by stride: the last block of each; s32 after the last 1x1."""
    x = conv(x, 16, 3, 2, name="stem_conv", activation=SWISH)
    maps, total = {}, 2
    for index, row in enumerate(VARIANTS[variant][0]):
        kernel, expansion, filters, squeeze, activation, stride = row
        x = block(
            x,
            divisible(filters * width),
            kernel=kernel,
            expansion=expansion,
            squeeze=squeeze,
            activation=activation,
            stride=stride,
            name=f"block{index}",
        )
        total *= stride
        maps[f"s{total}"] = x
    maps["s32"] = conv(x, divisible(6 * x.shape[-1]), name="head_conv", activation=SWISH)
    return {key: maps[key] for key in ("s4", "s8", "s16", "s32")}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    width: float = 1.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 32"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant, width)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    units = VARIANTS[variant][1]
    x = keras.layers.GlobalAveragePooling2D(name="pool")(maps["s32"])
    x = keras.layers.Dense(
        divisible(units * max(width, 1.0)),
        activation=SWISH,
        kernel_initializer=layers.GLOROT,
        name="fc",
    )(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=variant)
