"""Inception v3: factorised convolutions, three kinds of modules between two reductions.

Paper: Szegedy 2015 https://arxiv.org/abs/1512.00567
inception_v3 is Keras' network: BatchNorm without gamma, average pooling that leaves the border out.
inception_v3_aux is torchvision's: BatchNorm with gamma (17,216 parameters more), average pooling
that counts zeros beyond the border, and an auxiliary head behind the last 17x17 module, whose loss
counts 0.4 (models/rows_classification.py); the export leaves it out.
Kernels of inception_v3 start as Keras', Glorot's; those of inception_v3_aux as torchvision's, all
N(0, 0.1) but for the auxiliary logits' N(0, 0.001); the 0.01 that its code names for the 5x5 before
those, tf_slim's, never reaches that kernel.
Differences from the paper, as in both: its stem has a 3x3 of stride 2 instead of the second
pooling, its 35x35 modules a 3x3 instead of the 5x5. Ours: BatchNorm momentum 0.9 (Keras 0.99);
dropout before the logits (Keras none, torchvision 0.5) is the caller's. Convolutions and poolings
of stride 2 are not padded, so the maps are a little smaller than the input over their stride: 71,
35, 17 and 8 of 299.
Checked against keras.applications and torchvision.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import inception
from convoy.models.spec import Preprocess


def torch_kernel(role: str):
    """torchvision's, whatever the convolution's role."""
    return layers.gaussian(0.1)


STYLES = {
    "inception_v3": inception.Style(),
    "inception_v3_aux": inception.Style(gamma=True, count_padding=True, start=torch_kernel),
}
ROW, COLUMN = (1, 7), (7, 1)
MINIMUM, MINIMUM_WITH_HEAD = 75, 299


def module_35(x, pooled: int, *, style, name: str):
    """1x1; 5x5; two 3x3; pooling and 1x1 of `pooled` filters."""
    return inception.mixed(
        x,
        [(64, 1)],
        [(48, 1), (64, 5)],
        [(64, 1), (96, 3), (96, 3)],
        [("average", 1), (pooled, 1)],
        style=style,
        name=name,
    )


def reduction_35(x, *, style, name: str):
    """35x35 -> 17x17."""
    double = [(64, 1), (96, 3), (96, 3, 2)]
    return inception.mixed(x, [(384, 3, 2)], double, [("max", 2)], style=style, name=name)


def module_17(x, c: int, *, style, name: str):
    """1x1; a 7x7 as 1x7 and 7x1 of `c` filters inside; two of them; pooling and 1x1."""
    return inception.mixed(
        x,
        [(192, 1)],
        [(c, 1), (c, ROW), (192, COLUMN)],
        [(c, 1), (c, COLUMN), (c, ROW), (c, COLUMN), (192, ROW)],
        [("average", 1), (192, 1)],
        style=style,
        name=name,
    )


def reduction_17(x, *, style, name: str):
    """17x17 -> 8x8."""
    double = [(192, 1), (192, ROW), (192, COLUMN), (192, 3, 2)]
    branches = ([(192, 1), (320, 3, 2)], double, [("max", 2)])
    return inception.mixed(x, *branches, style=style, name=name)


def fork(x, *, style, name: str):
    """1x3 beside 3x1."""
    row = inception.conv(x, 384, (1, 3), style=style, name=f"{name}_row")
    column = inception.conv(x, 384, (3, 1), style=style, name=f"{name}_column")
    return keras.layers.Concatenate(name=f"{name}_fork")([row, column])


def module_8(x, *, style, name: str):
    """1x1; 1x1 and a fork; 1x1, 3x3 and a fork; pooling and 1x1."""
    chains = ([(320, 1)], [(384, 1)], [(448, 1), (384, 3)], [("average", 1), (192, 1)])
    found = []
    for index, steps in enumerate(chains, start=1):
        branch = inception.chain(x, steps, style=style, name=f"{name}_branch{index}")
        if index in (2, 3):
            branch = fork(branch, style=style, name=f"{name}_branch{index}")
        found.append(branch)
    return keras.layers.Concatenate(name=name)(found)


def stem(x, *, style):
    """Normalised pixels -> 192 maps of stride 8, and those of stride 4 before the last pooling."""
    x = inception.conv(x, 32, 3, 2, style=style, name="stem", index=1)
    x = inception.conv(x, 32, 3, style=style, name="stem", index=2, padding="valid")
    x = inception.conv(x, 64, 3, style=style, name="stem", index=3)
    x = inception.pool(x, "max", 2, style=style, name="stem_pool1")
    x = inception.conv(x, 80, 1, style=style, name="stem", index=4)
    x = inception.conv(x, 192, 3, style=style, name="stem", index=5, padding="valid")
    return inception.pool(x, "max", 2, style=style, name="stem_pool2"), x


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride, each the last before the next reduction."""
    style = STYLES[variant]
    x, s4 = stem(x, style=style)
    for part, pooled in zip("bcd", (32, 64, 64), strict=True):
        x = module_35(x, pooled, style=style, name=f"mixed5{part}")
    s8 = x
    x = reduction_35(x, style=style, name="mixed6a")
    for part, c in zip("bcde", (128, 160, 160, 192), strict=True):
        x = module_17(x, c, style=style, name=f"mixed6{part}")
    s16 = x
    x = reduction_17(x, style=style, name="mixed7a")
    for part in "bc":
        x = module_8(x, style=style, name=f"mixed7{part}")
    return {"s4": s4, "s8": s8, "s16": s16, "s32": x}


def auxiliary(x, num_classes: int, *, style, name: str):
    """The head on the 17x17 maps: 5x5 averages, 1x1, a 5x5 that sees all of them, logits."""
    x = keras.layers.AveragePooling2D(5, 3, name=f"{name}_pool1")(x)
    x = inception.conv(x, 128, 1, style=style, name=name, index=1)
    x = inception.conv(x, 768, 5, style=style, name=name, index=2, padding="valid")
    x = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool2")(x)
    return keras.layers.Dense(
        num_classes, dtype="float32", name=f"{name}_logits", **last_start(x, 0.001)
    )(x)


def last_start(x, deviation: float) -> dict:
    """A last layer's first weights in torchvision: a normal kernel, the bias as PyTorch's."""
    return {**layers.torch_start(x.shape[-1]), "kernel_initializer": layers.gaussian(deviation)}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride.

    inception_v3_aux answers {"logits", "aux1"}, each [B, num_classes].
    """
    head = variant.endswith("_aux") and num_classes is not None
    minimum, why = MINIMUM, "unpadded layers leave one pixel of it"
    if head:
        minimum, why = MINIMUM_WITH_HEAD, "its head needs the 17x17 map that this size leaves"
    layers.check_input(variant, preprocess.size, minimum=minimum, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    start = last_start(maps["s32"], 0.1) if head else {}
    outputs = logits = layers.head(maps["s32"], num_classes, dropout, **start)
    if head:
        aux = auxiliary(maps["s16"], num_classes, style=STYLES[variant], name="aux1")
        outputs = {"logits": logits, "aux1": aux}
    return keras.Model(image, outputs, name=variant)
