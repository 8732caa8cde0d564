"""WELDON: a classifier that finds its evidence, positive and negative, without being shown it.

Papers: Durand 2016, WELDON: Weakly Supervised Learning of Deep Convolutional Neural Networks, CVPR;
Durand 2017, WILDCAT, CVPR (the weight of the negative evidence).
A 1x1 convolution scores every position for every class; a class' score is the mean of its k
highest and of its k lowest positions, halved as in the authors'
https://github.com/durandtibo/weldon.resnet.pytorch (the paper's formula does not halve; a factor
that the scores' weights absorb). The maps before that pooling ("scores") show where objects are.
Differences from the paper: ResNet-101 as in that repository, where the paper has VGG-16; k is a
fifth of the positions, as in WILDCAT's published command (the repository's default is one).
Softmax cross entropy trains it here, one class a picture; the paper's sets with several have one
binary loss a class. Checked against NumPy.
"""

from __future__ import annotations

import keras
from keras import ops

from models import layers
from models.classification import resnet
from models.spec import Preprocess

PREFIX = "weldon_"


@keras.saving.register_keras_serializable("convoy")
class ExtremePool(keras.layers.Layer):
    """[B, H, W, K] -> [B, K]: (mean of the `highest` + weight * mean of the `lowest`) / 2.

    `highest` and `lowest` are numbers of positions, or fractions of them if below 1; more than
    there are means all. Without lowest (0) it is the mean of the highest. float32.
    """

    def __init__(self, highest=1, lowest=None, weight=1.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.highest = highest
        self.lowest = highest if lowest is None else lowest
        self.weight = float(weight)
        if self.highest <= 0 or self.lowest < 0:
            raise ValueError(
                "ExtremePool: expected highest > 0 and lowest >= 0, "
                f"got {self.highest} and {self.lowest}"
            )

    def call(self, x):
        height, width, classes = x.shape[1:]
        rows = ops.transpose(ops.reshape(x, (-1, height * width, classes)), (0, 2, 1))
        score = self._mean_of_top(rows, self.highest)
        if not self.lowest:
            return score
        return (score - self.weight * self._mean_of_top(-rows, self.lowest)) / 2

    @staticmethod
    def _mean_of_top(rows, k):
        return ops.mean(ops.top_k(rows, positions(k, rows.shape[-1]), sorted=False)[0], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        mine = {key: getattr(self, key) for key in ("highest", "lowest", "weight")}
        return {**super().get_config(), **mine}


def positions(k: float, available: int) -> int:
    """1 to `available`: k, or that fraction of them if below 1."""
    return min(max(round(k * available) if k < 1 else int(k), 1), available)


def head(x, num_classes: int, *, highest=0.2, lowest=None, weight=1.0, dropout: float = 0.0):
    """Any backbone's map [B, H, W, C] -> logits [B, num_classes]; layers "scores", "logits"."""
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Conv2D(num_classes, 1, name="scores")(x)
    return ExtremePool(highest, lowest, weight, name="logits")(x)


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 20,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 32"
    layers.check_input(variant, preprocess.size, minimum=resnet.MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = resnet.features(x, variant.removeprefix(PREFIX))
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    return keras.Model(image, head(maps["s32"], num_classes, dropout=dropout), name=variant)
