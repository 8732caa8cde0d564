"""What a row of the table of networks holds, and the preprocessings that rows share."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from models.spec import Preprocess


class Family(NamedTuple):
    module: str  # dotted path; its build(variant, ...) makes the network
    task: str  # "classification" | "detection"
    paper: str
    year: int
    options: tuple[str, ...] = ()  # what build() takes of "width" and "dropout"
    aux_weight: float = 0.0  # of the loss of each auxiliary head, where a variant has heads


class Row(NamedTuple):
    family: Family
    params: int  # learnable
    macs: int  # for one input of the default size
    num_classes: int
    preprocess: Preprocess


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
INCEPTION = Preprocess(size=(224, 224), resize="crop", crop_pct=0.875, mean=(127.5,), std=(127.5,))
# White digits on black: background -0.1, ink 1.175.
GRAY_32 = Preprocess(size=(32, 32), scale=1.275 / 255, mean=(0.1,), channel_order="gray")
GRAY_28 = dataclasses.replace(GRAY_32, size=(28, 28))
