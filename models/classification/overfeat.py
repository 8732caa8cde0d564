"""OverFeat: networks made to be slid over larger pictures.

Paper: Sermanet 2014, OverFeat: Integrated Recognition, Localization and Detection using
Convolutional Networks, https://arxiv.org/abs/1312.6229 (tables 1 and 3)
Windows of the poolings touch without overlapping; there is no local normalisation. Dense
evaluation, with the offsets that divide the stride of 36 by three, is models/dense.py.
Weights start as N(0, 0.01), as section 3.2 says, biases at zero.
Differences from the paper: dropout (paper 0.5) after fc6 and fc7 is the caller's. Pixels are
normalised with the authors' published constants.
Checked against PyTorch's functions.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import alexnet
from convoy.models.pooling import Pool
from convoy.models.spec import Preprocess

# (filters, kernel, stride, padding, pooling after it) of the convolutions; widths of fc6, fc7.
VARIANTS = {
    "overfeat_fast": (
        (
            (96, 11, 4, 0, 2),
            (256, 5, 1, 0, 2),
            (512, 3, 1, 1, None),
            (1024, 3, 1, 1, None),
            (1024, 3, 1, 1, 2),
        ),
        (3072, 4096),
    ),
    "overfeat_accurate": (
        (
            (96, 7, 2, 0, 3),
            (256, 7, 1, 0, 2),
            (512, 3, 1, 1, None),
            (512, 3, 1, 1, None),
            (1024, 3, 1, 1, None),
            (1024, 3, 1, 1, 3),
        ),
        (4096, 4096),
    ),
}
MINIMUM = {"overfeat_fast": 71, "overfeat_accurate": 77}


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride: what each pooling is given, and what the last leaves."""
    maps, stride = {}, 1
    for index, (filters, kernel, step, padding, pool) in enumerate(VARIANTS[variant][0], start=1):
        if padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"conv{index}_pad")(x)
        x = keras.layers.Conv2D(
            filters,
            kernel,
            step,
            activation="relu",
            kernel_initializer=layers.gaussian(alexnet.DEVIATION),
            name=f"conv{index}",
        )(x)
        stride *= step
        maps[f"s{stride}"] = x
        if pool:
            x = Pool("max", pool, name=f"pool{index}")(x)
            stride *= pool
    return maps | {f"s{stride}": x}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "convolutions and poolings leave one pixel of it"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM[variant], why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(list(maps.values())[-1])
    logits = alexnet.head(x, num_classes, VARIANTS[variant][1], dropout=dropout)
    return keras.Model(image, logits, name=variant)
