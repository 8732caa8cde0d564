"""MobileNet v2: inverted residuals with linear bottlenecks.

Paper: Sandler 2018 https://arxiv.org/abs/1801.04381
Checked against keras.applications, with which these agree: strided layers pad bottom and right
where the map is even (torchvision and the PyTorch world: one pixel on all sides), BatchNorm epsilon
1e-3 (torchvision 1e-5), channels rounded to multiples of 8, the last 1x1 never narrower than 1280,
first weights as in mobilenet.py. Ours: BatchNorm momentum 0.9 (Keras 0.999, torchvision 0.9),
dropout (paper and Keras none, torchvision 0.2) is the caller's.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Preprocess

NORM = {"epsilon": 1e-3, "momentum": 0.9}
# (expansion, filters, blocks, stride of the first block)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MINIMUM = 32


def divisible(channels: float) -> int:
    """The nearest multiple of 8, at least 8, and not below 0.9 * channels."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv(x, filters: int, kernel=1, stride=1, *, name: str, activation: str | None = "relu6"):
    """Convolution, BatchNorm and, unless None, the activation."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=layers.GLOROT,
        name=name,
    )(x)
    return _finish(x, name, activation)


def depthwise(x, kernel: int = 3, stride: int = 1, *, name: str, activation: str = "relu6"):
    """Depthwise convolution, BatchNorm, activation."""
    x = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=layers.GLOROT,
        name=name,
    )(x)
    return _finish(x, name, activation)


def _finish(x, name: str, activation: str | None):
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    return keras.layers.Activation(activation, name=f"{name}_act")(x) if activation else x


def inverted_residual(x, filters: int, expansion: int, stride: int, *, name: str):
    """1x1 widens by `expansion`, 3x3 depthwise, 1x1 narrows without activation; plus the input."""
    shortcut = x
    if expansion > 1:
        x = conv(x, expansion * x.shape[-1], name=f"{name}_expand")
    x = depthwise(x, 3, stride, name=f"{name}_depthwise")
    x = conv(x, filters, name=f"{name}_project", activation=None)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def features(x, width: float = 1.0) -> dict:
    """Normalised pixels -> maps by stride: the last block of each; s32 after the last 1x1."""
    x = conv(x, divisible(32 * width), 3, 2, name="stem_conv")
    maps, stride, index = {}, 2, 0
    for expansion, filters, blocks, first_stride in STAGES:
        for step in (first_stride, *[1] * (blocks - 1)):
            outputs = divisible(int(filters * width))
            x = inverted_residual(x, outputs, expansion, step, name=f"block{index}")
            index, stride = index + 1, stride * step
            maps[f"s{stride}"] = x
    maps["s32"] = conv(x, max(1280, divisible(1280 * width)), name="head_conv")
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
    maps = features(x, width)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    return keras.Model(image, layers.head(maps["s32"], num_classes, dropout), name=variant)
