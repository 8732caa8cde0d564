"""CSPDarknet-53, the classification network under YOLOv4, and the body of YOLOv4-tiny.

Papers: Wang 2019 (cross stage partial networks) https://arxiv.org/abs/1911.11929; Bochkovskiy 2020
https://arxiv.org/abs/2004.10934; Misra 2019 (Mish) https://arxiv.org/abs/1908.08681
As in the authors' csdarknet53-omega.cfg: each stage of Darknet-53 splits into two 1x1 convolutions,
one goes through the residual blocks, and a third joins both; Mish everywhere. The first stage
halves its channels inside of the residual block alone, the others in the split alone. BatchNorm and
the other differences are darknet.py's. Kernels start as in the authors' fork of darknet, the last
layer's too: uniform in +-sqrt(2 / fan-in), a third of darknet.py's variance.
The tiny one: Wang 2020 https://arxiv.org/abs/2011.08036 and the first 27 layers of the authors'
yolov4-tiny.cfg; a stage convolves the second half of its channels twice and joins all of it again;
leaky ReLUs. Its average and logits are ours: the authors publish it as a detector's body alone.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification.darknet import DEPTHS_53, MINIMUM, conv, residual
from convoy.models.spec import Preprocess


def uniform():
    """Uniform in +-sqrt(2 / fan-in), whose variance is 2 / 3 over fan-in."""
    return keras.initializers.VarianceScaling(2 / 3, "fan_in", "uniform")


STYLE = {"activation": "mish", "start": uniform}


def stage_of(x, filters: int, depth: int, *, name: str, first: bool):
    """Halves the map: [B, H, W, C] -> [B, H / 2, W / 2, filters]."""
    x = conv(x, filters, 3, 2, name=f"{name}_down", **STYLE)
    split = filters if first else filters // 2
    skip = conv(x, split, 1, name=f"{name}_skip", **STYLE)
    x = conv(x, split, 1, name=f"{name}_split", **STYLE)
    for block in range(1, depth + 1):
        x = residual(x, filters // 2, name=f"{name}_block{block}", **STYLE)
    x = conv(x, split, 1, name=f"{name}_end", **STYLE)
    x = keras.layers.Concatenate(name=f"{name}_concat")([x, skip])
    return conv(x, filters, 1, name=f"{name}_join", **STYLE)


def features(x) -> dict:
    """Normalised pixels -> maps by stride: the end of each stage."""
    x = conv(x, 32, 3, name="stem_conv", **STYLE)
    maps = {}
    for stage, depth in enumerate(DEPTHS_53, start=1):
        x = stage_of(x, 32 * 2**stage, depth, name=f"stage{stage}", first=stage == 1)
        maps[f"s{2**stage}"] = x
    return {key: maps[key] for key in ("s4", "s8", "s16", "s32")}


@keras.saving.register_keras_serializable("convoy")
class SecondHalf(keras.layers.Layer):
    """[B, H, W, C] -> its last C / 2 channels: a .cfg's route with groups=2, group_id=1."""

    def call(self, x):
        return x[..., x.shape[-1] // 2 :]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] - input_shape[-1] // 2)


def features_tiny(x) -> dict:
    """Normalised pixels -> maps by stride: of stages 1 to 3 the convolution before the last join.

    The next stage sees that beside the stage's first one, pooled.
    """
    style = {"start": uniform}
    x = conv(x, 32, 3, 2, name="stem_conv", **style)
    x = conv(x, 64, 3, 2, name="stage1_down", **style)
    maps = {}
    for stage, filters in enumerate((64, 128, 256), start=1):
        name = f"stage{stage}"
        first = conv(x, filters, 3, name=f"{name}_conv1", **style)
        x = SecondHalf(name=f"{name}_half")(first)
        x = inner = conv(x, filters // 2, 3, name=f"{name}_conv2", **style)
        x = conv(x, filters // 2, 3, name=f"{name}_conv3", **style)
        x = keras.layers.Concatenate(name=f"{name}_concat")([x, inner])
        x = maps[f"s{2 ** (stage + 1)}"] = conv(x, filters, 1, name=f"{name}_conv4", **style)
        x = keras.layers.Concatenate(name=f"{name}_join")([first, x])
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
    return {**maps, "s32": conv(x, 512, 3, name="stage4_conv1", **style)}


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
    maps = features_tiny(x) if variant == "cspdarknet53_tiny" else features(x)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    logits = layers.head(maps["s32"], num_classes, dropout, kernel_initializer=uniform())
    return keras.Model(image, logits, name=variant)
