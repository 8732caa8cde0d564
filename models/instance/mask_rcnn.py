"""Mask R-CNN: Faster R-CNN, and beside its boxes a mask of each, of its class alone.

Paper: He 2017 https://arxiv.org/abs/1703.06870. The mask head sees the boxes that were found,
14x14 bins by RoIAlign: four 3x3 convolutions of 256 channels, a deconvolution to 28x28 and one mask
per class. A box's mask is that of its class (section 3: masks and classes do not compete).

mask_rcnn_resnet50_fpn and mask_rcnn_resnet101_fpn are torchvision's: faster_rcnn_resnet50_fpn's
parts, frozen BatchNorm; the mask of the background is there and unused. Difference: of two boxes of
one class with IoU over 0.5 the worse goes inside the network, before masks are made, at most 100
are kept, and a request's limits can narrow that alone.

`mask_rcnn` is ours, on any backbone with a map of stride 16: faster_rcnn's parts, a mask head of
256 channels times the width.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.detection import faster_rcnn, two_stage
from convoy.models.detection.rcnn import Apart, Together
from convoy.models.instance import task
from convoy.models.instance.detections import Detections, OfClass
from convoy.models.roi import RoIAlign
from convoy.models.spec import ModelInfo, Task

BINS, CONVOLUTIONS, CHANNELS = 14, 4, 256


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 90,
    width: float = 1.0,
    dropout: float = 0.0,
) -> Task:
    """A network of `num_classes` (background not counted) on a backbone's maps by stride."""
    size = info.preprocess.size
    why = "smaller inputs leave too few cells of 16 px"
    layers.check_input(variant, size, minimum=faster_rcnn.MINIMUM, why=why)
    if variant == "mask_rcnn":
        parts = faster_rcnn.own_parts(variant, info, backbone, num_classes, width, dropout)
        plan, proposals = faster_rcnn.FEW, {}
    else:
        parts = faster_rcnn.pyramid_parts(variant, info, backbone, num_classes)
        plan, proposals = faster_rcnn.PYRAMID_PLAN, faster_rcnn.PYRAMID_PROPOSALS
    first, head, levels, (maps, scales) = parts
    outputs = two_stage.outputs_of(first, head, levels, size, **proposals)
    stages = [outputs[key] for key in two_stage.READS]
    boxes, scores, classes = Detections(size, name="detections")(*stages)
    pooled = RoIAlign(BINS, scales, 2, name="mask_pool")(maps if len(maps) > 1 else maps[0], boxes)
    masks = mask_head(pooled, boxes, int(CHANNELS * width), num_classes)
    outputs |= {
        "found": boxes,
        "found_scores": scores,
        "found_classes": classes,
        "masks": OfClass(name="mask_of_class")(masks, classes),
    }
    return task.mask_detector(
        keras.Model(backbone.input, outputs, name=info.name), info, levels, plan
    )


def mask_head(pooled, boxes, channels: int, num_classes: int):
    """[B, D, 14, 14, C] of boxes [B, D, 4] -> [B, D, 28, 28, K + 1] logits, background first.

    All start as torchvision's: normal, variance 2 / fan-out, biases 0.
    """
    start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    x = Together(name="mask_together")(pooled)
    for index in range(1, CONVOLUTIONS + 1):
        x = keras.layers.Conv2D(
            channels,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=start.clone(),
            name=f"mask_conv{index}",
        )(x)
    # A transposed kernel lists its outputs before its inputs: Keras' fan-in is the fan-out.
    swapped = keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    x = keras.layers.Conv2DTranspose(
        channels, 2, 2, activation="relu", kernel_initializer=swapped, name="mask_deconv"
    )(x)
    x = keras.layers.Conv2D(
        num_classes + 1, 1, kernel_initializer=start.clone(), dtype="float32", name="mask_logits"
    )(x)
    return Apart(dtype="float32", name="mask_apart")(x, boxes)
