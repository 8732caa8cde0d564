"""The contracts between networks and everything that runs them.

A task object (`Classifier`, `Detector`, ...) carries the same five fields, so the training step,
the evaluator and the export never ask which network they hold. `info.task` says what it is for.
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

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.size, self.channels)


@dataclasses.dataclass(frozen=True)
class Sentence:
    """How a sentence becomes the input of a text network: see models/text/tokens.py."""

    words: int = 56  # the first ones are seen; shorter sentences end with empty words
    margin: int = 4  # empty words on each side

    @property
    def length(self) -> int:
        return self.words + 2 * self.margin

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a network without building it."""

    name: str
    task: str  # "classification" | "detection" | "text"; built ones: what they were built for
    paper: str  # title and address
    year: int
    params: int  # learnable parameters (BatchNorm's running statistics not counted), at num_classes
    macs: int  # multiply-accumulates of convolutions and dense layers for one default input
    num_classes: int  # of the reference; detectors: without background
    preprocess: Preprocess | Sentence


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A classification network, for one class a picture or several, and how to train and read it.

    model:  images [B, H, W, C] float32 0..255 -> logits [B, K] float32; with auxiliary heads
            {"logits": [B, K], "aux1": [B, K], ...}
    encode: (labels [M] int64) -> {"label": int64 scalar}; TensorFlow, runs inside tf.data.
            Several: (dict of labels and objects) -> {"labels": [K] float32}
    loss:   (targets, outputs) -> ({"cls": float32 scalar summed over the batch, and a weighted one
            for each auxiliary head}, normalizer)
    decode: (outputs) -> {"scores": [B, K] float32, "classes": [B] int64}. Several:
            (outputs, label_threshold, label_count) -> {"scores": [B, K], "chosen": [B, K] bool}
    """

    model: keras.Model
    encode: Callable
    loss: Callable
    decode: Callable
    info: ModelInfo


@dataclasses.dataclass(frozen=True)
class Localizer:
    """A classification network with a second head, for the box of the picture's one object.

    model:  images [B, H, W, C] float32 0..255 -> {"logits": [B, K], "box": [B, 4], ...} float32
    encode: (dict of boxes [M, 4] pixels of the input, classes [M], valid [M]) ->
            {"label": int64, "box": [4] in parts of the input's sides, "there": float32 0 or 1}
    loss:   (targets, outputs) -> ({"cls": scalar, "loc": scalar} summed over the batch, normalizer)
    decode: (outputs) -> {"scores": [B, K] float32, "classes": [B] int64,
            "box": [B, 4] pixels of the input}
    """

    model: keras.Model
    encode: Callable
    loss: Callable
    decode: Callable
    info: ModelInfo


@dataclasses.dataclass(frozen=True)
class TextClassifier:
    """A network for sentences and how to train and read it.

    model:  numbers of words [B, L] int32 -> logits [B, K] float32
    encode: (dict of text and labels) -> {"label": int64 scalar, "tokens": [L] int32}
    loss, decode: as a Classifier's
    tokens: a tf.Module, strings [B] -> [B, L] int32; goes into the export; None without TensorFlow
    """

    model: keras.Model
    encode: Callable
    loss: Callable
    decode: Callable
    info: ModelInfo
    tokens: Callable | None


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
