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
    ("wave_m3",): row(
        "Dai 2017: Glorot's",
        {"conv1_1/kernel": 0.0098629},  # 256 filters of 80: sqrt(2 / (80 + 80 * 256))
        laws={"*/kernel": GLOROT},
    ),
    ("cnn_trad_fpool3",): row(
        "no law in the paper: Glorot's, as Keras has it",
        {"conv1/kernel": 0.0138675},  # sqrt(2 / (20 * 8 * 1 + 20 * 8 * 64))
        laws={"*/kernel": GLOROT},
    ),
    ("series_fcn",): row(
        "Wang 2017's code: Keras' Glorot uniform",
        {"conv1/kernel": 0.0436852},  # of 3 channels: sqrt(2 / (8 * 3 + 8 * 128))
        laws={"*/kernel": GLOROT},
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
