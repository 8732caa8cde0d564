"""Inception-ResNet v2: Inception modules as residuals, scaled down before they are added.

Paper: Szegedy 2016 https://arxiv.org/abs/1602.07261
The network is Keras' and the authors' released one, whose stem is Inception v3's and whose blocks
number 10, 20 and 10; the paper's own figures have the stem of Inception v4 and 5, 10 and 5 blocks.
A block adds scale * (1x1 of the branches, with a bias, without BatchNorm or ReLU) to its input:
scales 0.17, 0.1 and 0.2, the last block 1 and no ReLU behind it. BatchNorm has no gamma.
Kernels start as Glorot's, as in Keras and in the authors' tf_slim, whose scope names no other.
Ours: BatchNorm momentum 0.9 (Keras 0.99); dropout before the logits (paper 0.2) is the caller's.
Convolutions of stride 2 are not padded, so the maps are a little smaller than the input over their
stride: 71, 35, 17 and 8 of 299.
Checked against keras.applications.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import inception, inception_v3
from convoy.models.spec import Preprocess

STYLE = inception.Style()
# Stage: (blocks, scale, branches of a block).
STAGES = {
    35: (10, 0.17, ([(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)])),
    17: (20, 0.1, ([(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))])),
    8: (10, 0.2, ([(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))])),
}
FIRST = ([(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [("average", 1), (64, 1)])
REDUCTIONS = {
    17: ([(384, 3, 2)], [(256, 1), (256, 3), (384, 3, 2)], [("max", 2)]),
    8: (
        [(256, 1), (384, 3, 2)],
        [(256, 1), (288, 3, 2)],
        [(256, 1), (288, 3), (320, 3, 2)],
        [("max", 2)],
    ),
}
MINIMUM = 75


def residual(x, branches, scale: float, *, relu: bool, name: str):
    """x + scale * 1x1(branches side by side), then ReLU unless told otherwise."""
    change = inception.mixed(x, *branches, style=STYLE, name=f"{name}_mixed")
    change = keras.layers.Conv2D(x.shape[-1], 1, name=f"{name}_up")(change)
    change = keras.layers.Rescaling(scale, name=f"{name}_scale")(change)
    x = keras.layers.Add(name=f"{name}_add")([x, change])
    return keras.layers.Activation("relu", name=f"{name}_relu")(x) if relu else x


def stage(x, side: int):
    """The blocks on maps of `side` x `side` (of a 299 px input)."""
    blocks, scale, branches = STAGES[side]
    for block in range(1, blocks + 1):
        last = side == 8 and block == blocks
        name = f"stage{side}_block{block}"
        x = residual(x, branches, 1.0 if last else scale, relu=not last, name=name)
    return x


def features(x) -> dict:
    """Normalised pixels -> maps by stride, each the last before the next reduction."""
    x, s4 = inception_v3.stem(x, style=STYLE)
    x = inception.mixed(x, *FIRST, style=STYLE, name="mixed5b")
    s8 = x = stage(x, 35)
    x = inception.mixed(x, *REDUCTIONS[17], style=STYLE, name="mixed6a")
    s16 = x = stage(x, 17)
    x = inception.mixed(x, *REDUCTIONS[8], style=STYLE, name="mixed7a")
    x = inception.conv(stage(x, 8), 1536, 1, style=STYLE, name="last")
    return {"s4": s4, "s8": s8, "s16": s16, "s32": x}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "unpadded layers leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    logits = layers.head(maps["s32"], num_classes, dropout)
    return keras.Model(image, logits, name=variant)
