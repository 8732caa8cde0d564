"""SRCNN: three convolutions sharpen the Y of a picture that was enlarged bicubically.

Papers: Dong 2014 "Learning a Deep Convolutional Network for Image Super-Resolution" and Dong 2015
https://arxiv.org/abs/1501.00092, section 3.1: f1-f2-f3 with 64 and 32 filters, ReLU after the first
two. Y alone; it is computed by the first layer, of RGB as every network is given it.

srcnn_915, srcnn_935, srcnn_955     kernels of 9, 1, 5, and so on

Training: 33 x 33 sub-images through convolutions without padding (section 3.3), so that a map of
`margin` less on each side is compared; weights start N(0, 0.001), biases at 0. A whole picture goes
through the same layers with each map's border repeated (`whole`), as in the authors' SRCNN.m; none
of its pixels is lost. Not here: the last layer's learning rate, a tenth of the others' in the
paper, belongs to whoever trains it.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.restoration import color
from convoy.models.spec import Preprocess

FILTERS = (64, 32, 1)
KERNELS = {"srcnn_915": (9, 1, 5), "srcnn_935": (9, 3, 5), "srcnn_955": (9, 5, 5)}


@keras.saving.register_keras_serializable("convoy")
class Brightness(keras.layers.Layer):
    """RGB [B, H, W, 3] of 0..255 -> Y [B, H, W, 1] / 255, float32; see color.py."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, image):
        return color.luma(image)[..., None] / 255.0

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)


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


def margin(model: keras.Model) -> int:
    """Pixels on each side that what is answered without padding is smaller by."""
    kernels = (layer.kernel_size[0] for layer in convolutions(model))
    return sum(kernel // 2 for kernel in kernels)


def build(variant: str, preprocess: Preprocess, *, num_classes: int | None = 1) -> keras.Model:
    """RGB [B, H, W, 3] of 0..255, enlarged -> Y [B, H - 2 margin, W - 2 margin, 1] of 0..255.

    float32, not cut or rounded. num_classes does not matter: pictures have none. Raises ValueError.
    """
    if num_classes is None:
        raise ValueError(f"{variant} needs num_classes: it has no maps by stride")
    least = 1 + sum(kernel - 1 for kernel in KERNELS[variant])
    layers.check_input(
        variant, preprocess.size, minimum=least, why="nothing would be left of a map"
    )
    image = keras.Input(preprocess.shape, dtype="float32", name="image")
    x = Brightness(name="normalize")(image)
    for number, (filters, kernel) in enumerate(zip(FILTERS, KERNELS[variant], strict=True), 1):
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


def whole(model: keras.Model) -> keras.Model:
    """The same layers for pictures of any size: [B, H, W, 3] -> Y [B, H, W, 1]."""
    x = image = keras.Input((None, None, 3), dtype="float32", name="image")
    for layer in model.layers[1:]:
        pixels = layer.kernel_size[0] // 2 if isinstance(layer, keras.layers.Conv2D) else 0
        if pixels:
            x = Replicate(pixels, name=f"{layer.name}_border")(x)
        x = layer(x)
    return keras.Model(image, x, name=model.name)


def without_borders(model: keras.Model, image):
    """`whole`'s model as `build` made it: what it answers without padding."""
    for layer in model.layers[1:]:
        if not isinstance(layer, Replicate):
            image = layer(image)
    return image


def convolutions(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
