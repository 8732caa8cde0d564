"""SRCNN: three convolutions sharpen a picture that was enlarged bicubically.

Papers: Dong 2014 "Learning a Deep Convolutional Network for Image Super-Resolution" and Dong 2015
https://arxiv.org/abs/1501.00092, section 3.1: f1-f2-f3 with 64 and 32 filters, ReLU after the first
two. Y alone.

srcnn_915, srcnn_935, srcnn_955     kernels of 9, 1, 5, and so on

Training: 33 x 33 sub-images through convolutions without padding (section 3.3), so that a map of
`margin` less on each side is compared; weights start N(0, 0.001), biases at 0. A whole picture goes
through the same weights with each map's border repeated (`padding="replicate"`), as in the authors'
SRCNN.m; none of its pixels is lost. Not here: the last layer's learning rate, a tenth of the
others' in the paper, belongs to whoever trains it.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers

FILTERS = (64, 32, 1)
KERNELS = {"srcnn_915": (9, 1, 5), "srcnn_935": (9, 3, 5), "srcnn_955": (9, 5, 5)}


def margin(variant: str) -> int:
    """Pixels on each side that an output without padding is smaller by."""
    return sum(kernel // 2 for kernel in KERNELS[variant])


@keras.saving.register_keras_serializable("convoy")
class Replicate(keras.layers.Layer):
    """[B, H, W, C] -> [B, H + 2 pixels, W + 2 pixels, C]: the border's values go on."""

    def __init__(self, pixels: int, **kwargs):
        super().__init__(**kwargs)
        self.pixels = int(pixels)

    def call(self, x):
        for axis in (1, 2):
            side = ops.shape(x)[axis]
            places = ops.arange(-self.pixels, side + self.pixels, dtype="int32")
            x = ops.take(x, ops.clip(places, 0, side - 1), axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        more = (None if side is None else side + 2 * self.pixels for side in sides)
        return (batch, *more, channels)

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels}


def build(
    variant: str, size: tuple[int | None, int | None] = (33, 33), *, padding: str = "valid"
) -> keras.Model:
    """Y [B, H, W, 1] of 0..255, enlarged -> Y [B, h, w, 1] of 0..255, float32, not cut or rounded.

    size: (H, W), None for any. padding: "valid", h = H - 2 margin, or "replicate", h = H; the
    weights of one load into the other. Raises ValueError.
    """
    if variant not in KERNELS:
        raise ValueError(f"expected one of {', '.join(KERNELS)}, got {variant!r}")
    if padding not in ("valid", "replicate"):
        raise ValueError(f"padding: expected valid or replicate, got {padding!r}")
    if padding == "valid":
        least = 2 * margin(variant) + 1
        known = tuple(side or least for side in size)
        layers.check_input(variant, known, minimum=least, why="nothing would be left of a map")
    image = keras.Input((*size, 1), dtype="float32", name="image")
    x = layers.Normalize(1 / 255, (0.0,), (1.0,), "gray", name="normalize")(image)
    for number, (filters, kernel) in enumerate(zip(FILTERS, KERNELS[variant], strict=True), 1):
        if padding == "replicate" and kernel > 1:
            x = Replicate(kernel // 2, name=f"replicate{number}")(x)
        last = number == len(FILTERS)
        x = keras.layers.Conv2D(
            filters,
            kernel,
            activation=None if last else "relu",
            kernel_initializer=layers.gaussian(0.001),
            dtype="float32" if last else None,
            name=f"conv{number}",
        )(x)
    x = keras.layers.Rescaling(255.0, dtype="float32", name="values")(x)
    return keras.Model(image, x, name=variant)
