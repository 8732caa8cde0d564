"""Dilated convolutions: VGG-16 whose last poolings are holes in its filters, and a context module.

Paper: Yu 2016 https://arxiv.org/abs/1511.07122; the layers are those of the authors' network.py and
dilation8_pascal_voc_deploy.prototxt.

dilated_frontend_vgg16  VGG-16 without pool4 and pool5: conv5 at dilation 2, fc6 (7x7) at 4, so that
                        a 66 x 66 map sees 900 x 900 pixels; no convolution is padded
dilation8_vgg16         the same and the large context module: 3x3 at dilations 1, 1, 2, 4, 8, 16, 1
                        with 2, 2, 4, 8, 16, 32, 32 times as many maps as classes, then 1x1

The picture lies inside a margin of 186 mirrored pixels (`Preprocess.margin`): 528 x 528 of 900 x
900. Its 66 x 66 scores are enlarged 8 times, bilinearly.

The context module starts as the identity, with noise (equation 5); VGG's layers as vgg16's, fc6
and fc7 N(0, 0.005), scores N(0, 0.001). Differences: dropout (paper 0.5) after fc6 and fc7 is the
caller's; the enlargement ends with the border's scores, the authors' deconvolution fades them.
`context` makes the paper's basic module, too: as many maps as classes in every layer.
Checked against OpenCV's reading of the Caffe networks.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from convoy.models import layers
from convoy.models.classification.vgg import DEPTHS
from convoy.models.segmentation.fcn_paper import full
from convoy.models.spec import Preprocess
from convoy.models.upsampling import Resize, cropped

MARGIN = 186
BORDER = 33  # zeros around the scores that the context module sees
DILATIONS = (1, 1, 2, 4, 8, 16, 1)
LARGE = (2, 2, 4, 8, 16, 32, 32)
NOISE = 0.01


@keras.saving.register_keras_serializable("convoy")
class Identity(keras.initializers.Initializer):
    """Map b is the mean of its share of the maps before, or a copy of one: equation 5.

    At the centre C / inputs where a C / inputs and b C / outputs lie in the same of `groups` = C
    groups; elsewhere N(0, noise).
    """

    def __init__(self, groups: int, noise: float = NOISE):
        self.groups, self.noise = int(groups), float(noise)

    def __call__(self, shape, dtype=None):
        height, width, inputs, outputs = shape
        before = np.arange(inputs) * self.groups // inputs
        after = np.arange(outputs) * self.groups // outputs
        same = (before[:, None] == after[None]).astype(np.float32)
        center = np.zeros((height, width, 1, 1), np.float32)
        center[height // 2, width // 2] = 1
        mask = center * same
        # Keras' seed, so that equal seeds start equal networks.
        drawn = keras.random.normal(shape, stddev=self.noise, dtype="float32")
        value = self.groups / inputs
        return ops.cast(ops.where(mask > 0, value, drawn), dtype or "float32")

    def get_config(self):
        return {"groups": self.groups, "noise": self.noise}


def frontend(x, num_classes: int, dropout: float):
    """Normalised pixels [B, H, W, 3] -> scores of every eighth of those inside the margin."""
    for block, depth in enumerate(DEPTHS["vgg16"], start=1):
        for index in range(1, depth + 1):
            x = keras.layers.Conv2D(
                min(32 * 2**block, 512),
                3,
                dilation_rate=2 if block == 5 else 1,
                activation="relu",
                kernel_initializer=layers.GLOROT,
                name=f"block{block}_conv{index}",
            )(x)
        if block < 4:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    x = full(x, 7, 0.005, dropout, dilation=4)
    return keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=layers.gaussian(0.001),
        dtype="float32",
        name="s8_logits",
    )(x)


def context(x, widths: tuple[int, ...] = LARGE):
    """Scores [B, h, w, C] -> better ones of the same size; widths (1,) * 7 is the basic module."""
    classes = x.shape[-1]
    x = keras.layers.ZeroPadding2D(BORDER, name="context_border")(x)
    for index, (factor, dilation) in enumerate(zip(widths, DILATIONS, strict=True), start=1):
        x = keras.layers.Conv2D(
            factor * classes,
            3,
            dilation_rate=dilation,
            activation="relu",
            kernel_initializer=Identity(classes),
            name=f"context_conv{index}",
        )(x)
    return keras.layers.Conv2D(
        classes, 1, kernel_initializer=Identity(classes), dtype="float32", name="context_logits"
    )(x)


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 21,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, H - 372, W - 372, num_classes]."""
    if num_classes is None:
        raise ValueError(f"{variant} needs num_classes: it has no maps by stride")
    inside = preprocess.inside.size
    why = f"a margin of {MARGIN} pixels on each side is only looked at"
    layers.check_input(variant, preprocess.size, minimum=2 * MARGIN + 1, why=why)
    image, x = layers.image_input(preprocess)
    x = frontend(x, num_classes, dropout)
    if variant == "dilation8_vgg16":
        x = context(x)
    x = Resize([8 * side for side in x.shape[1:3]], dtype="float32", name="resize")(x)
    x = cropped(x, inside, (0, 0), name="crop")
    return keras.Model(image, x, name=variant)
