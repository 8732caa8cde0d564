"""U-Net: four poolings down, four transposed convolutions up, the maps on the way joined.

Paper: Ronneberger 2015 https://arxiv.org/abs/1505.04597, figure 1.

unet       the paper's: convolutions without padding, so that 572 x 572 gray pixels give classes of
           the 388 x 388 in their middle. The border of 92 pixels around the picture is mirrored
           (`Preprocess.margin`), as the paper's overlap-tile does at the borders of a picture.
           Every map that is pooled must have even sides (section 2): inputs of 188 + 16 n pixels
unet_same  ours: padded convolutions, colour, classes of all pixels; poolings round up and the
           enlarged maps are cut to the size of those that they meet, so that any size fits

Weights start N(0, sqrt(2 / N)), N the values that an output sees (section 3). Pixels between
objects weigh more with `train.border_weight` (the paper's w0, 10); elastic deformations are
`augment: unet`. Difference: dropout (in the paper "at the end of the contracting path", with no
rate) is the caller's; it is behind the fourth and the fifth pair of convolutions.
Checked against PyTorch's functions.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Preprocess
from convoy.models.upsampling import cropped

FILTERS = (64, 128, 256, 512, 1024)
MARGIN = 92
MINIMUM = 188


def start():
    """N(0, sqrt(2 / N)), not truncated."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def pair(x, filters: int, padding: str, *, name: str):
    """Two 3x3 convolutions with ReLU."""
    for index in (1, 2):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding=padding,
            activation="relu",
            kernel_initializer=start(),
            name=f"{name}_conv{index}",
        )(x)
    return x


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 2,
    dropout: float = 0.0,
    width: float = 1.0,
) -> keras.Model:
    """Images [B, H, W, C] -> logits [B, h, w, num_classes]; None: the contracting path's maps.

    h, w: H, W, of unet 184 less. width: factor of all numbers of channels but the classes'.
    """
    padding = "valid" if variant == "unet" else "same"
    if padding == "valid":
        _check(variant, preprocess.size)
    filters = [max(1, int(width * count)) for count in FILTERS]
    image, x = layers.image_input(preprocess)
    maps = {}
    for level, count in enumerate(filters, start=1):
        if level > 1:
            x = keras.layers.MaxPooling2D(2, padding=padding, name=f"down{level}_pool")(x)
        x = maps[f"s{2 ** (level - 1)}"] = pair(x, count, padding, name=f"down{level}")
        if dropout and level >= 4:
            x = keras.layers.Dropout(dropout, name=f"down{level}_dropout")(x)
            maps[f"s{2 ** (level - 1)}"] = x
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    for level in (4, 3, 2, 1):
        x = keras.layers.Conv2DTranspose(
            filters[level - 1],
            2,
            2,
            kernel_initializer=layers.gaussian((2 / x.shape[-1]) ** 0.5),
            name=f"up{level}_transpose",
        )(x)
        x = joined(maps[f"s{2 ** (level - 1)}"], x, name=f"up{level}")
        x = pair(x, filters[level - 1], padding, name=f"up{level}")
    logits = keras.layers.Conv2D(
        num_classes, 1, kernel_initializer=start(), dtype="float32", name="logits"
    )(x)
    return keras.Model(image, logits, name=variant)


def joined(fine, x, *, name: str):
    """The map of the way down and the enlarged one, the larger cut to the other: its middle, or,
    where a pooling was rounded up, its upper left."""
    size = tuple(min(a, b) for a, b in zip(fine.shape[1:3], x.shape[1:3], strict=True))
    if fine.shape[1:3] != size:
        offset = [(a - b) // 2 for a, b in zip(fine.shape[1:3], size, strict=True)]
        fine = cropped(fine, size, offset, name=f"{name}_crop")
    if x.shape[1:3] != size:
        x = cropped(x, size, (0, 0), name=f"{name}_cut")
    return keras.layers.Concatenate(name=f"{name}_concat")([fine, x])


def _check(variant: str, size: tuple[int, int]) -> None:
    why = "the border of 92 pixels on each side is only looked at"
    layers.check_input(variant, size, minimum=MINIMUM, why=why)
    if any((side - MINIMUM) % 16 for side in size):
        near = [str(MINIMUM + 16 * round((side - MINIMUM) / 16)) for side in size]
        raise ValueError(
            f"{variant}: expected sides of 188, 204, 220, ... px, got {'x'.join(map(str, size))}: "
            f"every map that is pooled must have even sides; the nearest is {'x'.join(near)}"
        )
