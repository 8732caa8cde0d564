"""CSPDarknet-53, the classification network under YOLOv4.

Papers: Wang 2019 (cross stage partial networks) https://arxiv.org/abs/1911.11929; Bochkovskiy 2020
https://arxiv.org/abs/2004.10934; Misra 2019 (Mish) https://arxiv.org/abs/1908.08681
As in the authors' csdarknet53-omega.cfg: each stage of Darknet-53 splits into two 1x1 convolutions,
one goes through the residual blocks, and a third joins both; Mish everywhere. The first stage
halves its channels inside of the residual block alone, the others in the split alone. BatchNorm and
the other differences are darknet.py's. Kernels start as in the authors' fork of darknet, the last
layer's too: uniform in +-sqrt(2 / fan-in), a third of darknet.py's variance.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification.darknet import DEPTHS_53, MINIMUM, conv, residual
from convoy.models.spec import Preprocess


def uniform():
    """Uniform in +-sqrt(2 / fan-in), whose variance is 2 / 3 over fan-in."""
    return keras.initializers.VarianceScaling(2 / 3, "fan_in", "uniform")


STYLE = {"activation": "mish", "start": uniform}


def stage_of(x, filters: int, depth: int, *, name: str, first: bool):
    """Halves the map: [B, H, W, C] -> [B, H / 2, W / 2, filters]."""
    x = conv(x, filters, 3, 2, name=f"{name}_down", **STYLE)
    split = filters if first else filters // 2
    skip = conv(x, split, 1, name=f"{name}_skip", **STYLE)
    x = conv(x, split, 1, name=f"{name}_split", **STYLE)
    for block in range(1, depth + 1):
        x = residual(x, filters // 2, name=f"{name}_block{block}", **STYLE)
    x = conv(x, split, 1, name=f"{name}_end", **STYLE)
    x = keras.layers.Concatenate(name=f"{name}_concat")([x, skip])
    return conv(x, filters, 1, name=f"{name}_join", **STYLE)


def features(x) -> dict:
    """Normalised pixels -> maps by stride: the end of each stage."""
    x = conv(x, 32, 3, name="stem_conv", **STYLE)
    maps = {}
    for stage, depth in enumerate(DEPTHS_53, start=1):
        x = stage_of(x, 32 * 2**stage, depth, name=f"stage{stage}", first=stage == 1)
        maps[f"s{2**stage}"] = x
    return {key: maps[key] for key in ("s4", "s8", "s16", "s32")}


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
    logits = layers.head(maps["s32"], num_classes, dropout, kernel_initializer=uniform())
    return keras.Model(image, logits, name=variant)
