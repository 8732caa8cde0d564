"""SegNet and SegNet-Basic: a decoder that puts values back where the encoder's poolings took them.

Paper: Badrinarayanan 2015 https://arxiv.org/abs/1511.00561; the layers are those of the authors'
segnet_train.prototxt and segnet_basic_train.prototxt.

segnet        VGG-16's 13 convolutions, mirrored; BatchNorm and ReLU behind each but the last
segnet_basic  the picture normalised across its colours (LRN), four 7x7 convolutions of 64, each
              with BatchNorm, ReLU and pooling; four more with unpooling, without ReLU; 1x1

Poolings are rounded up and unpoolings go back to the exact size: 45 -> 23 -> 12 -> 23 -> 45. The
classes are learnt with weights, `train.class_weights: median` (paper, section 4.1).

Differences: the convolutions keep their biases, which BatchNorm makes redundant, so that the counts
are the authors'. BatchNorm's epsilon is 1e-5 (their fork of Caffe: 1e-9); its running statistics
are those of training (they recompute them over the whole training set afterwards).
Checked against PyTorch's MaxPool2d and MaxUnpool2d, a step of training included.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification.vgg import DEPTHS
from convoy.models.normalization import LocalResponseNorm
from convoy.models.spec import Preprocess
from convoy.models.upsampling import MaxPoolWithPlaces, Unpool

NORM = {"epsilon": 1e-5, "momentum": 0.9}
BASIC = 64
MINIMUM = 32


def conv(x, filters: int, kernel: int = 3, *, relu: bool = True, name: str):
    """Convolution that keeps the size, BatchNorm, and ReLU where wanted."""
    x = keras.layers.Conv2D(
        filters, kernel, padding="same", kernel_initializer=layers.HE, name=name
    )(x)
    x = layers.BatchNorm(**NORM, name=name.replace("conv", "norm"))(x)
    return keras.layers.Activation("relu", name=name.replace("conv", "relu"))(x) if relu else x


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 11,
    width: float = 1.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, H, W, num_classes]; None: the encoder's maps by stride.

    width: factor of all numbers of channels but the classes'.
    """
    why = "its poolings halve the picture four or five times"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    basic = variant == "segnet_basic"
    if basic:
        x = LocalResponseNorm(5, k=1.0, mean=True, name="lrn")(x)
    depths = (1,) * 4 if basic else DEPTHS["vgg16"]
    widths = [BASIC] * 4 if basic else [min(32 * 2**block, 512) for block in range(1, 6)]
    widths, kernel = [max(1, int(width * filters)) for filters in widths], 7 if basic else 3
    maps, pooled = {}, []
    for block, (depth, filters) in enumerate(zip(depths, widths, strict=True), start=1):
        for index in range(1, depth + 1):
            x = conv(x, filters, kernel, name=f"block{block}_conv{index}")
        size = tuple(x.shape[1:3])
        x, places = MaxPoolWithPlaces(name=f"block{block}_pool")(x)
        maps[f"s{2**block}"] = x
        pooled.append((size, places))
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    for block in range(len(depths), 0, -1):
        size, places = pooled[block - 1]
        x = Unpool(size, name=f"decoder{block}_unpool")([x, places])
        for index in range(depths[block - 1], 0, -1):
            if index > 1:
                filters = widths[block - 1]
            elif block > 1:
                filters = widths[block - 2]
            elif not basic:
                break
            x = conv(x, filters, kernel, relu=not basic, name=f"decoder{block}_conv{index}")
    logits = keras.layers.Conv2D(
        num_classes,
        1 if basic else 3,
        padding="same",
        kernel_initializer=layers.HE,
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(image, logits, name=variant)
