"""GoogLeNet (Inception v1): the paper's network and the one with BatchNorm, with or without heads.

Paper: Szegedy 2014 https://arxiv.org/abs/1409.4842
googlenet and googlenet_aux are the paper's as Caffe's bvlc_googlenet has them: biases, local
response normalisation with k = 1, poolings that round up. googlenet_bn and googlenet_bn_aux are
torchvision's: BatchNorm instead, 3x3 convolutions where the paper has 5x5, 2x2 windows in pool4,
heads that average 4x4 regions whatever the input. The "_aux" names have two auxiliary heads, whose
losses count 0.3 (models/rows_classification.py); the export leaves them out.
Weights of googlenet and googlenet_aux start as Caffe's: kernels with variance 1 / fan-in
("xavier"), biases at 0.2 but for the logits' zeros; kernels of the others as torchvision's, all
N(0, 0.01).
Differences from the paper: dropout before the logits (paper 0.4) is the caller's, that of the heads
is the paper's 0.7. The fully connected layer of googlenet_aux's heads fits one input size alone.
Checked against torchvision, and against Caffe's network, heads included, as OpenCV runs it.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import inception
from convoy.models.normalization import LocalResponseNorm
from convoy.models.pooling import Pool
from convoy.models.spec import Preprocess

# Filters: 1x1; 3x3 after its reduction; 5x5 after its reduction; 1x1 after the pooling.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
HEADS = {"aux1": "4a", "aux2": "4d"}
HEAD_DROPOUT = 0.7
MINIMUM, MINIMUM_WITH_HEADS = 32, 79
BIAS = 0.2


def caffe_kernel(role: str) -> str:
    """Caffe's "xavier", whatever the convolution's role."""
    return layers.LECUN


def torch_kernel(role: str):
    """torchvision's, whatever the convolution's role."""
    return layers.gaussian(0.01)


PLAIN = inception.Style(norm=False, start=caffe_kernel, bias=BIAS)
NORMED = inception.Style(gamma=True, start=torch_kernel)


def full_start(x, *, normed: bool, bias: float = 0.0) -> dict:
    """A full layer's first weights as its arguments; bias: Caffe's, torchvision's are PyTorch's."""
    if normed:
        return {**layers.torch_start(x.shape[-1]), "kernel_initializer": layers.gaussian(0.01)}
    constant = keras.initializers.Constant(bias)
    return {"kernel_initializer": layers.LECUN, "bias_initializer": constant}


def module(x, part: str, *, normed: bool):
    """Four branches side by side: 1x1, 3x3, 5x5 (normed: 3x3), pooling."""
    ones, threes, fives, pooled = MODULES[part]
    return inception.mixed(
        x,
        [(ones, 1)],
        [(threes[0], 1), (threes[1], 3)],
        [(fives[0], 1), (fives[1], 3 if normed else 5)],
        [("max", 1), (pooled, 1)],
        style=NORMED if normed else PLAIN,
        name=f"inception{part}",
    )


def auxiliary(x, num_classes: int, *, normed: bool, name: str):
    """A head on a map in the middle: [B, H, W, C] -> logits [B, num_classes], float32."""
    if normed:
        x = keras.layers.AdaptiveAveragePooling2D(4, name=f"{name}_pool")(x)
    else:
        x = Pool("average", 5, 3, ceil=True, name=f"{name}_pool")(x)
    x = inception.conv(x, 128, 1, style=NORMED if normed else PLAIN, name=name)
    x = keras.layers.Flatten(name=f"{name}_flat")(x)
    start = full_start(x, normed=normed, bias=BIAS)
    x = keras.layers.Dense(1024, activation="relu", name=f"{name}_fc", **start)(x)
    x = keras.layers.Dropout(HEAD_DROPOUT, name=f"{name}_dropout")(x)
    start = full_start(x, normed=normed)
    return keras.layers.Dense(num_classes, dtype="float32", name=f"{name}_logits", **start)(x)


def features(x, *, normed: bool) -> tuple[dict, dict]:
    """Normalised pixels -> (maps by stride, the output of each module by its name)."""
    style = NORMED if normed else PLAIN

    def response_norm(x, name):
        if normed:
            return x
        return LocalResponseNorm(5, k=1.0, alpha=1e-4, beta=0.75, mean=True, name=name)(x)

    x = keras.layers.ZeroPadding2D(3, name="stem_pad")(x)
    x = inception.conv(x, 64, 7, 2, style=style, name="stem", index=1)
    x = Pool("max", 3, 2, ceil=True, name="pool1")(x)
    x = response_norm(x, "lrn1")
    x = inception.conv(x, 64, 1, style=style, name="stem", index=2)
    x = inception.conv(x, 192, 3, style=style, name="stem", index=3)
    x = response_norm(x, "lrn2")
    maps, modules = {"s4": x}, {}
    x = Pool("max", 3, 2, ceil=True, name="pool2")(x)
    for part in MODULES:
        if part == "4a":
            maps["s8"] = x
            x = Pool("max", 3, 2, ceil=True, name="pool3")(x)
        elif part == "5a":
            maps["s16"] = x
            x = Pool("max", 2 if normed else 3, 2, ceil=True, name="pool4")(x)
        x = modules[part] = module(x, part, normed=normed)
    maps["s32"] = x
    return maps, modules


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride.

    The "_aux" variants answer {"logits", "aux1", "aux2"}, each [B, num_classes].
    """
    normed = variant.removesuffix("_aux").endswith("_bn")
    heads = variant.endswith("_aux") and num_classes is not None
    minimum, why = MINIMUM, "the last map has stride 32"
    if heads and not normed:
        minimum, why = MINIMUM_WITH_HEADS, "its heads average 5x5 of the map of stride 16"
    layers.check_input(variant, preprocess.size, minimum=minimum, why=why)
    image, x = layers.image_input(preprocess)
    maps, modules = features(x, normed=normed)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    start = full_start(maps["s32"], normed=normed)
    outputs = logits = layers.head(maps["s32"], num_classes, dropout, **start)
    if heads:
        outputs = {"logits": logits} | {
            name: auxiliary(modules[part], num_classes, normed=normed, name=name)
            for name, part in HEADS.items()
        }
    return keras.Model(image, outputs, name=variant)
