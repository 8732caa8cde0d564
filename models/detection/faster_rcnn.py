"""Faster R-CNN: a region proposal network, and a classifier of what it proposes, on one backbone.

Papers: Ren 2015 https://arxiv.org/abs/1506.01497 (faster_rcnn_vgg16, faster_rcnn_zf), Lin 2017
https://arxiv.org/abs/1612.03144 (faster_rcnn_resnet50_fpn), Huang 2017
https://arxiv.org/abs/1611.10012 (the meta-architecture on any backbone: faster_rcnn).

faster_rcnn_vgg16 and faster_rcnn_zf are py-faster-rcnn's: nine anchors of whole pixels per cell,
two logits per anchor, RoI max pooling, fc6 and fc7, boxes of each class. Differences: its tables of
anchors are 1-based or end on their last pixel, ours begin at 0 and end beyond it; its decoded boxes
come out a pixel larger than what was encoded, ours do not; dropout of fc6 and fc7 (there 0.5) is
the caller's.

faster_rcnn_resnet50_fpn is torchvision's: three anchors per cell of five levels, one logit,
RoIAlign from the level that fits a region, frozen BatchNorm.

`faster_rcnn` is ours, made to stand on any backbone with a map of stride 16 and to train from
scratch in minutes: its map is reduced to 256 channels with BatchNorm; 12 anchors per cell have
sides of 0.08, 0.16, 0.32 and 0.64 of the input's (sqrt(height * width) where it is not square) and
ratios of 1/2, 1 and 2; 7x7 bins by RoIAlign; two full layers of 1024; 64 anchors and 64 regions of
a picture learn. Huang runs the backbone's
last stage on each region instead, which costs as much as the backbone for every few regions.
"""

from __future__ import annotations

import math

import keras

from convoy.models import anchors, fpn, layers
from convoy.models.classification import mobilenet
from convoy.models.detection import rpn, two_stage
from convoy.models.roi import RoIAlign, RoIPool
from convoy.models.spec import ModelInfo, Task

RATIOS = (0.5, 1.0, 2.0)  # height / width
RELATIVE_SIDES = (0.08, 0.16, 0.32, 0.64)
# (height, width) of py-faster-rcnn's anchors, each around the middle of a cell of 16x16 pixels: of
# ratio 1/2 scales 8, 16, 32; of 1; of 2.
CAFFE_SHAPES = (
    *((96, 184), (192, 368), (384, 736)),
    *((128, 128), (256, 256), (512, 512)),
    *((176, 88), (352, 176), (704, 352)),
)
PYRAMID_SIDES = {"s4": 32, "s8": 64, "s16": 128, "s32": 256, "s64": 512}
MINIMUM = 64
# Of a small input's hundreds of anchors few are positive: among fewer samples they count for more.
FEW = two_stage.Plan(rpn_samples=64, roi_samples=64)
PYRAMID_PLAN = two_stage.Plan(roi_samples=512, roi_beta=1 / 9)
PYRAMID_PROPOSALS = {"train": (2000, 2000), "test": (1000, 1000), "min_side": 1e-3}
CAFFE_PROPOSALS = {"train": (12_000, 2_000), "test": (6_000, 300), "min_side": 16}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
    dropout: float = 0.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's maps by stride."""
    why = "smaller inputs leave too few cells of 16 px"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    if variant == "faster_rcnn_resnet50_fpn":
        return on_pyramid(variant, info, backbone, num_classes)
    if variant == "faster_rcnn":
        return on_any(variant, info, backbone, num_classes, width, dropout)
    return caffe(variant, info, backbone, num_classes, dropout)


def caffe(variant: str, info: ModelInfo, backbone, num_classes: int, dropout: float) -> Task:
    """py-faster-rcnn's layout."""
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    level = caffe_level(x)
    vgg = variant == "faster_rcnn_vgg16"
    first = rpn.rpn([x], [level], 512 if vgg else 256, paired=True)

    def start(_, fan_in):
        return {"kernel_initializer": layers.GLOROT if vgg else layers.gaussian(0.01)}

    def head(rois):
        pooled = RoIPool(7 if vgg else 6, 1 / 16, name="roi_pool")(x, rois)
        return two_stage.dense_head(pooled, (4096, 4096), num_classes, dropout, start)

    plan = two_stage.Plan(whole_anchors=True)
    return two_stage.two_stage(backbone.input, first, head, [level], info, plan, **CAFFE_PROPOSALS)


def caffe_level(x) -> anchors.Level:
    """py-faster-rcnn's anchors on a map of stride 16."""
    return anchors.Level(grid=tuple(x.shape[1:3]), step=(16, 16), shapes=CAFFE_SHAPES)


def on_pyramid(variant: str, info: ModelInfo, backbone, num_classes: int) -> Task:
    """torchvision's fasterrcnn_resnet50_fpn."""
    first, head, levels, _ = pyramid_parts(variant, info, backbone, num_classes)
    plan = PYRAMID_PLAN
    return two_stage.two_stage(backbone.input, first, head, levels, info, plan, **PYRAMID_PROPOSALS)


def pyramid_parts(variant: str, info: ModelInfo, backbone, num_classes: int) -> tuple:
    """(first, head, levels) of `two_stage.two_stage`, and [maps], their scales, of the regions."""
    two_stage.freeze_norms(backbone)
    strides = ("s4", "s8", "s16", "s32")
    maps = dict(zip(strides, layers.maps_of(variant, backbone, strides), strict=True))
    maps = fpn.pooled(fpn.fpn(maps))
    levels = [pyramid_level(x, PYRAMID_SIDES[s], info.preprocess.size) for s, x in maps.items()]
    first = rpn.rpn(list(maps.values()), levels, 256, paired=False)

    def start(_, fan_in):
        return layers.torch_start(fan_in)

    read, scales = [maps[s] for s in strides], (1 / 4, 1 / 8, 1 / 16, 1 / 32)

    def head(rois):
        pooled = RoIAlign(7, scales, 2, name="roi_pool")(read, rois)
        return two_stage.dense_head(pooled, (1024, 1024), num_classes, 0.0, start, start)

    return first, head, levels, (read, scales)


def pyramid_level(x, side: int, size: tuple[int, int]) -> anchors.Level:
    """torchvision's anchors: corners are whole pixels around each cell's own corner."""
    shapes = anchors.scaled_shapes([side], RATIOS)
    return anchors.Level(
        grid=tuple(x.shape[1:3]),
        step=(size[0] // x.shape[1], size[1] // x.shape[2]),
        shapes=tuple((2 * round(height / 2), 2 * round(width / 2)) for height, width in shapes),
        offset=0.0,
    )


def on_any(variant, info: ModelInfo, backbone, num_classes: int, width: float, dropout) -> Task:
    """Our own."""
    first, head, levels, _ = own_parts(variant, info, backbone, num_classes, width, dropout)
    return two_stage.two_stage(backbone.input, first, head, levels, info, FEW)


def own_parts(variant, info: ModelInfo, backbone, num_classes: int, width: float, dropout) -> tuple:
    """As `pyramid_parts`, of one map of stride 16."""
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    level = relative_level(x, info.preprocess.size)
    x = mobilenet.conv(x, int(256 * width), name="reduce")
    first = rpn.rpn([x], [level], int(256 * width), paired=False)

    def start(_, fan_in):
        return {"kernel_initializer": layers.HE}

    def head(rois):
        pooled = RoIAlign(7, (scale_of(level),), 2, name="roi_pool")(x, rois)
        widths = (int(1024 * width),) * 2
        return two_stage.dense_head(pooled, widths, num_classes, dropout, start)

    return first, head, [level], ([x], (scale_of(level),))


def relative_level(x, size: tuple[int, int]) -> anchors.Level:
    """Twelve anchors per cell of the map x, as large as the input asks for."""
    sides = [relative * math.sqrt(size[0] * size[1]) for relative in RELATIVE_SIDES]
    return anchors.Level(
        grid=tuple(x.shape[1:3]),
        step=(size[0] / x.shape[1], size[1] / x.shape[2]),
        shapes=anchors.scaled_shapes(sides, RATIOS),
    )


def scale_of(level: anchors.Level) -> tuple[float, float]:
    """Cells per pixel in y and x: unpadded backbones have fewer cells than the size over 16."""
    return 1 / level.step[0], 1 / level.step[1]
