"""Faster R-CNN: a region proposal network, and a classifier of what it proposes, on one backbone.

Paper: Ren 2015 https://arxiv.org/abs/1506.01497; Huang 2017 https://arxiv.org/abs/1611.10012 (the
meta-architecture on any backbone).

`faster_rcnn` is ours, made to stand on any backbone with a map of stride 16 and to train from
scratch in minutes: its map is reduced to 256 channels with BatchNorm; 12 anchors per cell have
sides of 0.08, 0.16, 0.32 and 0.64 of the input's (sqrt(height * width) where it is not square) and
ratios of 1/2, 1 and 2; 7x7 bins by RoIAlign; two full layers of 1024. Huang runs the backbone's
last stage on each region instead, which costs as much as the backbone for every few regions.
"""

from __future__ import annotations

import math

import keras

from convoy.models import anchors, layers
from convoy.models.classification import mobilenet
from convoy.models.detection import two_stage
from convoy.models.roi import RoIAlign
from convoy.models.spec import ModelInfo, Task

RATIOS = (0.5, 1.0, 2.0)  # height / width
RELATIVE_SIDES = (0.08, 0.16, 0.32, 0.64)
MINIMUM = 64


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
    dropout: float = 0.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's map of stride 16."""
    return on_any(variant, info, backbone, num_classes, width, dropout)


def on_any(variant, info: ModelInfo, backbone, num_classes: int, width: float, dropout) -> Task:
    why = "smaller inputs leave too few cells of 16 px"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    level = relative_level(x, info.preprocess.size)
    x = mobilenet.conv(x, int(256 * width), name="reduce")
    first = two_stage.rpn([x], [level], int(256 * width), paired=False)

    def head(rois):
        scale = tuple(1 / step for step in level.step)
        pooled = RoIAlign(7, (scale,), 2, name="roi_pool")(x, rois)
        widths = (int(1024 * width),) * 2
        start = lambda: layers.HE  # noqa: E731
        return two_stage.dense_head(pooled, widths, num_classes, dropout, start)

    return two_stage.two_stage(backbone.input, first, head, [level], info)


def relative_level(x, size: tuple[int, int]) -> anchors.Level:
    """Twelve anchors per cell of the map x, as large as the input asks for."""
    sides = [relative * math.sqrt(size[0] * size[1]) for relative in RELATIVE_SIDES]
    return anchors.Level(
        grid=tuple(x.shape[1:3]),
        step=(size[0] / x.shape[1], size[1] / x.shape[2]),
        shapes=anchors.scaled_shapes(sides, RATIOS),
    )
