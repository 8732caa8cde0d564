"""SPP-net: pyramid pooling gives the full layers one length whatever the picture's size.

Paper: He 2014, Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition,
https://arxiv.org/abs/1406.4729 (ZF-5 with levels 6, 3, 2, 1: 50 bins)
The weights fit every input size, so that one network trains at 224 and 180 px in turn: build it at
each size and set_weights. The bins are models/pooling.py's.
Differences from the paper: those of zfnet.py, whose convolutions these are, its limit on the size
of filters included; dropout (paper 0.5) after fc6 and fc7 is the caller's.
Checked against PyTorch's functions.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import alexnet, zfnet
from convoy.models.pooling import SpatialPyramid
from convoy.models.spec import Preprocess

LEVELS = {"spp_net_zf5": (6, 3, 2, 1)}
MINIMUM = 31


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "convolutions of stride 2 and two poolings leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = zfnet.features(x, zfnet.FILTERS["zfnet"])
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = SpatialPyramid(LEVELS[variant], name="pyramid")(maps["s16"])
    return keras.Model(image, alexnet.head(x, num_classes, dropout=dropout), name=variant)
