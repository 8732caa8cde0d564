"""The contracts between networks and everything that runs them.

One `Task` for every network: the training step, the evaluator, the server and the export call its
functions and never ask which network, or which task, they hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # listing networks must not import TensorFlow
    import keras
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Channels:
    """Pictures of another number of channels than the network's, or of 16 bits; their statistics.

    Of 16 bits a value v is v / 257, so that networks see 0 to 255 whatever the bits.
    """

    count: int
    bits: int = 8  # 8 | 16
    mean: tuple[float, ...] = (0.0,)  # of each channel, or of all
    std: tuple[float, ...] = (1.0,)

    @staticmethod
    def read(told: Mapping) -> Channels:
        """Of the fields as JSON has them."""
        mean, std = (tuple(map(float, told[name])) for name in ("mean", "std"))
        return Channels(int(told["count"]), int(told["bits"]), mean, std)

    def of(self, preprocess: Preprocess) -> Preprocess:
        """A network's preprocessing for such pictures: each channel standardised by its own mean
        and deviation. It stays as it is where the pictures are what the network was made for.
        """
        if (self.count, self.bits) == (preprocess.channels, 8):
            return preprocess
        return dataclasses.replace(
            preprocess,
            scale=1.0,
            mean=self.mean,
            std=self.std,
            channel_order="bands",
            bands=self.count,
            bits=self.bits,
        )


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the network's input. It travels with the weights.

    Networks take RGB (or gray, or other channels) floats in [0, 255]; the first layer computes
    `(x[channel_order] * scale - mean) / std` from these values.
    """

    size: tuple[int, int]  # default input (height, width), pixels; "whole": what a step learns of
    # "stretch" | "crop" (short side, then centre) | "letterbox" (pad) | "whole": pictures of any
    # size stay as they are
    resize: str = "stretch"
    crop_pct: float = 1.0  # "crop": the centre crop is this part of the resized short side
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)  # after scale, in channel_order
    std: tuple[float, ...] = (1.0,)
    channel_order: str = "rgb"  # "rgb" | "bgr" | "gray" | "bands": `bands` channels, as they come
    margin: int = 0  # pixels on each side of the input that mirror what lies inside them
    bands: int = 0  # channels, of "bands"
    bits: int = 8  # of the values of pictures: of 16 bits the network sees v / 257

    @property
    def channels(self) -> int:
        return {"gray": 1, "bands": self.bands}.get(self.channel_order, 3)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.size, self.channels)

    @property
    def whole(self) -> bool:
        """Whether pictures keep their size, whatever it is."""
        return self.resize == "whole"

    @property
    def inside(self) -> Preprocess:
        """The same without its margin: where the picture is placed, and what is learnt of it."""
        height, width = self.size
        size = (height - 2 * self.margin, width - 2 * self.margin)
        return dataclasses.replace(self, size=size, margin=0)


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


SERIES_RATE = 1  # samples per second that the WAV file of a series of numbers says


@dataclasses.dataclass(frozen=True)
class Signal:
    """How a sound or a series becomes the input of its network: see models/signals/waves.py."""

    samples: int  # that are seen: the middle of longer signals; zeros around shorter ones
    # Samples per second, to which sounds of other rates are brought, and whose channels are
    # averaged; 0: series, which stay as they are.
    rate: int = 0
    channels: int = 1
    standardized: bool = False  # mean 0, deviation 1, of what is seen of each signal

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.samples, self.channels)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a network without building it."""

    name: str
    task: str  # a name of models/tasks.py: of a built network what it was built for
    paper: str  # title and address
    year: int
    params: int  # learnable parameters (BatchNorm's running statistics not counted), at num_classes
    macs: int  # multiply-accumulates of convolutions and dense layers for one default input
    num_classes: int  # of the reference; detectors: without background
    preprocess: Preprocess | Sentence | Signal


@dataclasses.dataclass(frozen=True, eq=False)
class Priors:
    """A detector's reference boxes, and how much an object must overlap one to be learnt by it."""

    boxes: np.ndarray  # [N, 4] float32 ymin, xmin, ymax, xmax in pixels of the network's input
    threshold: float  # least intersection over union


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Layers of a network on given regions whose weights are solved for, not learnt by steps.

    Names of layers: `features` [B, R, D], which the SVMs `svm` [B, R, K] see; `maps` [B, R, E],
    from which `box` [B, R, 4 K] finds codes with variances of 1. The fitted layers start as zeros.
    """

    features: str
    maps: str
    svm: str
    box: str


def on_pictures(model, batch):
    """The outputs for the pictures of a batch, in training mode: what most networks learn from."""
    return model(batch["image"], training=True)


def seen(image, given: Mapping, takes: Sequence[str]):
    """What a model is called with: the pictures, or a list of them and what else it takes."""
    return [image, *(given[name] for name in takes)] if takes else image


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A network, what it learns and what it answers. B pictures, K classes.

    model:      pictures [B, H, W, C] float32 0..255 (text: numbers of words [B, L] int32; signals:
                samples [B, T, C] float32) -> a tensor, or a dict of tensors, float32
    encode:     one dict of a picture's annotation, the fields that the task's row names, as
                `data.input.input.training_example` describes them -> a dict of tensors of fixed
                shapes; TensorFlow, runs inside tf.data
    loss:       (targets, outputs) -> {name: (scalar summed over the batch, its normalizer)}, both
                float32. The trainer sums each over all replicas, divides by max(normalizer, 1) and
                adds up
    decode:     (outputs, **limits) -> what was predicted, in pixels of the network's input; part
                of the exported graph. limits: keys of a recipe's `export` that the row names
    answer:     (decoded, matrices, sizes, names) -> what is served, in pixels of the pictures sent.
                matrices [B, 3, 3] map those onto the network's input, sizes [B, 2] are theirs
                (height, width), both None without pictures; names [K]: a string tensor. TensorFlow
    stacked:    `answer` of pictures of one size, where it differs: maps [B, H, W, ...] that
                `answer`, whose pictures may have any size, encodes one by one
    around:     of a model that sees something else than pictures: (a form of it) -> what is called
                with the batch's inputs in its place, where it is served and evaluated
    difference: (expected, received, **limits) -> how far two batches of answers are apart, as one
                number that `export.tolerance` bounds; NumPy
    reads:      the outputs that `decode` reads, where the model gives a dict; the others serve
                training alone and are not exported. () = all
    wiring:     (model, batch) -> outputs in training; a network that needs the truth of a batch
                to choose what it looks at, as two-stage detectors do, has its own
    opened:     of text and signals: a tf.Module, strings [B] -> the model's input; it goes into the
                export. None without TensorFlow
    priors:     of a detector that has them
    takes:      names of what the model is given beside the picture, after it in a list: inputs of
                these names in batches, requests and signatures. "proposals" [B, R, 4] float32 are
                boxes, those of a request in pixels of the picture sent, those of the model in
                pixels of its input; rows without area are none. "frames" are the two pictures
                before and the two behind it in a film: [B, 4] encoded ones of a request, "" the
                picture itself; [B, H, W, 12] of the model. The network's row names them
    fitted:     of a network with layers that are fitted after its training
    windows:    [N, 4] boxes in pixels of the model's input that it is given with every picture, as
                `proposals` that nobody sends
    at_once:    rows of proposals or windows of each picture that the model runs on at a time where
                it is served and evaluated, which bounds its memory; 0 = all
    """

    model: keras.Model
    info: ModelInfo
    encode: Callable
    loss: Callable
    decode: Callable
    answer: Callable
    difference: Callable
    stacked: Callable | None = None
    around: Callable | None = None
    reads: tuple[str, ...] = ()
    wiring: Callable = on_pictures
    opened: Callable | None = None
    priors: Priors | None = None
    takes: tuple[str, ...] = ()
    fitted: Fitted | None = None
    windows: np.ndarray | None = None
    at_once: int = 0

    def forward(self, batch):
        """The model's outputs for a batch {"image", "targets", ...}, in training mode."""
        return self.wiring(self.model, batch)
