"""The table of networks that find keypoints: name -> Row."""

from __future__ import annotations

import dataclasses

from convoy.models.rows import TORCH, Family, Row
from convoy.models.spec import Preprocess

OPENPOSE = Family(
    "convoy.models.pose.openpose",
    "pose",
    "Cao, Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, "
    "https://arxiv.org/abs/1611.08050",
    2017,
    ("keypoints",),
)
OPENPOSE_ON_ANY = OPENPOSE._replace(
    paper="Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, "
    "https://arxiv.org/abs/1811.12004",
    year=2018,
    options=("width", "backbone", "keypoints"),
)
REGRESSION = Family(
    "convoy.models.pose.keypoints",
    "pose",
    "Toshev, DeepPose: Human Pose Estimation via Deep Neural Networks, "
    "https://arxiv.org/abs/1312.4659",
    2014,
    ("width", "backbone"),
)
HEAT_MAPS = REGRESSION._replace(
    paper="Xiao, Simple Baselines for Human Pose Estimation and Tracking, "
    "https://arxiv.org/abs/1804.06208",
    year=2018,
)

CMU = Preprocess(
    size=(368, 368), resize="letterbox", scale=1 / 256, mean=(0.5,), channel_order="bgr"
)
ANY_368 = Preprocess(size=(368, 368), resize="letterbox", mean=(127.5,), std=(127.5,))
TORCH_256 = dataclasses.replace(TORCH, size=(256, 256), resize="letterbox", crop_pct=1.0)
CAFFE_VGG = {"pool_padding": "same"}  # poolings rounded up

ROWS = {
    "openpose_coco": Row(OPENPOSE, 52_311_446, 135_934_006_784, 17, CMU, "vgg19", CAFFE_VGG),
    "openpose_mpi": Row(OPENPOSE, 51_481_032, 134_177_015_808, 16, CMU, "vgg19", CAFFE_VGG),
    "openpose_mobilenet": Row(
        OPENPOSE_ON_ANY, 2_924_523, 3_988_643_072, 17, ANY_368, "mobilenet_v1"
    ),
    "keypoint_regression": Row(REGRESSION, 11_520_738, 2_373_206_016, 17, TORCH_256, "resnet18"),
    "keypoint_heatmaps": Row(HEAT_MAPS, 33_999_697, 7_235_174_400, 17, TORCH_256, "resnet50"),
}
