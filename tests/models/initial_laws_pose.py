"""The first weights of networks that find keypoints; see initial_laws.py."""

from __future__ import annotations

from tests.models.initial_laws import GLOROT, HE, normal, row

POSES = {
    ("openpose_coco",): row(
        "vgg19's; authors' prototxt: gaussian of 0.01",
        {"features_conv1/kernel": 0.01, "stage6_heat_conv5/kernel": 0.01},
        laws={"block*/kernel": GLOROT, "*/kernel": normal(0.01)},
    ),
    ("openpose_mobilenet",): row(
        "mobilenet_v1's; He 2015, the last of each stage as openpose_coco's",
        # a quarter of the width: sqrt(2 / 288) of 32 features, sqrt(2 / 144) of 16 channels
        {"features_conv1/kernel": 0.083333, "stage1_paf_conv2/kernel": 0.11785},
        laws={
            "stage*_logits/kernel": normal(0.01),
            "features*/kernel": HE,
            "s*_lateral/kernel": HE,
            "stage*/kernel": HE,
            "*/kernel": GLOROT,
        },
    ),
    ("keypoint_regression",): row(
        "mobilenet_v1's; He 2015, then N(0, 0.01)",
        {"narrow/kernel": 0.088388, "logits/kernel": 0.01},  # sqrt(2 / 256)
        laws={"narrow/kernel": HE, "logits/kernel": normal(0.01), "*/kernel": GLOROT},
    ),
    ("keypoint_heatmaps",): row(
        "mobilenet_v1's; Xiao 2018, the authors' code: N(0, 0.001)",
        {"up1/kernel": 0.001, "logits/kernel": 0.001},
        laws={"up?/kernel": normal(0.001), "logits/kernel": normal(0.001), "*/kernel": GLOROT},
    ),
}
