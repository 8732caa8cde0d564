"""DBN: a sharp picture out of five blurred frames of a film.

Paper: Su 2017 "Deep Video Deblurring for Hand-held Cameras" https://arxiv.org/abs/1611.08387,
section 3 and table 1; the layers are those of the authors' model2_symskip_nngraph2_deeper.lua.

dbn     an encoder of three steps and a decoder by transposed convolutions, what the encoder saw at
        each step added before ReLU; the middle frame is added before the last sigmoid

The frames are the picture and the two before and behind it, in their order in time, 15 channels
divided by 255. Of a picture alone all five are the same (the paper's "single"). Sides are
multiples of 8; other pictures are continued by their border's pixels (the authors: by black).

Differences: BatchNorm's gamma starts at 1; Torch7's starts anywhere in 0..1.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.spec import Preprocess

FRAMES = 4  # beside the picture: two before and two behind it
STRIDE = 8
NORM = {"epsilon": 1e-3, "momentum": 0.9}


@keras.saving.register_keras_serializable("convoy")
class Stack(keras.layers.Layer):
    """[image [B, H, W, 3], frames [B, H, W, 12]] -> [B, H, W, 15], by time."""

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        image, frames = inputs
        half = frames.shape[-1] // 2
        return ops.concatenate([frames[..., :half], image, frames[..., half:]], axis=-1)

    def compute_output_shape(self, input_shape):
        image, frames = input_shape
        return (*image[:-1], image[-1] + frames[-1])


def conv(x, filters: int, name: str, *, kernel: int = 3, stride: int = 1):
    """Convolution padded alike on all sides, BatchNorm, ReLU."""
    x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    start = layers.torch_start(kernel * kernel * x.shape[-1])
    x = keras.layers.Conv2D(filters, kernel, stride, name=name, **start)(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def up(x, beside, name: str):
    """Transposed convolution of 4x4 and BatchNorm to the sides of `beside`, which is added."""
    start = layers.torch_start(16 * x.shape[-1])
    x = keras.layers.Conv2DTranspose(
        beside.shape[-1], 4, 2, padding="same", name=f"{name}_conv", **start
    )(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, beside])
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def build(
    variant: str, preprocess: Preprocess, *, num_classes: int | None = 1, width: float = 1.0
) -> keras.Model:
    """[image [B, H, W, 3], frames [B, H, W, 12]] of 0..255 -> [B, H, W, 3] of 0..255, float32.

    frames: the two before and the two behind, RGB each. num_classes does not matter: pictures have
    none. width: factor of all numbers of channels but those of pictures. Raises ValueError.
    """
    if num_classes is None:
        raise ValueError(f"{variant} needs num_classes: it has no maps by stride")
    if any(side % STRIDE for side in preprocess.size):
        height, width_px = preprocess.size
        raise ValueError(
            f"{variant}: expected sides that are multiples of {STRIDE}, got {height}x{width_px}: "
            "it halves the picture three times and adds what it saw before"
        )
    image, middle = layers.image_input(preprocess)
    frames = keras.Input((*preprocess.size, 3 * FRAMES), dtype="float32", name="frames")
    beside = keras.layers.Rescaling(preprocess.scale, dtype="float32", name="scale")(frames)
    return keras.Model([image, frames], graph(middle, beside, width), name=variant)


def graph(middle, beside, width: float):
    """The layers, from the picture and the frames beside it, of 0..1, to the sharp picture."""

    def of(filters: int) -> int:
        return max(1, int(width * filters))

    x = f0 = conv(Stack(name="stack")([middle, beside]), of(64), "f0", kernel=5)
    x = conv(x, of(64), "d1", stride=2)
    x = conv(x, of(128), "f1")
    x = f2 = conv(x, of(128), "f2")
    x = conv(x, of(256), "d2", stride=2)
    for name in ("f3", "f4", "f5"):
        x = conv(x, of(256), name)
    f5, x = x, conv(x, of(512), "d3", stride=2)
    for name in ("f6", "f7", "f8"):
        x = conv(x, of(512), name)
    x = up(x, f5, "u1")
    for name in ("f9", "f10", "f11"):
        x = conv(x, of(256), name)
    x = up(x, f2, "u2")
    x = conv(x, of(128), "f12")
    x = conv(x, of(64), "f13")
    x = up(x, f0, "u3")
    x = conv(x, 3 * (FRAMES + 1), "f14")
    x = keras.layers.ZeroPadding2D(1, name="f15_pad")(x)
    start = layers.torch_start(9 * x.shape[-1])
    x = keras.layers.Conv2D(3, 3, name="f15", **start)(x)
    x = layers.BatchNorm(**NORM, name="f15_norm")(x)
    x = keras.layers.Add(dtype="float32", name="sum")([x, middle])
    x = keras.layers.Activation("sigmoid", dtype="float32", name="sigmoid")(x)
    return keras.layers.Rescaling(255.0, dtype="float32", name="values")(x)


def whole(model: keras.Model) -> keras.Model:
    """A copy with the same weights for pictures of any sides that are multiples of 8."""
    inputs = [
        keras.Input((None, None, each.shape[-1]), dtype="float32", name=each.name)
        for each in model.inputs
    ]
    copy = keras.models.clone_model(model, input_tensors=inputs)
    copy.set_weights(model.get_weights())
    return copy
