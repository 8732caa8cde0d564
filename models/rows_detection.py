"""The table of detectors: name -> Row."""

from __future__ import annotations

import dataclasses

from convoy.models.rows import CAFFE, CIFAR, TORCH, Family, Row
from convoy.models.spec import Preprocess

SSD = Family(
    "convoy.models.detection.ssd",
    "detection",
    "Liu, SSD: Single Shot MultiBox Detector, https://arxiv.org/abs/1512.02325",
    2015,
)
SSD_VGG = SSD._replace(options=("priors",))
SSD_MOBILENET = SSD._replace(year=2017, options=("width",))
SSD_ON_ANY = SSD_MOBILENET._replace(options=("width", "backbone"))
YOLOV1 = Family(
    "convoy.models.detection.yolov1",
    "detection",
    "Redmon, You Only Look Once, https://arxiv.org/abs/1506.02640",
    2015,
    ("width", "dropout"),
)
YOLOV2 = Family(
    "convoy.models.detection.yolov2",
    "detection",
    "Redmon, YOLO9000: Better, Faster, Stronger, https://arxiv.org/abs/1612.08242",
    2016,
    ("backbone", "anchors"),
)
YOLOV3 = Family(
    "convoy.models.detection.yolov3",
    "detection",
    "Redmon, YOLOv3: An Incremental Improvement, https://arxiv.org/abs/1804.02767",
    2018,
    ("backbone", "anchors"),
)
YOLOV4 = Family(
    "convoy.models.detection.yolov4",
    "detection",
    "Bochkovskiy, YOLOv4, https://arxiv.org/abs/2004.10934",
    2020,
    ("backbone", "anchors", "dropout", "label_smoothing"),
)
YOLOV4_TINY = YOLOV4._replace(paper="Wang, Scaled-YOLOv4, https://arxiv.org/abs/2011.08036")

FASTER_RCNN = Family(
    "convoy.models.detection.faster_rcnn",
    "detection",
    "Ren, Faster R-CNN, https://arxiv.org/abs/1506.01497",
    2015,
    ("dropout",),
)
FASTER_RCNN_FPN = FASTER_RCNN._replace(
    paper="Lin, Feature Pyramid Networks, https://arxiv.org/abs/1612.03144", year=2016, options=()
)
FAST_RCNN = Family(
    "convoy.models.detection.fast_rcnn",
    "detection",
    "Girshick, Fast R-CNN, https://arxiv.org/abs/1504.08083",
    2015,
    ("width", "backbone", "dropout"),
    takes=("proposals",),
)
RCNN = Family(
    "convoy.models.detection.rcnn",
    "detection",
    "Girshick, Rich Feature Hierarchies, https://arxiv.org/abs/1311.2524",
    2013,
    ("width", "backbone", "dropout"),
    takes=("proposals",),
    crops=True,
)
SPP_NET = Family(
    "convoy.models.detection.sppnet",
    "detection",
    "He, Spatial Pyramid Pooling, https://arxiv.org/abs/1406.4729",
    2014,
    ("dropout",),
    takes=("proposals",),
)
SLIDING_WINDOW = Family(
    "convoy.models.detection.sliding_window",
    "detection",
    "Dalal, Histograms of Oriented Gradients, https://doi.org/10.1109/CVPR.2005.177",
    2005,
    ("backbone",),
    crops=True,
)
RFCN = Family(
    "convoy.models.detection.rfcn",
    "detection",
    "Dai, R-FCN, https://arxiv.org/abs/1605.06409",
    2016,
)
RFCN_ON_ANY = RFCN._replace(options=("width", "backbone"))
FASTER_RCNN_ON_ANY = FASTER_RCNN._replace(options=("width", "backbone", "dropout"))

RETINANET = Family(
    "convoy.models.detection.retinanet",
    "detection",
    "Lin, Focal Loss for Dense Object Detection, https://arxiv.org/abs/1708.02002",
    2017,
)
RETINANET_ON_ANY = RETINANET._replace(options=("width", "backbone"))

CENTERED = Preprocess(size=(300, 300), mean=(127.5,), std=(127.5,))
CENTERED_600 = dataclasses.replace(CENTERED, size=(600, 600))
# py-faster-rcnn's short side of 600 px and long one of at most 1000, its means of colours.
CAFFE_600 = Preprocess(
    size=(600, 1000),
    resize="letterbox",
    mean=(102.9801, 115.9465, 122.7717),
    channel_order="bgr",
)
# R-CNN's 500 px of a picture's width, SPP-net's short side of 688 px.
CAFFE_500 = dataclasses.replace(CAFFE, size=(500, 500), resize="letterbox", crop_pct=1.0)
CAFFE_688 = dataclasses.replace(CAFFE_500, size=(688, 1147))
CIFAR_240 = dataclasses.replace(CIFAR, size=(240, 320), resize="letterbox")
# torchvision's short side of 800 px and long one of at most 1333, as it pads them.
TORCH_800 = dataclasses.replace(TORCH, size=(800, 1344), resize="letterbox", crop_pct=1.0)
VOC_MEAN = Preprocess(size=(300, 300), mean=(123.0, 117.0, 104.0))
VOC_MEAN_512 = dataclasses.replace(VOC_MEAN, size=(512, 512))

TORCH_512 = dataclasses.replace(TORCH_800, size=(512, 512))

YOLO_416 = Preprocess(size=(416, 416), resize="letterbox", scale=1 / 255)
YOLOV1_448 = dataclasses.replace(YOLO_416, size=(448, 448), resize="stretch")
YOLOV4_416 = dataclasses.replace(YOLO_416, resize="stretch")
YOLO_608 = dataclasses.replace(YOLO_416, size=(608, 608))

# fmt: off
ROWS = {
    "fast_rcnn_caffenet": Row(
        FAST_RCNN, 57_298_409, 9_272_180_608, 20, CAFFE_600, "caffenet", {"padded": True}
    ),
    "fast_rcnn_vgg16": Row(
        FAST_RCNN, 134_690_729, 183_989_231_616, 20, CAFFE_600, "vgg16", {"pool_padding": "same"}
    ),
    "fast_rcnn_vgg_m": Row(FAST_RCNN, 86_333_161, 20_632_090_144, 20, CAFFE_600, "vgg_m_1024"),
    "faster_rcnn": Row(
        FASTER_RCNN_ON_ANY, 16_353_509, 8_669_029_248, 20, CENTERED_600, "mobilenet_v1"
    ),
    "faster_rcnn_resnet50_fpn": Row(
        FASTER_RCNN_FPN, 41_808_406, 215_986_953_472, 90, TORCH_800, "resnet50"
    ),
    "faster_rcnn_vgg16": Row(
        FASTER_RCNN, 137_078_239, 225_573_931_008, 20, CAFFE_600, "vgg16", {"pool_padding": "same"}
    ),
    "faster_rcnn_zf": Row(FASTER_RCNN, 59_294_751, 33_722_863_104, 20, CAFFE_600, "zf_caffe"),
    "rcnn_alexnet": Row(RCNN, 57_773_561, 721_216_032, 20, CAFFE_500, "alexnet"),
    "retinanet": Row(RETINANET_ON_ANY, 20_165_400, 41_425_534_976, 20, TORCH_512, "resnet18"),
    "retinanet_resnet50_fpn": Row(
        RETINANET, 34_068_119, 254_469_734_400, 91, TORCH_800, "resnet50"
    ),
    "retinanet_resnet50_fpn_c5": Row(
        RETINANET, 37_968_692, 250_487_537_664, 80, TORCH_800, "resnet50"
    ),
    "rfcn": Row(RFCN_ON_ANY, 4_791_305, 7_806_502_784, 20, CENTERED_600, "mobilenet_v1"),
    "rfcn_resnet101": Row(RFCN, 50_801_667, 138_689_639_424, 20, CAFFE_600, "resnet101_v1"),
    "rfcn_resnet50": Row(RFCN, 31_809_539, 93_347_509_248, 20, CAFFE_600, "resnet50_v1"),
    "sliding_window": Row(SLIDING_WINDOW, 273_099, 40_813_888, 20, CIFAR_240, "lm_resnet20"),
    "sppnet_zf5": Row(SPP_NET, 74_132_729, 19_211_930_880, 20, CAFFE_688, "spp_net_zf5"),
    "ssd": Row(SSD_ON_ANY, 5_755_694, 1_099_798_080, 20, CENTERED, "mobilenet_v1"),
    "ssd300_vgg16": Row(
        SSD_VGG, 26_285_486, 31_373_537_792, 20, VOC_MEAN, "vgg16", {"pool_padding": "same"}
    ),
    "ssd512_vgg16": Row(
        SSD_VGG, 27_188_676, 90_207_908_864, 20, VOC_MEAN_512, "vgg16", {"pool_padding": "same"}
    ),
    "ssd_mobilenet_v1": Row(
        SSD_MOBILENET, 5_755_694, 1_099_798_080, 20, CENTERED, "mobilenet_v1"
    ),
    "yolov1": Row(YOLOV1, 271_703_550, 20_285_153_280, 20, YOLOV1_448),
    "yolov1_darknet": Row(YOLOV1, 197_301_875, 20_210_729_728, 20, YOLOV1_448),
    "yolov2": Row(YOLOV2, 50_655_389, 14_680_167_424, 20, YOLO_416, "darknet19"),
    "yolov2_tiny": Row(YOLOV2, 15_861_773, 3_485_520_896, 20, YOLO_416, "darknet_reference"),
    "yolov3": Row(YOLOV3, 61_949_149, 32_932_037_632, 80, YOLO_416, "darknet53"),
    "yolov3_spp": Row(YOLOV3, 62_998_749, 70_724_486_144, 80, YOLO_608, "darknet53"),
    "yolov3_tiny": Row(YOLOV3, 8_852_366, 2_782_480_896, 80, YOLO_416, "darknet_reference"),
    "yolov4": Row(YOLOV4, 64_363_101, 30_052_385_792, 80, YOLOV4_416, "cspdarknet53"),
    "yolov4_tiny": Row(YOLOV4_TINY, 6_056_606, 3_453_938_176, 80, YOLOV4_416, "cspdarknet53_tiny"),
}
# fmt: on
