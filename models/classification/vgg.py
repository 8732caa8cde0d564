"""VGG: 3x3 convolutions, then three fully connected layers.

Paper: Simonyan 2014 https://arxiv.org/abs/1409.1556 (configurations A, B, D and E)
The "_bn" variants put BatchNorm between convolution and ReLU, as torchvision does; the convolutions
keep their biases there, which that norm makes redundant, so that the counts are torchvision's.
Weights of vgg16 and vgg19 start as Glorot's, with which the authors found that the deep networks
need no shallow ones to be trained before them (section 3.1), and as Keras'; those of the others as
torchvision's: convolutions with variance 2 / fan-out, the full layers N(0, 0.01). Biases are zero.
Differences from the paper: dropout (paper 0.5) after fc1 and fc2 is the caller's. Input sizes other
than 224 change the shape of fc1, so its weights fit one size alone; the backbone takes any size.
Checked against keras.applications (vgg16, vgg19) and torchvision (the others).
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Preprocess

# Convolutions in each of the five blocks.
DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
GLOROT_VARIANTS = ("vgg16", "vgg19")  # what starts as the paper's note and Keras have it
NORM = {"epsilon": 1e-5, "momentum": 0.9}
MINIMUM = 32


def conv(x, filters: int, *, norm: bool, start, name: str):
    """3x3 convolution, its kernel by the initialiser `start`, BatchNorm where wanted, ReLU."""
    x = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=None if norm else "relu",
        kernel_initializer=start,
        name=name,
    )(x)
    if not norm:
        return x
    x = layers.BatchNorm(**NORM, name=name.replace("conv", "norm"))(x)
    return keras.layers.Activation("relu", name=name.replace("conv", "relu"))(x)


def features(x, variant: str, pool_padding: str = "valid", border: int = 0) -> dict:
    """Normalised pixels -> maps by stride; the last layer of blocks 3 to 5.

    pool_padding "same" rounds odd maps up as Caffe does, "valid" down as Keras and PyTorch do.
    border: zeros on each side that the first convolution sees, instead of one.
    """
    maps = {}
    if border:
        x = keras.layers.ZeroPadding2D(border - 1, name="border")(x)
    depths, norm = DEPTHS[variant.removesuffix("_bn")], variant.endswith("_bn")
    for block, depth in enumerate(depths, start=1):
        filters = min(32 * 2**block, 512)
        for index in range(1, depth + 1):
            start = layers.GLOROT if variant in GLOROT_VARIANTS else layers.he_fan_out()
            x = conv(x, filters, norm=norm, start=start, name=f"block{block}_conv{index}")
        maps[f"s{2 ** (block - 1)}"] = x
        if block < 5:
            x = keras.layers.MaxPooling2D(2, padding=pool_padding, name=f"block{block}_pool")(x)
    return {key: maps[key] for key in ("s4", "s8", "s16")}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
    pool_padding: str = "valid",
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride.

    pool_padding: see `features`.
    """
    why = "five poolings halve the picture, and fc1 needs at least one pixel after them"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant, pool_padding)
    maps["s32"] = keras.layers.MaxPooling2D(2, name="block5_pool")(maps["s16"])
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    x = keras.layers.Flatten(name="flat")(maps["s32"])

    def start():
        return layers.GLOROT if variant in GLOROT_VARIANTS else layers.gaussian(0.01)

    for index in (1, 2):
        x = keras.layers.Dense(
            4096, activation="relu", kernel_initializer=start(), name=f"fc{index}"
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer=start(), dtype="float32", name="logits"
    )(x)
    return keras.Model(image, logits, name=variant)
