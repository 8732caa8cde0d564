"""Inception v2 (BN-Inception): GoogLeNet with BatchNorm and two 3x3 in place of the 5x5.

Paper: Ioffe 2015 https://arxiv.org/abs/1502.03167, appendix
The network is tf_slim's, the one detectors of Huang 2017 https://arxiv.org/abs/1611.10012 build on.
Its differences from the paper: the first convolution is separable (7x7 depthwise with multiplier
8, then 1x1 to 64) and has a bias instead of BatchNorm; BatchNorm has no gamma. Padding is
TensorFlow's "same", which pads even maps at the bottom and right alone under stride 2.
Kernels start as tf_slim's: variance 2 / fan-in, but truncated N(0, 1) in the separable convolution,
N(0, 0.1) in the stem's 1x1 and behind poolings, N(0, 0.09) in the 1x1 that a branch begins with.
Ours: BatchNorm momentum 0.9 (tf_slim 0.9997), a global average before the logits whatever the
input; dropout there (tf_slim 0.2) is the caller's. The reference has 1,001 classes, the first for
background: 11,179,361 parameters, 1,025 fewer for 1,000.
Checked against tf_slim.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import inception
from convoy.models.spec import Preprocess


def slim_kernel(role: str):
    """tf_slim's kernels by a convolution's role."""
    deviations = {"reduce": 0.09, "pooled": 0.1}
    return layers.truncated(deviations[role]) if role in deviations else layers.HE


STYLE = inception.Style(strided="same", start=slim_kernel)
# 1x1; 3x3 after its reduction; two 3x3 after their reduction; pooling and 1x1.
MODULES = {
    "3b": (64, (64, 64), (64, 96), ("average", 32)),
    "3c": (64, (64, 96), (64, 96), ("average", 64)),
    "4b": (224, (64, 96), (96, 128), ("average", 128)),
    "4c": (192, (96, 128), (96, 128), ("average", 128)),
    "4d": (160, (128, 160), (128, 160), ("average", 96)),
    "4e": (96, (128, 192), (160, 192), ("average", 96)),
    "5b": (352, (192, 320), (160, 224), ("average", 128)),
    "5c": (352, (192, 320), (192, 224), ("max", 128)),
}
# 3x3 of stride 2 after its reduction; two 3x3, the last of stride 2, after theirs; max pooling.
REDUCTIONS = {"4a": ((128, 160), (64, 96)), "5a": ((128, 192), (192, 256))}
MINIMUM = 32


def module(x, part: str):
    """Four branches side by side, same size."""
    ones, threes, double, (kind, pooled) = MODULES[part]
    return inception.mixed(
        x,
        [(ones, 1)],
        [(threes[0], 1), (threes[1], 3)],
        [(double[0], 1), (double[1], 3), (double[1], 3)],
        [(kind, 1), (pooled, 1)],
        style=STYLE,
        name=f"mixed{part}",
    )


def reduction(x, part: str):
    """Three branches side by side, half the size."""
    threes, double = REDUCTIONS[part]
    return inception.mixed(
        x,
        [(threes[0], 1), (threes[1], 3, 2)],
        [(double[0], 1), (double[1], 3), (double[1], 3, 2)],
        [("max", 2)],
        style=STYLE,
        name=f"mixed{part}",
    )


def stem(x):
    """Normalised pixels -> 192 maps of stride 4."""
    x = keras.layers.DepthwiseConv2D(
        7,
        2,
        padding="same",
        depth_multiplier=8,
        use_bias=False,
        depthwise_initializer=layers.truncated(1.0),
        name="stem_depthwise",
    )(x)
    x = keras.layers.Conv2D(
        64, 1, activation="relu", kernel_initializer=layers.truncated(1.0), name="stem_pointwise"
    )(x)
    x = inception.pool(x, "max", 2, style=STYLE, name="stem_pool")
    x = inception.conv(x, 64, 1, style=STYLE, name="stem", index=1, role="pooled")
    return inception.conv(x, 192, 3, style=STYLE, name="stem", index=2)


def features(x) -> dict:
    """Normalised pixels -> maps by stride, each the last before the next reduction."""
    maps = {"s4": stem(x)}
    x = inception.pool(maps["s4"], "max", 2, style=STYLE, name="pool3")
    for part in ("3b", "3c"):
        x = module(x, part)
    maps["s8"], x = x, reduction(x, "4a")
    for part in ("4b", "4c", "4d", "4e"):
        x = module(x, part)
    maps["s16"], x = x, reduction(x, "5a")
    for part in ("5b", "5c"):
        x = module(x, part)
    return {**maps, "s32": x}


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
    maps = features(x)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    logits = layers.head(maps["s32"], num_classes, dropout, kernel_initializer=layers.HE)
    return keras.Model(image, logits, name=variant)
