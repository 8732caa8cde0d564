"""AlexNet: as Caffe published it, on a single tower, and its lighter successor of 2014.

Papers: Krizhevsky 2012, ImageNet Classification with Deep Convolutional Neural Networks, NIPS;
Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks,
https://arxiv.org/abs/1404.5997 (whose single column alexnet_owt is, as torchvision has it).

alexnet         conv2, conv4 and conv5 in two groups, which were two GPUs; local response
                normalisation, then pooling, whose sizes are rounded up: Caffe's bvlc_alexnet
caffenet        the same, but pooling, then normalisation: Caffe's bvlc_reference_caffenet
alexnet_single  without groups and normalisation: Darknet's alexnet.cfg
alexnet_owt     64-192-384-256-256 maps, no normalisation; fc6 sees an average of 6 x 6 bins

Differences from the paper: 227 px, for 224 leave no whole number of windows; Caffe's normalisation
(k = 1, alpha / 5; the paper's is k = 2, alpha: LocalResponseNorm has both); dropout (paper 0.5)
after fc6 and fc7 is the caller's (torchvision puts it before them). Weights start as in the paper's
section 5: N(0, 0.01), biases of conv2, conv4, conv5, fc6 and fc7 at 1 (Caffe: 0.1, and 0.005 for
fc6 and fc7); those of alexnet_owt as torchvision's, which are PyTorch's defaults.
Checked against OpenCV's reading of a Caffe network, PyTorch's functions and torchvision.
"""

from __future__ import annotations

import dataclasses

import keras

from convoy.models import layers
from convoy.models.normalization import LocalResponseNorm
from convoy.models.pooling import AdaptivePool, Pool
from convoy.models.spec import Preprocess

DEVIATION = 0.01


@dataclasses.dataclass(frozen=True)
class Variant:
    filters: tuple[int, ...] = (96, 256, 384, 384, 256)
    groups: int = 1  # of conv2, conv4 and conv5
    norm: bool = False
    ceil: bool = False  # Caffe's pooling
    pool_first: bool = False  # before the normalisation
    padding: int = 0  # of conv1
    pool_padding: int = 0  # of pool1 and pool2
    bins: int | None = None  # fc6 sees an average of bins x bins
    paper_init: bool = True


VARIANTS = {
    "alexnet": Variant(groups=2, norm=True, ceil=True),
    "caffenet": Variant(groups=2, norm=True, ceil=True, pool_first=True),
    "alexnet_single": Variant(),
    "alexnet_owt": Variant((64, 192, 384, 256, 256), padding=2, bins=6, paper_init=False),
}
# name: (kernel, padding, in groups, bias starts at 1)
CONVOLUTIONS = {
    "conv2": (5, 2, True, True),
    "conv3": (3, 1, False, False),
    "conv4": (3, 1, True, True),
    "conv5": (3, 1, True, True),
}
MINIMUM = 63


def paper_start(fan_in: int, bias: str = "zeros") -> dict:
    """First weights as a layer's arguments: N(0, 0.01) whatever its fan-in, and its bias."""
    return {"kernel_initializer": layers.gaussian(DEVIATION), "bias_initializer": bias}


def torch_start(fan_in: int, bias: str = "zeros") -> dict:
    """First weights as a layer's arguments: PyTorch's, where every bias is drawn too."""
    return layers.torch_start(fan_in)


def norm_and_pool(x, v: Variant, name: str):
    """What follows conv1 and conv2."""
    pool = Pool("max", 3, 2, v.pool_padding, ceil=v.ceil, name=f"pool{name}")
    if not v.norm:
        return pool(x)
    norm = LocalResponseNorm(5, k=1.0, mean=True, name=f"norm{name}")
    return norm(pool(x)) if v.pool_first else pool(norm(x))


def features(x, v: Variant) -> dict:
    """Normalised pixels -> maps by stride: conv1, conv2, conv5 and the last pooling."""
    start = paper_start if v.paper_init else torch_start
    x = keras.layers.ZeroPadding2D(v.padding, name="conv1_pad")(x)
    x = conv1 = keras.layers.Conv2D(
        v.filters[0], 11, 4, activation="relu", name="conv1", **start(11 * 11 * x.shape[-1])
    )(x)
    x = norm_and_pool(x, v, "1")
    maps = {"s4": conv1}
    for filters, (name, (kernel, padding, grouped, bias)) in zip(
        v.filters[1:], CONVOLUTIONS.items(), strict=True
    ):
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
        groups = v.groups if grouped else 1
        x = keras.layers.Conv2D(
            filters,
            kernel,
            groups=groups,
            activation="relu",
            name=name,
            **start(kernel * kernel * x.shape[-1] // groups, "ones" if bias else "zeros"),
        )(x)
        if name == "conv2":
            maps["s8"] = x
            x = norm_and_pool(x, v, "2")
    maps["s16"] = x
    return maps | {"s32": Pool("max", 3, 2, ceil=v.ceil, name="pool5")(x)}


def head(
    x,
    num_classes: int,
    widths=(4096, 4096),
    *,
    dropout: float = 0.0,
    start=paper_start,
    bias="zeros",
):
    """[B, N] -> logits: the layers fc6, fc7, ... with ReLU and dropout, and "logits".

    start(fan_in, bias): first weights as a layer's arguments; bias: those of fc6, fc7, ...
    """
    for index, width in enumerate(widths, start=6):
        x = keras.layers.Dense(
            width, activation="relu", name=f"fc{index}", **start(x.shape[-1], bias)
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
    return keras.layers.Dense(
        num_classes, dtype="float32", name="logits", **start(x.shape[-1], "zeros")
    )(x)


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
    padded: bool = False,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride.

    padded: conv1 by 5 pixels, pool1 and pool2 by 1, as Fast R-CNN does: cells of the last map then
    lie 16 pixels apart from the picture's corner on.
    """
    v = VARIANTS[variant]
    if padded:
        v = dataclasses.replace(v, padding=5, pool_padding=1)
    why = "a convolution of stride 4 and three poolings leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, v)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = maps["s32"]
    if v.bins:
        x = AdaptivePool(v.bins, name="bins")(x)
    x = keras.layers.Flatten(name="flat")(x)
    start = paper_start if v.paper_init else torch_start
    logits = head(x, num_classes, dropout=dropout, start=start, bias="ones")
    return keras.Model(image, logits, name=variant)
