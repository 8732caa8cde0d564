"""Darknet-19 and Darknet-53, the classification networks under YOLOv2 and YOLOv3; the small one.

Papers: Redmon 2016 https://arxiv.org/abs/1612.08242; Redmon 2018 https://arxiv.org/abs/1804.02767
The small one, under their tiny versions, is the reference network of Redmon 2013
https://pjreddie.com/darknet/imagenet (darknet.cfg).
As in the authors' darknet19.cfg, darknet53.cfg and darknet.cfg: leaky ReLU of slope 0.1, strided
convolutions pad one pixel on all sides, poolings round odd maps up, Darknet-19 averages a map of
logits. The small one has a seventh stage, of stride 64, between its map of stride 32 and the
average.
Differences: darknet divides by sqrt(variance) + 1e-6 where BatchNorm here divides by
sqrt(variance + 1e-5), timm's; with darknet's variance v, storing (sqrt(v) + 1e-6)^2 - 1e-5 gives
the same network. Darknet's momentum is 0.99, ours 0.9.
Kernels start as in the authors' make_convolutional_layer, the last layer's too: normal, variance
2 / fan-in. Biases are zero.
"""

from __future__ import annotations

import keras

from convoy.models import activations, layers
from convoy.models.spec import Preprocess

NORM = {"epsilon": 1e-5, "momentum": 0.9}
# Darknet-19: filters between the poolings; convolutions are 3x3 and 1x1 by turns.
STAGES_19 = (
    (32,),
    (64,),
    (128, 64, 128),
    (256, 128, 256),
    (512, 256, 512, 256, 512),
    (1024, 512, 1024, 512, 1024),
)
STAGES_REFERENCE = ((16,), (32,), (64,), (128,), (256,), (512,), (1024,))
DEPTHS_53 = (1, 2, 8, 8, 4)  # residual blocks of each stage
MINIMUM = 32


def normal():
    """Normal, variance 2 / fan-in."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def conv(x, filters, kernel, stride=1, *, name: str, activation: str = "leaky", start=normal):
    """Convolution, BatchNorm and "leaky" (slope 0.1), "mish" or "linear".

    start: makes the initialiser of its kernel.
    """
    if stride > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        kernel_initializer=start(),
        name=name,
    )(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    if activation == "leaky":
        return keras.layers.LeakyReLU(0.1, name=f"{name}_act")(x)
    return activations.Mish(name=f"{name}_act")(x) if activation == "mish" else x


def residual(x, filters: int, *, name: str, **style):
    """1x1 to `filters`, 3x3 back to the input's channels, plus the input; no activation after.

    style: `conv`'s activation and start.
    """
    shortcut = x
    x = conv(x, filters, 1, name=f"{name}_conv1", **style)
    x = conv(x, shortcut.shape[-1], 3, name=f"{name}_conv2", **style)
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def features_plain(x, stages=STAGES_19) -> dict:
    """Normalised pixels -> maps by stride: the last convolution before each pooling."""
    maps = {}
    for stage, filters in enumerate(stages, start=1):
        if stage > 1:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool")(x)
        for index, count in enumerate(filters, start=1):
            x = conv(x, count, 3 if index % 2 else 1, name=f"stage{stage}_conv{index}")
        maps[f"s{2 ** (stage - 1)}"] = x
    return maps


def features_53(x) -> dict:
    """Normalised pixels -> maps by stride: the end of each stage."""
    x = conv(x, 32, 3, name="stem_conv")
    maps = {}
    for stage, depth in enumerate(DEPTHS_53, start=1):
        filters = 32 * 2**stage
        x = conv(x, filters, 3, 2, name=f"stage{stage}_down")
        for block in range(1, depth + 1):
            x = residual(x, filters // 2, name=f"stage{stage}_block{block}")
        maps[f"s{2**stage}"] = x
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
    if variant == "darknet53":
        maps = features_53(x)
    else:
        stages = STAGES_19 if variant == "darknet19" else STAGES_REFERENCE
        maps = features_plain(x, stages)
    if num_classes is None:
        maps = {key: maps[key] for key in ("s4", "s8", "s16", "s32")}
        return keras.Model(image, maps, name=variant)
    x = maps.get("s64", maps["s32"])
    if variant != "darknet19":
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    if variant != "darknet19":
        logits = keras.layers.Dense(
            num_classes, kernel_initializer=normal(), dtype="float32", name="logits"
        )(x)
    else:
        x = keras.layers.Conv2D(
            num_classes, 1, kernel_initializer=normal(), dtype="float32", name="logits"
        )(x)
        logits = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x)
    return keras.Model(image, logits, name=variant)
