"""The laws of first weights: one row per family, with its source; see test_initializers.py.

A row names the source and gives the law of each kernel and bias by the layer's name; laws are
formulas of the kernel's shape, written out here.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Law(NamedTuple):
    """A distribution around `mean` whose standard deviation is `deviation(kernel's shape)`."""

    kind: str  # "normal" | "uniform" | "truncated", at two deviations | "constant"
    deviation: object = None  # shape [taps..., inputs that an output sees, outputs] -> number
    mean: float = 0.0


def taps(shape) -> int:
    return math.prod(shape[:-2])


def fan_in(shape) -> int:
    """Values that an output sees; of a dense kernel [inputs, outputs] its inputs."""
    return taps(shape) * shape[-2]


def fan_out(shape) -> int:
    return taps(shape) * shape[-1]


def normal(deviation: float) -> Law:
    return Law("normal", lambda shape: deviation)


def truncated(deviation: float) -> Law:
    """TensorFlow's truncated_normal(deviation), of which 0.87962566 is left inside +-2."""
    return Law("truncated", lambda shape: 0.87962566 * deviation)


def uniform(limit: float) -> Law:
    return Law("uniform", lambda shape: limit / math.sqrt(3))


def constant(value: float) -> Law:
    return Law("constant", mean=value)


ZERO, ONE = constant(0.0), constant(1.0)
HE = Law("truncated", lambda shape: math.sqrt(2 / fan_in(shape)))
HE_NORMAL = Law("normal", lambda shape: math.sqrt(2 / fan_in(shape)))
HE_FAN_OUT = Law("normal", lambda shape: math.sqrt(2 / fan_out(shape)))
GLOROT = Law("uniform", lambda shape: math.sqrt(2 / (fan_in(shape) + fan_out(shape))))
FAN_IN = Law("uniform", lambda shape: math.sqrt(1 / fan_in(shape)))  # LeCun 1998; Caffe's xavier
TORCH = Law("uniform", lambda shape: math.sqrt(1 / 3 / fan_in(shape)))  # +-1 / sqrt(fan-in)
DARKNET = Law("uniform", lambda shape: math.sqrt(2 / 3 / fan_in(shape)))  # +-sqrt(2 / fan-in)
LECUN_1989 = Law("uniform", lambda shape: 2.4 / fan_in(shape) / math.sqrt(3))  # +-2.4 / fan-in
# Of every family where its row says nothing else.
COMMON = {
    "*/bias": ZERO,
    "*/gamma": ONE,
    "*/beta": ZERO,
    "*/moving_mean": ZERO,
    "*/moving_variance": ONE,
}


class Row(NamedTuple):
    source: str
    laws: dict[str, Law]  # "layer/weight" -> law; the first pattern that matches holds
    by_hand: dict[str, float]  # "layer/weight" -> standard deviation, worked out with a pencil


def row(source: str, by_hand: dict[str, float], *, laws: dict[str, Law]) -> Row:
    return Row(source, laws | {key: COMMON[key] for key in COMMON.keys() - laws.keys()}, by_hand)


# What a row is of: networks of one family that start alike.
ROWS = {
    ("lecun1989",): row(
        "LeCun 1989: uniform in +-2.4 / fan-in",
        # 2.4 / 25 / sqrt(3); 2.4 / 200 / sqrt(3); 2.4 / 192 / sqrt(3)
        {"h1_conv/kernel": 0.055426, "h2_conv/kernel": 0.0069282, "h3/kernel": 0.0072169},
        laws={"*/kernel": LECUN_1989},
    ),
    ("lenet5_1998",): row(
        "LeCun 1998, appendix A: uniform in +-2.4 / fan-in of the unit",
        # 2.4 / 4 / sqrt(3); 2.4 / 400 / sqrt(3); 2.4 / 120 / sqrt(3)
        {"s2/coefficient": 0.34641, "c5/kernel": 0.0034641, "f6/kernel": 0.011547},
        # c3 has a test of its own: its maps see 3, 4 or 6 others.
        laws={
            "*/coefficient": uniform(2.4 / 4),
            "c3/kernel": Law("any"),
            "*/kernel": LECUN_1989,
        },
    ),
    ("lenet5",): row(
        "Glorot 2010, as in Caffe's examples/mnist and most later readings",
        {"conv1/kernel": 0.10690, "fc1/kernel": 0.062017},  # sqrt(2 / 175), sqrt(2 / 520)
        laws={"*/kernel": GLOROT},
    ),
    ("caltech_convnet", "caltech_convnet_rn"): row(
        "LeCun 1998, Efficient BackProp, 4.6: variance 1 / fan-in",
        {"stage1_conv/kernel": 1 / 9, "stage2_conv/kernel": 1 / 36},  # 81; 16 maps of 81
        laws={"*/kernel": FAN_IN},
    ),
    ("alexnet", "alexnet_single", "caffenet"): row(
        "Krizhevsky 2012, section 5",
        {"conv2/kernel": 0.01, "fc7/kernel": 0.01},
        laws={
            "*/kernel": normal(0.01),
            **dict.fromkeys(("conv[245]/bias", "fc[67]/bias"), ONE),
        },
    ),
    ("alexnet_owt",): row(
        "torchvision: PyTorch's defaults",
        # 1 / sqrt(3 * 363), of conv2 1 / sqrt(3 * 1600), of fc7 1 / sqrt(3 * 4096)
        {
            "conv1/kernel": 0.030303,
            "conv2/kernel": 0.014434,
            "conv2/bias": 0.014434,
            "fc7/kernel": 0.0090211,
        },
        laws={"*/kernel": TORCH, "*/bias": TORCH},
    ),
    ("zfnet",): row(
        "Zeiler 2013, section 3", {"fc6/kernel": 0.01}, laws={"*/kernel": normal(0.01)}
    ),
    ("vgg_m_1024",): row(
        "Chatfield 2014, section 3", {"fc7/kernel": 0.01}, laws={"*/kernel": normal(0.01)}
    ),
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
    ("spp_net_zf5",): row("zfnet's", {"fc6/kernel": 0.01}, laws={"*/kernel": normal(0.01)}),
    ("overfeat_fast",): row(
        "Sermanet 2014, section 3.2", {"conv3/kernel": 0.01}, laws={"*/kernel": normal(0.01)}
    ),
    ("vgg16",): row(
        "Simonyan 2014, section 3.1, after submission: Glorot 2010; keras.applications",
        # sqrt(2 / (27 + 576)), sqrt(2 / (2 * 4608))
        {"block1_conv1/kernel": 0.057591, "block5_conv3/kernel": 0.014731},
        laws={"*/kernel": GLOROT},
    ),
    ("vgg11", "vgg11_bn"): row(
        "torchvision: kaiming_normal_(fan_out), normal_(0, 0.01)",
        # sqrt(2 / (9 * 64)), sqrt(2 / (9 * 128))
        {"block1_conv1/kernel": 0.058926, "block2_conv1/kernel": 0.041667, "fc2/kernel": 0.01},
        laws={"block*/kernel": HE_FAN_OUT, "*/kernel": normal(0.01)},
    ),
    ("googlenet", "googlenet_aux"): row(
        "Caffe's bvlc_googlenet: \"xavier\", biases 0.2 but for the classifiers'",
        # 1 / sqrt(147), 1 / sqrt(9 * 96)
        {"stem_conv1/kernel": 0.082479, "inception3a_branch2_conv2/kernel": 0.034021},
        laws={"*logits/bias": ZERO, "*/bias": constant(0.2), "*/kernel": FAN_IN},
    ),
    ("googlenet_bn_aux",): row(
        "torchvision: trunc_normal_(std=0.01, a=-2, b=2), which is normal; Linear's own biases",
        # bias 1 / sqrt(3 * 1024)
        {"stem_conv1/kernel": 0.01, "logits/kernel": 0.01, "aux1_logits/bias": 0.018042},
        laws={"*logits/bias": TORCH, "aux*_fc/bias": TORCH, "*/kernel": normal(0.01)},
    ),
    ("inception_v2",): row(
        "tf_slim: truncated_normal of 1.0, 0.1 and 0.09, else variance_scaling_initializer()",
        # 0.8796 of each; sqrt(2 / (9 * 64))
        {
            "stem_depthwise/kernel": 0.87963,
            "stem_conv1/kernel": 0.087963,
            "mixed3b_branch2_conv1/kernel": 0.079166,
            "mixed3b_branch2_conv2/kernel": 0.058926,
            "mixed3b_branch4_conv2/kernel": 0.087963,
        },
        laws={
            "stem_depthwise/kernel": truncated(1.0),
            "stem_pointwise/kernel": truncated(1.0),
            "stem_conv1/kernel": truncated(0.1),
            "mixed[45]a_branch[12]_conv1/kernel": truncated(0.09),
            "mixed*_branch[23]_conv1/kernel": truncated(0.09),
            "mixed*_branch4_conv2/kernel": truncated(0.1),
            "*/kernel": HE,
        },
    ),
    ("inception_v3",): row(
        "keras.applications",
        {"stem_conv1/kernel": 0.079682},  # sqrt(2 / (27 + 288))
        laws={"*/kernel": GLOROT},
    ),
    ("inception_v3_aux",): row(
        "torchvision: trunc_normal_(std=0.1, a=-2, b=2), which is normal",
        # bias 1 / sqrt(3 * 2048)
        {"stem_conv1/kernel": 0.1, "aux1_logits/kernel": 0.001, "logits/bias": 0.012758},
        laws={
            "aux1_logits/kernel": normal(0.001),
            "*logits/bias": TORCH,
            "*/kernel": normal(0.1),
        },
    ),
    ("inception_resnet_v2",): row(
        "keras.applications, and tf_slim's default",
        {"stage17_block1_up/kernel": 0.036860},  # sqrt(2 / (384 + 1088))
        laws={"*/kernel": GLOROT},
    ),
    ("resnet18", "resnet50_v1"): row(
        "torchvision: kaiming_normal_(fan_out), Linear's own",
        # sqrt(2 / (49 * 64)), sqrt(2 / (9 * 64))
        {"stem_conv/kernel": 0.025254, "stage1_block1_conv2/kernel": 0.058926},
        laws={"logits/*": TORCH, "*/kernel": HE_FAN_OUT},
    ),
    ("weldon_resnet101",): row(
        "resnet's, and PyTorch's for the scores",
        {"scores/kernel": 0.012758},  # 1 / sqrt(3 * 2048)
        laws={"scores/*": TORCH, "*/kernel": HE_FAN_OUT},
    ),
    ("resnet18_v2", "resnet50_v2"): row(
        "He 2016's code and timm: variance 2 / fan-out; timm's last layer",
        {"stage1_block1_conv2/kernel": 0.058926, "logits/kernel": 0.01},
        laws={"logits/kernel": normal(0.01), "*/kernel": HE_FAN_OUT},
    ),
    ("resnet50_v2_keras",): row(
        "keras.applications",
        {"stage1_block1_conv2/kernel": 0.041667},  # sqrt(2 / (2 * 576))
        laws={"*/kernel": GLOROT},
    ),
    ("lm_resnet20", "lm_resnet164"): row(
        "the authors' code: normal with variance 2 / fan-out, Linear's own, k in U(-0.1, 0)",
        {"stem_conv/kernel": 0.11785},  # sqrt(2 / (9 * 16))
        laws={"*_step/k": Law("any"), "logits/*": TORCH, "*/kernel": HE_FAN_OUT},
    ),
    ("darknet19", "darknet53", "darknet_reference"): row(
        "Redmon's make_convolutional_layer: normal, variance 2 / fan-in",
        {"logits/kernel": 0.044194},  # sqrt(2 / 1024)
        laws={"*/kernel": HE_NORMAL},
    ),
    ("cspdarknet53_tiny",): row(
        "Bochkovskiy's fork, as cspdarknet53",
        {"stage1_conv1/kernel": 0.034021},  # sqrt(2 / (3 * 576))
        laws={"*/kernel": DARKNET},
    ),
    ("cspdarknet53",): row(
        "Bochkovskiy's fork: sqrt(2 / fan-in) times uniform in +-1",
        {"stem_conv/kernel": 0.15713, "logits/kernel": 0.025516},  # sqrt(2 / 81), sqrt(2 / 3072)
        laws={"*/kernel": DARKNET},
    ),
    ("mobilenet_v1",): row(
        "keras.applications, whose fan-in of a depthwise kernel counts all maps",
        # a quarter of the width: sqrt(2 / (27 + 72)), sqrt(2 / (72 + 9)), sqrt(2 / (8 + 16))
        {
            "stem_conv/kernel": 0.14213,
            "block1_depthwise/kernel": 0.15713,
            "block1_pointwise/kernel": 0.28868,
        },
        laws={"*/kernel": GLOROT},
    ),
    ("mobilenet_v2",): row(
        "keras.applications, as mobilenet_v1",
        {"block0_depthwise/kernel": 0.11433},  # 16 maps: sqrt(2 / (144 + 9))
        laws={"*/kernel": GLOROT},
    ),
    ("mobilenet_v3_small",): row(
        "keras.applications, as mobilenet_v1",
        {"block0_depthwise/kernel": 0.11433},
        laws={"*/kernel": GLOROT},
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
    ("fcn",): row(
        "mobilenet_v1's; Long 2014, section 4.1: scores start at zero",
        {"stem_conv/kernel": 0.14213},
        laws={"s*_logits/kernel": ZERO, "*/kernel": GLOROT},
    ),
    ("fcn8s_vgg16", "fcn8s_atonce_vgg16"): row(
        "vgg16's; Caffe's VGG for fc6 and fc7; zero scores, fixed bilinear deconvolutions",
        {"block1_conv1/kernel": 0.057591, "fc6/kernel": 0.005},
        laws={
            "s16_scale/gamma": constant(0.01),
            "s8_scale/gamma": constant(0.0001),
            "*up*x/kernel": Law("any"),  # tests/models/test_upsampling.py
            "s*_logits/kernel": ZERO,
            "fc*/kernel": normal(0.005),
            "*/kernel": GLOROT,
        },
    ),
    ("segnet_basic", "segnet"): row(
        "Badrinarayanan 2015, section 3.1: He 2015",
        # a quarter of the width: sqrt(2 / 147), sqrt(2 / 784)
        {"block1_conv1/kernel": 0.11664, "decoder1_conv1/kernel": 0.050508},
        laws={"*/kernel": HE},
    ),
    ("unet", "unet_same"): row(
        "Ronneberger 2015, section 3: N(0, sqrt(2 / N)); an output of a 2x2 stride 2 one sees C",
        # an eighth of the width: sqrt(2 / 9), sqrt(2 / 128)
        {"down1_conv1/kernel": 0.47140, "up4_transpose/kernel": 0.125},
        laws={
            # Keras' kernel is [h, w, outputs, inputs].
            "up*_transpose/kernel": Law("normal", lambda shape: math.sqrt(2 / shape[-1])),
            "*/kernel": HE_NORMAL,
        },
    ),
    ("dilation8_vgg16",): row(
        "vgg16's; authors' N(0, 0.001); the identity of equation 5 has a test of its own",
        {"s8_logits/kernel": 0.001},
        laws={
            "context*/kernel": Law("any"),
            "s8_logits/kernel": normal(0.001),
            "fc*/kernel": normal(0.005),
            "*/kernel": GLOROT,
        },
    ),
    ("text_cnn_rand", "text_cnn_multichannel"): row(
        "Kim 2014's code: U(-0.25, 0.25), U(-0.01, 0.01), the last layer zero",
        {"conv3/kernel": 0.0057735},  # 0.01 / sqrt(3)
        laws={
            "*vectors/embeddings": uniform(0.25),
            "logits/kernel": ZERO,
            "*/kernel": uniform(0.01),
        },
    ),
}
