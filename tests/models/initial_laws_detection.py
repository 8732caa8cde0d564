"""The first weights of detectors; see initial_laws.py."""

from __future__ import annotations

import math

from tests.models.initial_laws import (
    DARKNET,
    FAN_IN,
    GLOROT,
    HE,
    HE_FAN_OUT,
    HE_NORMAL,
    ONE,
    ZERO,
    Law,
    constant,
    normal,
    row,
)

DETECTORS = {
    ("fast_rcnn_caffenet",): row(
        "mobilenet_v1's; Girshick 2015, 4.1, for the last layers; AlexNet's for fc6 and fc7",
        {"fc7/kernel": 0.01, "roi_cls/kernel": 0.01, "roi_box/kernel": 0.001},
        laws={
            "roi_box/kernel": normal(0.001),
            "roi_cls/kernel": normal(0.01),
            "fc*/kernel": normal(0.01),
            "*/kernel": GLOROT,
        },
    ),
    ("rcnn_alexnet",): row(
        "lm_resnet20's; Krizhevsky 2012, section 5, for the full layers",
        {"fc7/kernel": 0.01, "roi_cls/kernel": 0.01},
        laws={
            "fc*/kernel": normal(0.01),
            "fc[67]/bias": ONE,
            "roi_cls/kernel": normal(0.01),
            "svm/kernel": ZERO,
            "box/kernel": ZERO,
            "*_step/k": Law("any"),
            "*/kernel": HE_FAN_OUT,
        },
    ),
    ("sppnet_zf5",): row(
        "zfnet's, for the full layers as well; what is fitted starts at zero",
        {"fc6/kernel": 0.01},
        laws={"svm/kernel": ZERO, "box/kernel": ZERO, "*/kernel": normal(0.01)},
    ),
    ("sliding_window",): row(
        "lenet5's; Glorot 2010 for the last layer",
        {"conv1/kernel": 0.10690},  # sqrt(2 / 175)
        laws={"roi_cls/kernel": GLOROT, "*/kernel": GLOROT},
    ),
    ("faster_rcnn",): row(
        "mobilenet_v1's; Ren 2015, 3.1.3, for proposals, Girshick 2015, 4.1, for the last; "
        "ours: He 2015 for the hidden ones",
        {"fc7/kernel": 0.088388, "roi_box/kernel": 0.001},  # a quarter of the width: sqrt(2 / 256)
        laws={
            "rpn_*/kernel": normal(0.01),
            "roi_cls/kernel": normal(0.01),
            "roi_box/kernel": normal(0.001),
            "fc*/kernel": HE,
            "*/kernel": GLOROT,
            "*/sampling_state": Law("any"),
        },
    ),
    ("mask_rcnn",): row(
        "faster_rcnn's; torchvision's for masks: kaiming_normal_ by fan-out",
        # A quarter of the width: sqrt(2 / (9 * 64)), sqrt(2 / (4 * 64))
        {"mask_conv1/kernel": 0.058926, "mask_deconv/kernel": 0.088388},
        laws={
            "rpn_*/kernel": normal(0.01),
            "roi_cls/kernel": normal(0.01),
            "roi_box/kernel": normal(0.001),
            "fc*/kernel": HE,
            "mask_deconv/kernel": Law(
                "normal", lambda shape: math.sqrt(2 / (shape[0] * shape[1] * shape[2]))
            ),
            "mask_*/kernel": HE_FAN_OUT,
            "*/kernel": GLOROT,
            "*/sampling_state": Law("any"),
        },
    ),
    ("rfcn",): row(
        "mobilenet_v1's; the authors' prototxt: N(0, 0.01)",
        {"rpn_conv/kernel": 0.01, "cls_maps/kernel": 0.01},
        laws={
            "rpn_*/kernel": normal(0.01),
            "*_maps/kernel": normal(0.01),
            "*/kernel": GLOROT,
            "*/sampling_state": Law("any"),
        },
    ),
    ("yolov1", "yolov1_darknet"): row(
        "Darknet: normal with variance 2 / fan-in; local and full layers in +-sqrt(2 / fan-in)",
        # An eighth of the width: sqrt(2 / (9 * 128)), sqrt(2 / 3 / (9 * 128)), sqrt(2 / 3 / 512)
        {"conv24/kernel": 0.041667, "local/kernel": 0.024056, "cells_logits/kernel": 0.036084},
        laws={
            "local/kernel": Law("uniform", lambda shape: math.sqrt(2 / 3 / math.prod(shape[1:-1]))),
            "fc/kernel": DARKNET,
            "cells_logits/kernel": DARKNET,
            "*/kernel": HE_NORMAL,
        },
    ),
    ("yolov4_tiny",): row(
        "Bochkovskiy's fork, the heads' too: sqrt(2 / fan-in) times uniform in +-1",
        {"s32_conv1/kernel": 0.036084, "s16_logits/kernel": 0.051031},  # 2 / 3 / 512, of 256
        laws={"*/kernel": DARKNET},
    ),
    ("retinanet",): row(
        "torchvision: the body's, kaiming_uniform_(a=1) of the pyramid, Lin 2017, section 4.1",
        # 1 / sqrt(512), 1 / sqrt(9 * 256)
        {"fpn_inner3/kernel": 0.044194, "fpn_layer1/kernel": 0.020833, "cls_conv1/kernel": 0.01},
        laws={
            "cls_logits/bias": constant(-math.log(99)),
            "fpn_*/kernel": FAN_IN,
            "cls_*/kernel": normal(0.01),
            "box_*/kernel": normal(0.01),
            "*/kernel": HE_FAN_OUT,
        },
    ),
    ("ssd300_vgg16",): row(
        "vgg16's; ours: He 2015 for the layers behind it, Glorot 2010 for the heads",
        {"block1_conv1/kernel": 0.057591, "fc7/kernel": 0.044194},  # sqrt(2 / 1024)
        laws={
            "block4_scale/scale": constant(20.0),
            "block*/kernel": GLOROT,
            "level*/kernel": GLOROT,
            "*/kernel": HE,
        },
    ),
    ("ssd_mobilenet_v1",): row(
        "mobilenet_v1's; ours: N(0, 0.03) for the heads' last layers",
        {"level1_cls/kernel": 0.03},
        laws={
            "level*_cls/kernel": normal(0.03),
            "level*_box/kernel": normal(0.03),
            "*/kernel": GLOROT,
        },
    ),
    ("yolov2_tiny", "yolov3_tiny"): row(
        "Redmon's make_convolutional_layer, the heads' too: normal, variance 2 / fan-in",
        {"s32_conv1/kernel": 0.020833, "s16_logits/kernel": 0.088388},  # sqrt(2 / 4608), of 256
        laws={"*/kernel": HE_NORMAL},
    ),
}
