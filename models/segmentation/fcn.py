"""FCN on any backbone: class scores of maps of stride 32, 16 and 8, enlarged and added.

Paper: Long 2014 https://arxiv.org/abs/1411.4038, whose skips these are; its own networks, with
their borders and fixed deconvolutions, are models/segmentation/fcn_paper.py.

    s32 -> 1x1 -> x2 -> + (s16 -> 1x1) -> x2 -> + (s8 -> 1x1) -> x8

"x2" is bilinear to exactly the size of the finer map, so that any size of picture fits. The
convolutions start at zero, as the paper's do; nothing else has weights beyond the backbone.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import ModelInfo
from convoy.models.upsampling import Resize

STRIDES = ("s32", "s16", "s8")


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 21,
    width: float = 1.0,
) -> keras.Model:
    """Images [B, H, W, C] -> logits [B, H, W, num_classes]; width is the backbone's."""
    x = None
    for stride, taken in zip(STRIDES, layers.maps_of(variant, backbone, STRIDES), strict=True):
        score = scores(taken, num_classes, name=f"{stride}_logits")
        if x is None:
            x = score
        else:
            x = Resize(score.shape[1:3], dtype="float32", name=f"{stride}_resize")(x)
            x = keras.layers.Add(dtype="float32", name=f"{stride}_add")([x, score])
    x = Resize(info.preprocess.size, dtype="float32", name="resize")(x)
    return keras.Model(backbone.input, x, name=variant)


def scores(x, num_classes: int, *, name: str):
    """Class scores of each position, in float32; all zero at first."""
    return keras.layers.Conv2D(
        num_classes, 1, kernel_initializer="zeros", dtype="float32", name=name
    )(x)
