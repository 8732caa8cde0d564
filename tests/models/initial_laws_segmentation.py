"""The first weights of segmentation networks; see initial_laws.py."""

from __future__ import annotations

import math

from tests.models.initial_laws import GLOROT, HE, HE_NORMAL, ZERO, Law, constant, normal, row

SEGMENTERS = {
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
}
