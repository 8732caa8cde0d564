"""The contracts between networks and everything that runs them.

A task object (`Classifier`, `Detector`) carries the same five fields, so the training step, the
evaluator and the export never ask which network they hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # listing networks must not import TensorFlow
    import keras


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the network's input. It travels with the weights.

    Networks take RGB (or gray) floats in [0, 255]; the first layer computes
    `(x[channel_order] * scale - mean) / std` from these values.
    """

    size: tuple[int, int]  # default input (height, width), pixels
    resize: str = "stretch"  # "stretch" | "crop" (short side, then centre) | "letterbox" (pad)
    crop_pct: float = 1.0  # "crop": the centre crop is this part of the resized short side
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)  # after scale, in channel_order
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"  # "rgb" | "bgr" | "gray"

    @property
    def channels(self) -> int:
        return 1 if self.channel_order == "gray" else 3


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a network without building it."""

    name: str
    task: str  # "classification" | "detection"
    paper: str  # title and address
    year: int
    params: int  # learnable parameters (BatchNorm's running statistics not counted), at num_classes
    macs: int  # multiply-accumulates of convolutions and dense layers for one default input
    num_classes: int  # of the reference; detectors: without background
    preprocess: Preprocess


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classification network and how to train and read it.

    model:  images [B, H, W, C] float32 0..255 -> logits [B, K] float32; with auxiliary heads
            {"logits": [B, K], "aux1": [B, K], ...}
    encode: (labels [M] int64) -> {"label": int64 scalar}; TensorFlow, runs inside tf.data
    loss:   (targets, outputs) -> ({"cls": float32 scalar summed over the batch, and a weighted one
            for each auxiliary head}, normalizer)
    decode: (outputs) -> {"scores": [B, K] float32, "classes": [B] int64}
    """

    model: keras.Model
    encode: Callable
    loss: Callable
    decode: Callable
    info: ModelInfo


@dataclasses.dataclass(frozen=True)
class Detector:
    """A detection network and how to train and read it. K classes, N priors, D detections.

    model:  images [B, H, W, 3] float32 0..255 -> dict of raw float32 outputs, e.g.
            {"cls": [B, N, K + 1], "box": [B, N, 4]}
    encode: (boxes [M, 4] pixels of the network input, classes [M] int64, valid [M] bool) ->
            targets, a dict of tensors of fixed shape; TensorFlow, runs inside tf.data
    loss:   (targets, outputs) -> ({"cls": scalar, "box": scalar} summed over the batch, normalizer)
    decode: (outputs, score_threshold, iou_threshold, max_detections) ->
            {"boxes": [B, D, 4] pixels of the network input, "scores": [B, D],
             "classes": [B, D] int64, "valid": [B, D] bool}; goes into the export graph
    """

    model: keras.Model
    encode: Callable
    loss: Callable
    decode: Callable
    info: ModelInfo
