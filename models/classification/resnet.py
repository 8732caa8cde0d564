"""ResNet: the paper's layout ("_v1" names) and the one with the stride on the 3x3 ("v1.5").

Paper: He 2015 https://arxiv.org/abs/1512.03385
resnet18 ... resnet200 are torchvision's and fb.resnet's layout: the 3x3 convolution of a strided
bottleneck carries the stride. resnet50_v1 ... resnet200_v1 are the paper's, Caffe's and Keras':
its first 1x1 does. No convolution has a bias (Keras' have; a bias before BatchNorm is redundant, an
importer subtracts it from the running mean). Strided layers pad symmetrically. BatchNorm epsilon
1e-5, momentum 0.9 (Keras: 1.001e-5, 0.99). Shortcuts are projected where the shape changes.
Weights start as in torchvision and fb.resnet.torch: kernels with variance 2 / fan-out (the paper
names He 2015, by whom fan-in or fan-out will do), every gamma at 1, the last layer as PyTorch's do.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Preprocess

NORM = {"epsilon": 1e-5, "momentum": 0.9}
# variant: (blocks per stage, bottleneck, stride on the first 1x1)
VARIANTS = {
    "resnet18": ((2, 2, 2, 2), False, False),
    "resnet34": ((3, 4, 6, 3), False, False),
    "resnet50": ((3, 4, 6, 3), True, False),
    "resnet101": ((3, 4, 23, 3), True, False),
    "resnet152": ((3, 8, 36, 3), True, False),
    "resnet200": ((3, 24, 36, 3), True, False),
    "resnet50_v1": ((3, 4, 6, 3), True, True),
    "resnet101_v1": ((3, 4, 23, 3), True, True),
    "resnet152_v1": ((3, 8, 36, 3), True, True),
    "resnet200_v1": ((3, 24, 36, 3), True, True),
}
MINIMUM = 32


def conv(
    x, filters, kernel, stride=1, *, name: str, index="", relu: bool = True, dilation: int = 1
):
    """Convolution, BatchNorm, ReLU: layers NAME_conv{index}, NAME_norm{index}, NAME_relu{index}."""
    if stride > 1 and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad{index}")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same" if stride == 1 else "valid",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer=layers.he_fan_out(),
        name=f"{name}_conv{index}",
    )(x)
    x = layers.BatchNorm(**NORM, name=f"{name}_norm{index}")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu{index}")(x) if relu else x


def basic(x, filters: int, stride: int, *, name: str):
    """Two 3x3 convolutions."""
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = conv(x, filters, 1, stride, name=f"{name}_shortcut", relu=False)
    x = conv(x, filters, 3, stride, name=name, index=1)
    x = conv(x, filters, 3, name=name, index=2, relu=False)
    return _join(x, shortcut, name)


def bottleneck(x, filters: int, stride: int, *, name: str, stride_first: bool, dilation: int = 1):
    """1x1 reduces to `filters`, 3x3, 1x1 widens to 4 * filters."""
    shortcut = x
    if stride > 1 or x.shape[-1] != 4 * filters:
        shortcut = conv(x, 4 * filters, 1, stride, name=f"{name}_shortcut", relu=False)
    first, second = (stride, 1) if stride_first else (1, stride)
    x = conv(x, filters, 1, first, name=name, index=1)
    x = conv(x, filters, 3, second, name=name, index=2, dilation=dilation)
    x = conv(x, 4 * filters, 1, name=name, index=3, relu=False)
    return _join(x, shortcut, name)


def _join(x, shortcut, name: str):
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride, each the end of one of the four stages."""
    depths, deep, stride_first = VARIANTS[variant]
    x = conv(x, 64, 7, 2, name="stem")
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    maps = {}
    for stage, depth in enumerate(depths, start=1):
        filters = 32 * 2**stage
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}_block{block}"
            if deep:
                x = bottleneck(x, filters, stride, name=name, stride_first=stride_first)
            else:
                x = basic(x, filters, stride, name=name)
        maps[f"s{2 ** (stage + 1)}"] = x
    return maps


def dilated(x, variant: str):
    """The map of stride 16 -> the last stage's, with its layers' names, of stride 16 as well.

    Its 3x3 convolutions are dilated by 2 instead, so that each sees what it would see (Dai 2016
    https://arxiv.org/abs/1605.06409, section 3: "a trous"). Of deep variants.
    """
    depths, _, stride_first = VARIANTS[variant]
    for block in range(1, depths[3] + 1):
        name = f"stage4_block{block}"
        x = bottleneck(x, 512, 1, name=name, stride_first=stride_first, dilation=2)
    return x


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 1000,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 32"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    start = layers.torch_start(maps["s32"].shape[-1])
    return keras.Model(image, layers.head(maps["s32"], num_classes, dropout, **start), name=variant)
