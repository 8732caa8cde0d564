"""What a row of the table of networks holds, and the preprocessings that rows share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from convoy.models.spec import Preprocess, Sentence, Signal


class Family(NamedTuple):
    module: str  # dotted path; its build(variant, ...) makes the network
    task: str  # a name of models/tasks.py
    paper: str
    year: int
    options: tuple[str, ...] = ()  # of models.registry.OPTIONS: what its build() takes
    aux_weight: float = 0.0  # of the loss of each auxiliary head, where a variant has heads
    takes: tuple[str, ...] = ()  # of models.spec.Task: what it is given beside the picture
    crops: bool = False  # its backbone sees regions, each at that network's own default size


class Row(NamedTuple):
    family: Family
    params: int  # learnable
    macs: int  # for one input of the default size
    num_classes: int
    preprocess: Preprocess | Sentence | Signal
    backbone: str = ""  # of a detector: the network that it stands on
    backbone_options: Mapping[str, object] = {}  # that network's, beside those asked for


# Preprocessing that the published weights of each source were trained with.
CAFFE = Preprocess(
    size=(224, 224),
    resize="crop",
    crop_pct=0.875,
    mean=(103.939, 116.779, 123.68),
    channel_order="bgr",
)
TORCH = Preprocess(
    size=(224, 224),
    resize="crop",
    crop_pct=0.875,
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
CAFFE_GOOGLENET = dataclasses.replace(CAFFE, mean=(104.0, 117.0, 123.0))
INCEPTION = Preprocess(size=(224, 224), resize="crop", crop_pct=0.875, mean=(127.5,), std=(127.5,))
INCEPTION_299 = dataclasses.replace(INCEPTION, size=(299, 299))
DARKNET = Preprocess(size=(256, 256), resize="crop", scale=1 / 255)
DARKNET_224 = dataclasses.replace(DARKNET, size=(224, 224))
CIFAR = Preprocess(
    size=(32, 32), scale=1 / 255, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)
)
# White digits on black: background -0.1, ink 1.175.
GRAY_32 = Preprocess(size=(32, 32), scale=1.275 / 255, mean=(0.1,), channel_order="gray")
GRAY_28 = dataclasses.replace(GRAY_32, size=(28, 28))
# Black -1, white 1.
GRAY_16 = Preprocess(size=(16, 16), scale=2 / 255, mean=(1.0,), channel_order="gray")
GRAY_83 = dataclasses.replace(GRAY_16, size=(83, 83))
CAFFE_227 = dataclasses.replace(CAFFE, size=(227, 227), crop_pct=227 / 256)
TORCH_448 = dataclasses.replace(TORCH, size=(448, 448))
# Deviation and mean of all of ImageNet's values.
OVERFEAT_231 = Preprocess(
    size=(231, 231), resize="crop", crop_pct=231 / 256, mean=(118.380948,), std=(61.896913,)
)
OVERFEAT_221 = dataclasses.replace(OVERFEAT_231, size=(221, 221), crop_pct=221 / 256)
