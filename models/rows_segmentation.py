"""The table of networks that give every pixel a class: name -> Row."""

from __future__ import annotations

import dataclasses

from convoy.models.rows import CAFFE, Family, Row
from convoy.models.spec import Preprocess

FCN = Family(
    "convoy.models.segmentation.fcn",
    "segmentation",
    "Long, Fully Convolutional Networks for Semantic Segmentation, https://arxiv.org/abs/1411.4038",
    2014,
    ("width", "backbone"),
)
FCN_PAPER = FCN._replace(module="convoy.models.segmentation.fcn_paper", options=("dropout",))
SEGNET = Family(
    "convoy.models.segmentation.segnet",
    "segmentation",
    "Badrinarayanan, SegNet, https://arxiv.org/abs/1511.00561",
    2015,
    ("width",),
)
UNET = Family(
    "convoy.models.segmentation.unet",
    "segmentation",
    "Ronneberger, U-Net, https://arxiv.org/abs/1505.04597",
    2015,
    ("dropout", "width"),
)
DILATED = Family(
    "convoy.models.segmentation.dilated",
    "segmentation",
    "Yu, Multi-Scale Context Aggregation by Dilated Convolutions, https://arxiv.org/abs/1511.07122",
    2015,
    ("dropout",),
)

FCN_500 = dataclasses.replace(
    CAFFE,
    size=(500, 500),
    resize="letterbox",
    crop_pct=1.0,
    mean=(104.00699, 116.66877, 122.67892),
)
ANY_500 = Preprocess(size=(500, 500), resize="letterbox", mean=(127.5,), std=(127.5,))
CAMVID = Preprocess(size=(360, 480), channel_order="bgr")
UNET_572 = Preprocess(size=(572, 572), mean=(127.5,), std=(127.5,), channel_order="gray", margin=92)
UNET_512 = Preprocess(size=(512, 512), mean=(127.5,), std=(127.5,))
DILATED_900 = dataclasses.replace(
    FCN_500, size=(900, 900), mean=(102.93, 111.36, 116.52), margin=186
)

# fmt: off
ROWS = {
    "fcn": Row(FCN, 3_244_671, 2_804_924_352, 21, ANY_500, "mobilenet_v1"),
    "fcn32s_vgg16": Row(FCN_PAPER, 136_152_917, 181_365_854_976, 21, FCN_500),
    "fcn16s_vgg16": Row(FCN_PAPER, 134_815_994, 181_448_086_272, 21, FCN_500),
    "fcn8s_vgg16": Row(FCN_PAPER, 134_489_759, 181_529_034_048, 21, FCN_500),
    "fcn8s_atonce_vgg16": Row(FCN_PAPER, 134_490_527, 181_529_034_048, 21, FCN_500),
    "fcn32s_alexnet": Row(FCN_PAPER, 58_704_590, 21_424_487_968, 21, FCN_500),
    "segnet": Row(SEGNET, 29_449_355, 106_712_432_640, 11, CAMVID),
    "segnet_basic": Row(SEGNET, 1_416_587, 59_188_838_400, 11, CAMVID),
    "unet": Row(UNET, 31_030_658, 150_428_424_448, 2, UNET_572),
    "unet_same": Row(UNET, 31_031_810, 192_686_325_760, 2, UNET_512),
    "dilated_frontend_vgg16": Row(DILATED, 134_346_581, 791_561_657_088, 21, DILATED_900),
    "dilation8_vgg16": Row(DILATED, 141_149_720, 826_395_410_952, 21, DILATED_900),
}
# fmt: on
