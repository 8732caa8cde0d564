"""Every network of the registry, as small as it goes: the rows of the conformance matrix.

Its columns are the tests of test_conformance.py, and all of them hold for every row. What a network
does not have, maps or a choice of sizes, its row says with the reason; the test expects that error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Case:
    """One row; sides of maps are by hand."""

    options: Mapping  # of models.build_task
    side: int = 64  # of the pictures that `maps` are of, pixels
    maps: Mapping[int, int] | None = None  # stride -> side of the backbone's map
    no_maps: str = ""  # why there is no backbone by this name
    one_size: str = ""  # why it takes no larger picture


def pictures(
    height: int, width: int, side: int = 64, maps: Mapping[int, int] | None = None, /, **more
) -> Case:
    """A network for pictures of any size, here of five classes; padded maps are side / stride."""
    options = {"input_size": (height, width), "num_classes": 5, **more}
    return Case(options, side, maps or {stride: side // stride for stride in (4, 8, 16, 32)})


ALEXNET = (227, {4: 55, 8: 27, 16: 13, 32: 6})
ALEXNET_OWT = (224, {4: 55, 8: 27, 16: 13, 32: 6})
ZFNET = (224, {2: 110, 8: 26, 16: 13, 32: 6})
SPP_NET = (224, {2: 110, 8: 26, 16: 13})
VGG_M = (224, {2: 109, 8: 26, 16: 13, 32: 6})
CAFFENET_PADDED = (224, {4: 56, 8: 29, 16: 15, 32: 7})
ZF_CAFFE = (224, {2: 112, 8: 29, 16: 15})
CALTECH = (83, {5: 14, 20: 1})
OVERFEAT_FAST = (231, {4: 56, 8: 24, 16: 12, 32: 6})
OVERFEAT_ACCURATE = (221, {2: 108, 6: 30, 12: 15, 36: 5})
# At 75 px one position is left: BatchNorm over two numbers has gradients beyond float16.
INCEPTION = (299, {4: 71, 8: 35, 16: 17, 32: 8})
CIFAR = (32, {1: 32, 2: 16, 4: 8})
# Of the picture within its border of 100 zeros, poolings rounded up.
FCN = (64, {4: 66, 8: 33, 16: 17, 32: 9})
FCN_ALEXNET = (64, {4: 64, 8: 32, 16: 16, 32: 8})
UNET = (188, {1: 184, 2: 88, 4: 40, 8: 16, 16: 4})
# Caffe's anchors learn only inside the picture: the square one of 128 px fits at one height here.
WHOLE_ANCHORS = (144, 208)
NO_MAPS = "needs num_classes: it has no maps by stride"
WORDS = {"vocabulary": ("the", "film", "is", "good", "bad"), "max_words": 7, "num_classes": 3}
SPOKEN = {"words": ("<end>", "<unknown>", "a", "good", "film"), "max_words": 6}
# fmt: off
CASES = {
    "lecun1989": Case({}, 16, {2: 8, 4: 4}, one_size="every unit has a bias of its own"),
    "lenet5_1998": Case({}, 32, {2: 14, 4: 5}, one_size="C5 covers its whole input map"),
    "lenet5": Case({}, 28, {2: 14, 4: 5}, one_size="fc1 is made for the 5x5 map"),
    "caltech_convnet": pictures(83, 83, *CALTECH),
    "caltech_convnet_rn": pictures(83, 88, *CALTECH),
    "caltech_convnet_max": pictures(83, 88, *CALTECH),
    "alexnet": pictures(63, 75, *ALEXNET),
    "alexnet_single": pictures(67, 75, *ALEXNET),
    "caffenet": pictures(63, 75, *ALEXNET),
    "alexnet_owt": pictures(63, 75, *ALEXNET_OWT),
    "vgg_m_1024": pictures(51, 60, *VGG_M),
    "zfnet": pictures(47, 50, *ZFNET),
    "zfnet_large": pictures(47, 50, *ZFNET),
    "zf_caffe": pictures(47, 50, *ZF_CAFFE),
    "overfeat_fast": pictures(71, 71, *OVERFEAT_FAST),
    "overfeat_accurate": pictures(77, 77, *OVERFEAT_ACCURATE),
    "spp_net_zf5": pictures(64, 93, *SPP_NET),
    "vgg11": pictures(32, 33),
    "vgg11_bn": pictures(32, 65),
    "vgg13": pictures(32, 33),
    "vgg13_bn": pictures(32, 65),
    "vgg16": pictures(32, 33),
    "vgg16_bn": pictures(32, 65),
    "vgg19": pictures(32, 33),
    "vgg19_bn": pictures(32, 65),
    "googlenet": pictures(64, 65),
    "googlenet_aux": pictures(79, 80),
    "googlenet_bn": pictures(64, 65),
    "googlenet_bn_aux": pictures(64, 65),
    "inception_v2": pictures(32, 33),
    "inception_v3": pictures(107, 108, *INCEPTION),
    "inception_v3_aux": pictures(299, 299, *INCEPTION),
    "inception_resnet_v2": pictures(107, 107, *INCEPTION),
    "resnet18": pictures(65, 64),
    "resnet34": pictures(65, 64),
    "resnet50": pictures(64, 64),
    "resnet101": pictures(64, 64),
    "resnet152": pictures(64, 64),
    "resnet200": pictures(64, 64),
    "resnet50_v1": pictures(64, 64),
    "resnet101_v1": pictures(64, 64),
    "resnet152_v1": pictures(64, 64),
    "resnet200_v1": pictures(64, 64),
    "mobilenet_v1": pictures(64, 97, width=0.25),
    "weldon_resnet101": pictures(64, 65),
    "resnet18_v2": pictures(65, 64),
    "resnet34_v2": pictures(65, 64),
    "resnet50_v2": pictures(64, 64),
    "resnet101_v2": pictures(64, 64),
    "resnet152_v2": pictures(64, 64),
    "resnet200_v2": pictures(64, 64),
    "resnet50_v2_keras": pictures(64, 64),
    "resnet101_v2_keras": pictures(64, 64),
    "resnet152_v2_keras": pictures(64, 64),
    "lm_resnet20": pictures(32, 33, *CIFAR),
    "lm_resnet32": pictures(32, 33, *CIFAR),
    "lm_resnet44": pictures(32, 33, *CIFAR),
    "lm_resnet56": pictures(32, 33, *CIFAR),
    "lm_resnet110": pictures(32, 33, *CIFAR),
    "lm_resnet164": pictures(32, 33, *CIFAR),
    "mobilenet_v2": pictures(64, 97, width=0.35),
    "mobilenet_v3_large": pictures(64, 97, width=0.75),
    "mobilenet_v3_small": pictures(64, 97, width=0.75),
    "darknet19": pictures(33, 64),
    "darknet53": pictures(33, 64),
    "darknet_reference": pictures(97, 64),
    "cspdarknet53": pictures(33, 64),
    "fast_rcnn_caffenet": pictures(
        64, 97, *CAFFENET_PADDED, backbone="mobilenet_v1", width=0.25
    ),
    "fast_rcnn_vgg16": pictures(64, 97),
    "fast_rcnn_vgg_m": pictures(64, 97, *VGG_M),
    "faster_rcnn": pictures(64, 97, width=0.25),
    "faster_rcnn_resnet50_fpn": pictures(64, 96),
    "faster_rcnn_vgg16": pictures(*WHOLE_ANCHORS),
    "faster_rcnn_zf": pictures(224, 300, *ZF_CAFFE),
    "mask_rcnn": pictures(64, 97, width=0.25),
    "mask_rcnn_resnet50_fpn": pictures(64, 96),
    "mask_rcnn_resnet101_fpn": pictures(64, 96),
    "rcnn_alexnet": pictures(64, 97, *ALEXNET, backbone="lm_resnet20", width=0.02),
    "rfcn": pictures(64, 97, width=0.25),
    "rfcn_resnet101": pictures(*WHOLE_ANCHORS),
    "rfcn_resnet50": pictures(*WHOLE_ANCHORS),
    "cspdarknet53_tiny": pictures(65, 64),
    "retinanet": pictures(64, 97),
    "retinanet_resnet50_fpn": pictures(64, 96),
    "retinanet_resnet50_fpn_c5": pictures(64, 96),
    "sliding_window": pictures(64, 64, 32, {1: 32, 2: 16, 4: 8}, backbone="lenet5"),
    "sppnet_zf5": pictures(64, 97, *SPP_NET),
    "ssd": pictures(96, 131, backbone="resnet18"),
    "ssd300_vgg16": Case({"num_classes": 2}, 300, {4: 75, 8: 38, 16: 19, 32: 9}),
    "ssd512_vgg16": Case({"num_classes": 2}, 512, {4: 128, 8: 64, 16: 32, 32: 16}),
    "ssd_mobilenet_v1": pictures(96, 131, width=0.25),
    "yolov1": pictures(64, 128, width=0.125),
    "yolov1_darknet": pictures(64, 128, width=0.125),
    "yolov2": pictures(64, 96),
    "yolov2_tiny": pictures(64, 96),
    "yolov3": pictures(64, 96),
    "yolov3_spp": pictures(64, 96),
    "yolov3_tiny": pictures(64, 96),
    "yolov4": pictures(64, 96),
    "yolov4_tiny": pictures(64, 96),
    "fcn": pictures(64, 97, width=0.25),
    "fcn32s_vgg16": pictures(33, 64, *FCN),
    "fcn16s_vgg16": pictures(33, 64, *FCN),
    "fcn8s_vgg16": pictures(33, 64, *FCN),
    "fcn8s_atonce_vgg16": pictures(33, 64, *FCN),
    "fcn32s_alexnet": pictures(33, 64, *FCN_ALEXNET),
    "segnet": pictures(32, 45, 64, {2**n: 64 // 2**n for n in (1, 2, 3, 4, 5)}, width=0.125),
    "segnet_basic": pictures(32, 45, 64, {2**n: 64 // 2**n for n in (1, 2, 3, 4)}, width=0.25),
    "unet": pictures(188, 204, *UNET, width=0.125),
    "unet_same": pictures(32, 45, 64, {2**n: 64 // 2**n for n in range(5)}, width=0.125),
    "dilated_frontend_vgg16": Case({"input_size": (380, 389), "num_classes": 5}, no_maps=NO_MAPS),
    "dilation8_vgg16": Case({"input_size": (380, 389), "num_classes": 5}, no_maps=NO_MAPS),
    "dbn": Case({"input_size": (16, 24), "width": 0.125}, no_maps=NO_MAPS),
    "srcnn_915": Case({"input_size": (17, 20)}, no_maps=NO_MAPS),
    "srcnn_935": Case({"input_size": (17, 20)}, no_maps=NO_MAPS),
    "srcnn_955": Case({"input_size": (17, 20)}, no_maps=NO_MAPS),
    **dict.fromkeys(
        ("wave_m3", "wave_m5", "wave_m11", "wave_m18"),
        Case({"samples": 1024, "num_classes": 5}, no_maps=NO_MAPS),
    ),
    "cnn_trad_fpool3": Case({"samples": 4480, "num_classes": 5}, no_maps=NO_MAPS),
    "series_fcn": Case({"series": (20, 3), "num_classes": 5}, no_maps=NO_MAPS),
    "text_cnn_rand": Case(WORDS, no_maps=NO_MAPS),
    "text_cnn_static": Case(WORDS, no_maps=NO_MAPS),
    "text_cnn_nonstatic": Case(WORDS, no_maps=NO_MAPS),
    "text_cnn_multichannel": Case(WORDS, no_maps=NO_MAPS),
    "openpose_coco": pictures(64, 97),
    "openpose_mpi": pictures(64, 97),
    "openpose_mobilenet": pictures(64, 97, width=0.25),
    "keypoint_regression": pictures(64, 97, backbone="mobilenet_v1", width=0.25),
    "keypoint_heatmaps": pictures(64, 97, backbone="mobilenet_v1", width=0.25),
    "neuraltalk2": pictures(32, 33, **SPOKEN),
    "show_and_tell": pictures(64, 97, *INCEPTION, backbone="mobilenet_v1", width=0.25, **SPOKEN),
}
# fmt: on
# The smallest of each family, and variants with layers of their own.
QUICK = (
    "lecun1989",
    "lenet5_1998",
    "lenet5",
    "caltech_convnet",
    "caltech_convnet_rn",
    "alexnet",
    "zfnet",
    "overfeat_fast",
    "spp_net_zf5",
    "vgg11",
    "googlenet_bn_aux",
    "inception_v2",
    "resnet18",
    "resnet18_v2",
    "lm_resnet20",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "darknet19",
    "fast_rcnn_caffenet",
    "faster_rcnn",
    "mask_rcnn",
    "rfcn",
    "sliding_window",
    "ssd_mobilenet_v1",
    "yolov2_tiny",
    "yolov3_tiny",
    "retinanet",
    "fcn",
    "segnet_basic",
    "unet",
    "unet_same",
    "dbn",
    "srcnn_915",
    "openpose_mobilenet",
    "keypoint_regression",
    "text_cnn_rand",
    "wave_m11",
    "cnn_trad_fpool3",
    "series_fcn",
    "neuraltalk2",
    "show_and_tell",
)
# Families whose smallest network still has hundreds of layers, as many weights as VGG, or runs once
# per region: half a minute each, left to -m slow.
DEEP = (
    "cspdarknet53",
    "inception_v3",
    "inception_resnet_v2",
    "weldon_resnet101",
    "fcn8s_vgg16",
    "dilation8_vgg16",
    "rcnn_alexnet",
    "sppnet_zf5",
    "vgg_m_1024",
    "yolov1_darknet",
    "yolov4_tiny",
)
