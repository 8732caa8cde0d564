"""RetinaNet: one head over the maps of a feature pyramid, a loss that looks away from the easy.

Paper: Lin 2017 https://arxiv.org/abs/1708.02002. A pyramid of 256 channels from stride 8 to 128
(models/fpn.py); nine anchors per cell: three sizes, a third of an octave apart, of heights 1/2, 1
and 2 times the width. All maps share two heads of four 3x3 convolutions and a last one.

retinanet_resnet50_fpn_c5 and `retinanet`, on any backbone with maps of stride 8, 16 and 32, are the
paper's: the map of stride 64 comes of the backbone's last one; smooth L1 with beta 1/9 is
Detectron's, as the paper gives none. retinanet_resnet50_fpn is torchvision's first version, whose
weights it loads: that map comes of the pyramid's last one; anchors of whole pixels, rounded, around
the upper left corner of their cells, whose steps are the input's size over the map's, rounded down;
L1.

Loss, both parts over the number of anchors that learn an object:

    cls  sum over anchors and classes of FL(p) = -a_t (1 - p_t)^2 log p_t, a 0.25 (equation 5); not
         of anchors that overlap an object by 0.4 to 0.5
    box  sum over anchors with an object of the four differences of codes, without variances

An anchor learns the object it overlaps most, from 0.5 on; and whatever the overlap, where no other
overlaps some object more (torchvision's and Detectron2's; the paper does not say).

Differences: BatchNorm learns (Detectron and torchvision keep it as it is: train.mode fine_tune can
freeze stages); pictures are placed in the middle of one input size; decoding takes the 1000 anchors
of each level with the best class, the paper the 1000 best pairs of anchor and class, which are
among them.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import ops

from convoy.models import anchors, layers, losses
from convoy.models import fpn as pyramid
from convoy.models.coding import UNIT
from convoy.models.detection.task import detector
from convoy.models.spec import ModelInfo, Priors, Task

STRIDES = ("s8", "s16", "s32")
CHANNELS = 256
RATIOS = (0.5, 1.0, 2.0)  # height / width
OCTAVES = (0.0, 1 / 3, 2 / 3)
SIZE = 4  # of the smallest anchor's side, in strides
LOW, HIGH = 0.4, 0.5  # overlaps up to which an anchor has no object, and from which on it has one
PRIOR = 0.01  # probability of every class before training (section 4.1)
BETA = 1 / 9  # of smooth L1
CANDIDATES = 1000  # anchors per level that are decoded
MINIMUM = 64


@dataclasses.dataclass(frozen=True)
class Variant:
    from_pyramid: bool = False  # where the map of stride 64 comes from
    whole_pixels: bool = False  # of anchors and their steps, from the cells' corners
    box_loss: str = "smooth_l1"  # | "l1"


TORCHVISION = Variant(from_pyramid=True, whole_pixels=True, box_loss="l1")
VARIANTS = {"retinanet_resnet50_fpn": TORCHVISION}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 80,
    width: float = 1.0,
) -> Task:
    """A detector of `num_classes` on a backbone's maps of stride 8, 16 and 32.

    width: factor of the channels of the pyramid and the heads.
    """
    v, channels = VARIANTS.get(variant, Variant()), int(CHANNELS * width)
    why = "the coarsest map has stride 128"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    bottom = dict(zip(STRIDES, layers.maps_of(variant, backbone, STRIDES), strict=True))
    maps = pyramid.fpn(bottom, channels)
    last = None if v.from_pyramid else bottom["s32"]
    maps = pyramid.convolved(maps, last, channels)
    levels = [level(x, int(key[1:]), info.preprocess.size, v) for key, x in maps.items()]
    bias = keras.initializers.Constant(-math.log((1 - PRIOR) / PRIOR))
    outputs = {
        "cls": _head(list(maps.values()), levels, num_classes, "cls", "logits", bias),
        "box": _head(list(maps.values()), levels, 4, "box", "codes", "zeros"),
    }
    priors = Priors(anchors.priors(levels), HIGH)
    counts = tuple(each.count for each in levels)
    return detector(
        keras.Model(backbone.input, outputs, name=info.name),
        info,
        encode=functools.partial(_encode, priors=priors.boxes, num_classes=num_classes),
        loss=functools.partial(loss, box_loss=v.box_loss),
        decode=functools.partial(
            _decode, priors=priors.boxes, counts=counts, size=info.preprocess.size
        ),
        priors=priors,
    )


def level(x, stride: int, size: tuple[int, int], v: Variant) -> anchors.Level:
    """The anchors of a map [B, H, W, C] of this stride."""
    sides = [SIZE * stride * 2**octave for octave in OCTAVES]
    if not v.whole_pixels:
        shapes = anchors.scaled_shapes(sides, RATIOS)
        return anchors.Level(tuple(x.shape[1:3]), (stride, stride), shapes)
    shapes = np.float32(anchors.scaled_shapes([int(side) for side in sides], RATIOS))
    shapes = tuple(map(tuple, (2 * np.round(shapes / 2)).tolist()))
    grid = tuple(x.shape[1:3])
    step = tuple(n // cells for n, cells in zip(size, grid, strict=True))
    return anchors.Level(grid, step, shapes, offset=0.0)


def _head(maps: list, levels: list, columns: int, name: str, last: str, bias):
    """[B, N, columns] float32 of all maps: four convolutions with ReLUs and one without."""
    for index in range(1, 5):
        conv = keras.layers.Conv2D(
            maps[0].shape[-1], 3, activation="relu", name=f"{name}_conv{index}", **_start()
        )
        maps = [conv(x) for x in maps]
    count = len(levels[0].shapes) * columns
    conv = keras.layers.Conv2D(
        count, 3, bias_initializer=bias, dtype="float32", name=f"{name}_{last}", **_start()
    )
    rows = [
        keras.layers.Reshape((each.count, columns), dtype="float32", name=f"{name}_rows{index}")(
            conv(x)
        )
        for index, (x, each) in enumerate(zip(maps, levels, strict=True), start=1)
    ]
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(rows)


def _start() -> dict:
    return {"padding": "same", "kernel_initializer": layers.gaussian(0.01)}


def loss(targets, outputs, *, box_loss: str = "smooth_l1") -> dict:
    """{"cls", "box"}: (sum over the batch, number of anchors with an object).

    targets: cls [B, N] int: class + 1, 0 = none, -1 = undecided; box [B, N, 4] codes.
    """
    labels = targets["cls"]
    positive = ops.cast(labels > 0, "float32")
    kinds = ops.one_hot(labels - 1, outputs["cls"].shape[-1], dtype="float32")
    cls = ops.sum(losses.focal(kinds, outputs["cls"]), axis=-1)
    apart = losses.smooth_l1 if box_loss == "smooth_l1" else losses.absolute
    options = {"beta": BETA} if box_loss == "smooth_l1" else {}
    box = ops.sum(apart(targets["box"], outputs["box"], **options), axis=-1)
    count = ops.sum(positive)
    cls = ops.sum(ops.where(labels >= 0, cls, 0.0))
    return {"cls": (cls, count), "box": (ops.sum(positive * box), count)}


# What runs in tf.data and in the exported graph is TensorFlow: networks and losses do without it.
def _encode(annotation, *, priors, num_classes: int):
    from convoy.models import assign

    objects = (annotation[name] for name in ("boxes", "classes", "valid"))
    return assign.encode_best(*objects, priors, num_classes, low=LOW, high=HIGH, variances=UNIT)


def _decode(
    outputs,
    score_threshold=0.05,
    iou_threshold=0.5,
    max_detections=300,
    suppression="hard",
    *,
    priors,
    counts,
    size,
):
    from convoy.models import decode

    return decode.decode_sigmoid(
        outputs,
        priors,
        size,
        score_threshold,
        iou_threshold,
        max_detections,
        suppression,
        variances=UNIT,
        counts=counts,
        candidates=CANDIDATES,
    )
