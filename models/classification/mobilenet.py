"""MobileNet v1: depthwise separable convolutions.

Paper: Howard 2017 https://arxiv.org/abs/1704.04861
Differences from the paper, all as in keras.applications unless said: ReLU6 instead of ReLU; strided
depthwise layers pad bottom and right by one; dropout (paper 1e-3) is the caller's. Kernels start as
Glorot's in Keras, which takes a depthwise kernel's fan-in for 9 C where it is 9: they start with
sqrt(2 / (9 C + 9)), 0.08 for 32 maps, as small as the authors' truncated N(0, 0.09), and not with
the 0.47 of He's rule for 9, with which the network learnt worse (docs/initialization.md). Ours:
BatchNorm momentum 0.9 (PyTorch's; Keras 0.99). With a slower momentum the running statistics of
thirty layers lag behind a short training: after 100 steps on eight pictures ssd_mobilenet_v1 finds
every object with 0.9 and none with 0.97.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Preprocess

NORM = {"epsilon": 1e-3, "momentum": 0.9}
# (filters, stride) of the 13 separable blocks.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
MINIMUM = 32


def depthwise(x, stride: int = 1, *, name: str):
    """3x3 depthwise convolution, BatchNorm, ReLU6; stride 2 pads bottom and right."""
    if stride > 1:
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        depthwise_initializer=layers.GLOROT,
        name=name,
    )(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    return keras.layers.Activation("relu6", name=f"{name}_relu")(x)


def conv(x, filters: int, kernel: int = 1, stride: int = 1, *, name: str):
    """Convolution ("same"), BatchNorm, ReLU6."""
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=layers.GLOROT,
        name=name,
    )(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    return keras.layers.Activation("relu6", name=f"{name}_relu")(x)


def features(x, width: float = 1.0) -> dict:
    """Normalised pixels -> maps by stride; channels 128, 256, 512, 1024 times `width`."""
    x = conv(x, int(32 * width), 3, 2, name="stem_conv")
    maps, stride = {}, 2
    for index, (filters, step) in enumerate(BLOCKS, start=1):
        x = depthwise(x, step, name=f"block{index}_depthwise")
        x = conv(x, int(filters * width), name=f"block{index}_pointwise")
        stride *= step
        maps[f"s{stride}"] = x
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
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(maps["s32"])
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(
        num_classes, 1, kernel_initializer=layers.GLOROT, dtype="float32", name="logits"
    )(x)
    return keras.Model(image, keras.layers.Flatten(dtype="float32", name="flat")(x), name=variant)
