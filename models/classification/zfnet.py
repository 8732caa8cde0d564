"""ZFNet: AlexNet with a finer first layer, found by looking at what its filters see.

Paper: Zeiler 2013, Visualizing and Understanding Convolutional Networks,
https://arxiv.org/abs/1311.2901 (figure 3; zfnet_large is its 512-1024-512 maps of table 3)
Filters of more than 0.1 root mean square are scaled back to it after each step, as the paper says.
zf_caffe is the "ZF" of py-faster-rcnn, which is not ZFNet: convolutions and poolings are padded,
normalisation is within each map (3x3) and comes before the pooling, and the last pooling has 6x6
bins whatever the picture; filters are as large as they come.
Differences from the paper: "contrast normalised across feature maps" is AlexNet's local response
normalisation with the constants of its paper (Zeiler gives none), after pooling as in the figure;
poolings round their sizes up, which the figure's 55 and 13 need; dropout (paper 0.5) after fc6 and
fc7 is the caller's. Weights start as N(0, 0.01), biases at zero, as the paper's section 3 says.
Checked against PyTorch's functions.
"""

from __future__ import annotations

import math

import keras

from convoy.models import layers
from convoy.models.classification import alexnet
from convoy.models.normalization import LocalResponseNorm, WithinChannelNorm
from convoy.models.pooling import AdaptivePool, Pool
from convoy.models.spec import Preprocess

# Maps of conv3, conv4 and conv5.
FILTERS = {"zfnet": (384, 384, 256), "zfnet_large": (512, 1024, 512)}
RADIUS = 0.1
MINIMUM = 47


def conv(x, filters: int, kernel: int, stride: int, padding: int, *, name: str):
    """Padding, convolution, ReLU; no filter's root mean square exceeds RADIUS."""
    weights = kernel * kernel * x.shape[-1]
    if padding:
        x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        activation="relu",
        kernel_initializer=layers.gaussian(alexnet.DEVIATION),
        kernel_constraint=keras.constraints.MaxNorm(RADIUS * math.sqrt(weights), axis=(0, 1, 2)),
        name=name,
    )(x)


def pool_and_norm(x, name: str):
    """What follows conv1 and conv2."""
    x = Pool("max", 3, 2, ceil=True, name=f"pool{name}")(x)
    return LocalResponseNorm(5, name=f"norm{name}")(x)


def caffe_features(x) -> dict:
    """Normalised pixels -> maps by stride of zf_caffe: conv1, conv2 and conv5."""
    maps = {}
    layers_of = ((1, 96, 7, 2), (2, 256, 5, 2), (3, 384, 3, 1), (4, 384, 3, 1), (5, 256, 3, 1))
    for index, filters, kernel, stride in layers_of:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"conv{index}_pad")(x)
        x = maps[index] = keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            activation="relu",
            kernel_initializer=layers.gaussian(alexnet.DEVIATION),
            name=f"conv{index}",
        )(x)
        if stride == 2:
            x = WithinChannelNorm(3, 5e-5, 0.75, name=f"norm{index}")(x)
            x = Pool("max", 3, 2, padding=1, ceil=True, name=f"pool{index}")(x)
    return {"s2": maps[1], "s8": maps[2], "s16": maps[5]}


def features(x, filters: tuple[int, int, int]) -> dict:
    """Normalised pixels -> maps by stride: conv1, conv2 and conv5."""
    x = conv1 = conv(x, 96, 7, 2, 1, name="conv1")
    x = conv2 = conv(pool_and_norm(x, "1"), 256, 5, 2, 0, name="conv2")
    x = pool_and_norm(x, "2")
    for index, width in enumerate(filters, start=3):
        x = conv(x, width, 3, 1, 1, name=f"conv{index}")
    return {"s2": conv1, "s8": conv2, "s16": x}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "convolutions of stride 2 and three poolings leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    if variant == "zf_caffe":
        maps = caffe_features(x)
        x = AdaptivePool(6, "max", name="pool5")(maps["s16"])
    else:
        maps = features(x, FILTERS[variant])
        x = maps["s32"] = Pool("max", 3, 2, ceil=True, name="pool5")(maps["s16"])
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, alexnet.head(x, num_classes, dropout=dropout), name=variant)
