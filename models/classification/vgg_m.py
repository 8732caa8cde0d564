"""VGG_CNN_M_1024: a network of AlexNet's depth with a finer first layer.

Paper: Chatfield 2014, Return of the Devil in the Details: Delving Deep into Convolutional Nets,
https://arxiv.org/abs/1405.3531 (table 1, CNN-M; section 3.5 for the 1024 units of fc7). Layers and
paddings are those of the authors' Caffe files, as Fast R-CNN has them.
Differences from the paper: dropout (paper 0.5) after fc6 and fc7 is the caller's. Weights start as
the paper's section 3 says, N(0, 0.01); it names no biases: zeros.
Checked against OpenCV's reading of a Caffe network.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import alexnet
from convoy.models.normalization import LocalResponseNorm
from convoy.models.pooling import Pool
from convoy.models.spec import Preprocess

WIDTHS = (4096, 1024)  # of fc6 and fc7
# (filters, kernel, stride, padding); the first two are normalised and pooled.
CONVOLUTIONS = ((96, 7, 2, 0), (256, 5, 2, 1), (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1))
MINIMUM = 51


def features(x) -> dict:
    """Normalised pixels -> maps by stride: conv1, conv2, conv5 and the last pooling."""
    maps = {}
    for index, (filters, kernel, stride, padding) in enumerate(CONVOLUTIONS, start=1):
        if padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"conv{index}_pad")(x)
        x = maps[index] = keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            activation="relu",
            kernel_initializer=layers.gaussian(alexnet.DEVIATION),
            name=f"conv{index}",
        )(x)
        if stride == 2:
            norm = LocalResponseNorm(5, alpha=5e-4, k=2.0, mean=True, name=f"norm{index}")
            x = Pool("max", 3, 2, ceil=True, name=f"pool{index}")(norm(x))
    last = Pool("max", 3, 2, ceil=True, name="pool5")(x)
    return {"s2": maps[1], "s8": maps[2], "s16": x, "s32": last}


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
    maps = features(x)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(maps["s32"])
    logits = alexnet.head(x, num_classes, WIDTHS, dropout=dropout)
    return keras.Model(image, logits, name=variant)
