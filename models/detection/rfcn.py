"""R-FCN: regions read their classes off maps that know where in an object they are.

Paper: Dai 2016 https://arxiv.org/abs/1605.06409; Huang 2017 https://arxiv.org/abs/1611.10012 (the
meta-architecture on any backbone).

rfcn_resnet50 and rfcn_resnet101 are the authors' Caffe: the last stage keeps stride 16 with dilated
convolutions, a 1x1 convolution to 1024 channels, 7x7 maps for each class and for each of eight box
numbers (of background and object, whatever its class), averaged over the bins of a region;
proposals from the stage before; the 128 regions with the largest loss learn; frozen BatchNorm.
Differences: the first convolution of ResNet-50 has a bias in Caffe and none here; Caffe trains the
two stages in turn or at once, here at once.

`rfcn` is ours, on any backbone with a map of stride 16, which both stages read: anchors are those
of `faster_rcnn`, the 1x1 convolution has BatchNorm. Nothing but poolings is computed per region.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import mobilenet, resnet
from convoy.models.detection import faster_rcnn, rpn, two_stage
from convoy.models.roi import PSRoIPool
from convoy.models.spec import ModelInfo, Task

BINS = 7
BOXES = 8  # 4 numbers of background and of object


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's map of stride 16."""
    why = "smaller inputs leave too few cells of 16 px"
    size = info.preprocess.size
    layers.check_input(variant, size, minimum=faster_rcnn.MINIMUM, why=why)
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    if variant == "rfcn":
        level, proposals = faster_rcnn.relative_level(x, size), {}
        scale = faster_rcnn.scale_of(level)
        first = rpn.rpn([x], [level], int(256 * width), paired=False)
        x = mobilenet.conv(x, int(1024 * width), name="reduce")
    else:
        two_stage.freeze_norms(backbone)
        level, proposals = faster_rcnn.caffe_level(x), {"train": (6_000, 300), "min_side": 16}
        proposals["test"], scale = (6_000, 300), 1 / 16
        first = rpn.rpn([x], [level], 512, paired=True)
        x = resnet.dilated(x, backbone.name)
        x = _conv(x, 1024, "reduce", activation="relu")
    whole = variant != "rfcn"

    def head(rois):
        return {
            "cls": _voted(x, rois, num_classes + 1, scale, "cls"),
            "box": _voted(x, rois, BOXES, scale, "box"),
        }

    plan = two_stage.Plan(hardest=True, whole_anchors=whole, rpn_beta=1 / 9)
    task = two_stage.two_stage(backbone.input, first, head, [level], info, plan, **proposals)
    if whole:
        two_stage.freeze_norms(task.model)
    return task


def _conv(x, filters: int, name: str, **options):
    """1x1, N(0, 0.01) as in the authors' prototxt."""
    start = layers.gaussian(0.01)
    return keras.layers.Conv2D(filters, 1, kernel_initializer=start, name=name, **options)(x)


def _voted(x, rois, count: int, scale, name: str):
    """[B, R, count]: the mean over the bins of each region, each bin read off a map of its own."""
    maps = _conv(x, count * BINS**2, f"{name}_maps")
    pooled = PSRoIPool(BINS, scale, dtype="float32", name=f"{name}_pool")(maps, rois)
    return Vote(dtype="float32", name=f"roi_{name}")(pooled)


@keras.saving.register_keras_serializable("convoy")
class Vote(keras.layers.Layer):
    """Bins of regions [B, R, bins, bins, D] -> their mean [B, R, D]."""

    def call(self, x):
        return keras.ops.mean(x, axis=(2, 3))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], input_shape[-1])
