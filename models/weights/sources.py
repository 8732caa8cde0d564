"""Which files hold which of our networks: one table per format, and files that only look alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from convoy.models.registry import MODELS
from convoy.models.rows import DARKNET, INCEPTION, TORCH, Preprocess
from convoy.models.weights import names, names_detection, names_inception
from convoy.models.weights.names import per_layer


class Source(NamedTuple):
    networks: str  # pattern of our names
    names: Callable[[Iterable[str]], names.Names]
    spare: str = ""  # pattern of their layers that may be left over, beside that of the logits
    preprocess: Preprocess | None = None  # of their pixels; None: the row's of our network
    application: str = ""  # the function of keras.applications that builds it
    also: Mapping[str, str] = {}  # another library's names for theirs
    prepare: Callable[[dict], dict] = dict  # what is read, into the layout that `names` is of
    mark: str = ""  # pattern of a layer of theirs; without any the file is of the body alone


# Networks whose body is another network's, under whose names their layers go.
BACKBONES = {name: row.backbone for name, row in MODELS.items() if row.backbone}
BACKBONES["weldon_resnet101"] = "resnet101"
# Those whose convolutions are VGG-16's, under the same names.
BACKBONES |= {name: "vgg16" for name in MODELS if re.fullmatch(r"(fcn|dilat).*_vgg16", name)}
_TIMM_VGG = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}
_RESNET = r"resnet(18|34|50|101|152)"

SOURCES = {
    "keras": (
        Source("vgg16", per_layer(names.vgg_keras), "fc[12]", application="VGG16"),
        Source("vgg19", per_layer(names.vgg_keras), "fc[12]", application="VGG19"),
        Source("resnet50_v1", per_layer(names.resnet_keras), application="ResNet50"),
        Source("resnet101_v1", per_layer(names.resnet_keras), application="ResNet101"),
        Source("resnet152_v1", per_layer(names.resnet_keras), application="ResNet152"),
        Source("resnet50_v2_keras", per_layer(names.resnet_v2_keras), application="ResNet50V2"),
        Source("resnet101_v2_keras", per_layer(names.resnet_v2_keras), application="ResNet101V2"),
        Source("resnet152_v2_keras", per_layer(names.resnet_v2_keras), application="ResNet152V2"),
        Source("mobilenet_v1", per_layer(names.mobilenet_keras), application="MobileNet"),
        Source("mobilenet_v2", per_layer(names.mobilenet_v2_keras), application="MobileNetV2"),
        Source(
            "mobilenet_v3_large",
            per_layer(names.mobilenet_v3_keras),
            "conv_2",
            application="MobileNetV3Large",
        ),
        Source(
            "mobilenet_v3_small",
            per_layer(names.mobilenet_v3_keras),
            "conv_2",
            application="MobileNetV3Small",
        ),
        Source("inception_v3", names_inception.keras_order, application="InceptionV3"),
        Source("inception_resnet_v2", names_inception.keras_order, application="InceptionResNetV2"),
    ),
    "torch": (
        Source("vgg1[1369](_bn)?", names.vgg_torch, r"classifier\.\d", TORCH, also=_TIMM_VGG),
        Source("alexnet_owt", per_layer(names.alexnet_torch), r"classifier\.\d", TORCH),
        Source(f"{_RESNET}|resnet200", per_layer(names.resnet_torch), preprocess=TORCH),
        Source(f"{_RESNET}_v2", per_layer(names.resnet_v2_torch), preprocess=TORCH),
        Source("googlenet_bn(_aux)?", per_layer(names_inception.googlenet_torch), r"aux\d\..*"),
        Source("inception_v3_aux", per_layer(names_inception.inception_v3_torch), r"AuxLogits\..*"),
        Source("inception_resnet_v2", per_layer(names_inception.inception_resnet_torch)),
        Source(
            "mask_rcnn_resnet(50|101)_fpn",
            per_layer(names_detection.mask_rcnn_torch),
            preprocess=TORCH,
            prepare=names_detection.torchvision,
            mark=r"backbone\..*",
        ),
        Source(
            "faster_rcnn_resnet50_fpn",
            per_layer(names_detection.faster_rcnn_torch),
            preprocess=TORCH,
            prepare=names_detection.torchvision,
            mark=r"backbone\..*",
        ),
        Source(
            "retinanet_resnet50_fpn",
            per_layer(names_detection.retinanet_torch),
            preprocess=TORCH,
            prepare=names_detection.torchvision,
            mark=r"backbone\..*",
        ),
    ),
    "caffe": (
        Source("alexnet|caffenet|vgg_m_1024|zf_caffe", per_layer(names.alexnet_caffe), "fc[678]"),
        Source("vgg1[69]", per_layer(names.vgg_caffe), "fc[678]"),
        Source("googlenet(_aux)?", per_layer(names_inception.googlenet_caffe), "loss[12]/.*"),
        Source("resnet(50|101|152)_v1", names.resnet_caffe),
        # Of a classifier fc6 and fc7 are taken, too: a convolution covers their map.
        Source("fcn(32|16|8)s(_atonce)?_(vgg16|alexnet)", per_layer(names.fcn_caffe), "fc8"),
        Source("openpose_(coco|mpi)", per_layer(names.openpose_caffe), mark="conv4_3_CPM"),
        Source("dilated_frontend_vgg16|dilation8_vgg16", names.dilated_caffe, "fc8"),
    ),
    "darknet": (
        Source("darknet19|darknet53|darknet_reference|cspdarknet53(_tiny)?", names.darknet_order),
        Source("yolov2(_tiny)?|yolov3(_spp|_tiny)?|yolov4_tiny", names.yolo_order),
        Source("yolov4", names.yolov4_order),
        Source("yolov1_darknet", names.yolov1_order),
        Source("alexnet_single", names.in_order, preprocess=DARKNET),
        Source("vgg16", names.in_order, preprocess=INCEPTION),  # [crop] makes -1 to 1 of 0 to 1
    ),
}
# Published files that are not quite a network of ours: (format, pattern of our names, why).
OTHERS = (
    ("keras", r"(resnet50|resnet101|resnet152)", r"Keras' has its strides elsewhere: \1_v1 here"),
    ("keras", r"(resnet(50|101|152)_v2)", r"Keras' has its strides elsewhere: \1_keras here"),
    ("keras", "inception_v3_aux", "Keras' has one head: inception_v3 here"),
    ("torch", r"(resnet\d+)_v1", r"PyTorch's have the stride in the 3x3 convolution: \1 here"),
    ("torch", r"(resnet\d+_v2)_keras", r"timm's has its strides elsewhere: \1 here"),
    ("torch", "alexnet|alexnet_single", "torchvision's is the lighter alexnet_owt"),
    ("torch", "(googlenet)(_aux)?", r"torchvision's has BatchNorm: \1_bn\2 here"),
    (
        "torch",
        "inception_v3",
        "torchvision's BatchNorm has scales and its poolings count the border: inception_v3_aux",
    ),
    (
        "torch",
        "mobilenet_v[123].*",
        "PyTorch's pad strided convolutions on four sides, Keras' and this one on two",
    ),
    (
        "torch",
        "darknet53|cspdarknet53",
        "timm's have leaky ReLUs of slope 0.01, where Darknet's slope is 0.1, or Mish",
    ),
    ("caffe", "(resnet50|resnet101|resnet152)", r"Caffe's have their strides elsewhere: \1_v1"),
    ("caffe", "alexnet_single|alexnet_owt", "Caffe's has two groups: alexnet here"),
    ("darknet", r"alexnet|alexnet_owt", "Darknet's has one tower: alexnet_single here"),
    (
        "darknet",
        _RESNET,
        "Darknet's have leaky ReLUs, and shortcuts that add to some of the channels alone",
    ),
)


def of(kind: str, network: str) -> Source | None:
    """How a format ("keras", "torch", "caffe", "darknet") holds `network`, None if not."""
    fits = (source for source in SOURCES[kind] if re.fullmatch(source.networks, network))
    return next(fits, None)


def held(kind: str, network: str, file: str, backbone: str | None = None) -> str:
    """The network whose weights a file of this name holds: `network`, or the body it stands on.

    backbone: that body where it is not the network's own. Darknet's detectors are published whole,
    their bodies, cut off behind the N-th layer, as NAME.conv.N.
    """
    own = BACKBONES.get(network, network)
    body = backbone or own
    whole = body == own and of(kind, network) and not re.fullmatch(r".*\.conv\.\d+", file)
    return network if whole else body


def why_not(kind: str, network: str) -> str:
    """Why a format's published files of that name are not `network`; empty where there are none."""
    for other, pattern, why in OTHERS:
        match = re.fullmatch(pattern, network)
        if other == kind and match:
            return match.expand(why)
    return ""
