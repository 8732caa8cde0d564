"""Feature pyramid network: maps of all strides with as many channels, each of which sees the deep.

Paper: Lin 2016 https://arxiv.org/abs/1612.03144 (section 3): a 1x1 convolution of every map, added
to the coarser result, enlarged by its nearest neighbours; then a 3x3 convolution of every sum. As
in the paper and in torchvision there is neither normalisation nor activation. Coarser maps than the
backbone's: `pooled` for Faster R-CNN (section 4.1), `convolved` for RetinaNet,
https://arxiv.org/abs/1708.02002.

Layers are NAME_inner1, NAME_layer1, ... from the finest map on: torchvision's inner_blocks.0.0 and
layer_blocks.0.0, ... All start as there and in Detectron: uniform, variance 1 / fan-in, biases 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from convoy.models import layers


@keras.saving.register_keras_serializable("convoy")
class Enlarge(keras.layers.Layer):
    """[B, h, w, C] -> [B, height, width, C]: row i is row floor(i * h / height), columns alike.

    That is PyTorch's interpolate(mode="nearest"), for any two sizes.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height, self.width = int(height), int(width)

    def call(self, x):
        for axis, size in ((1, self.height), (2, self.width)):
            given = x.shape[axis]
            if size == 2 * given:
                x = ops.repeat(x, 2, axis=axis)
            elif size != given:
                x = ops.take(x, np.arange(size) * given // size, axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}


def fpn(features: Mapping[str, keras.KerasTensor], channels: int = 256, *, name: str = "fpn"):
    """Maps by stride, {"s8": [B, H, W, C], ...} from the finest on -> the same with `channels`."""
    found: dict[str, keras.KerasTensor] = {}
    above = None
    for index, (stride, x) in reversed(list(enumerate(features.items(), start=1))):
        x = conv(x, channels, 1, name=f"{name}_inner{index}")
        if above is not None:
            above = Enlarge(*x.shape[1:3], name=f"{name}_enlarge{index}")(above)
            x = keras.layers.Add(name=f"{name}_sum{index}")([x, above])
        above = x
        found[stride] = conv(x, channels, 3, name=f"{name}_layer{index}")
    return {stride: found[stride] for stride in features}


def pooled(maps: Mapping[str, keras.KerasTensor], *, name: str = "fpn"):
    """The maps and one of twice the last stride: every second position of the last map."""
    last = list(maps)[-1]
    x = keras.layers.MaxPooling2D(1, 2, name=f"{name}_pool")(maps[last])
    return {**maps, _doubled(last): x}


def convolved(
    maps: Mapping[str, keras.KerasTensor], source=None, channels: int = 256, *, name: str = "fpn"
):
    """The maps and two of the next strides, by strided 3x3 convolutions, a ReLU before the second.

    source: the map of the last stride that the first one sees: the last of `maps` (torchvision), or
    the backbone's (RetinaNet's paper). Layers are NAME_p6 and NAME_p7 whatever the strides.
    """
    last = list(maps)[-1]
    p6 = conv(maps[last] if source is None else source, channels, 3, 2, name=f"{name}_p6")
    p7 = keras.layers.ReLU(name=f"{name}_p6_act")(p6)
    p7 = conv(p7, channels, 3, 2, name=f"{name}_p7")
    return {**maps, _doubled(last): p6, _doubled(_doubled(last)): p7}


def conv(x, filters: int, kernel: int, stride: int = 1, *, name: str):
    """A convolution with biases that pads all sides alike."""
    if stride > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same" if stride == 1 else "valid",
        kernel_initializer=layers.LECUN,
        name=name,
    )(x)


def _doubled(stride: str) -> str:
    return f"s{2 * int(stride[1:])}"
