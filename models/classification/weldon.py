"""WELDON: a classifier that finds its evidence, positive and negative, without being shown it.

Papers: Durand 2016, WELDON: Weakly Supervised Learning of Deep Convolutional Neural Networks, CVPR;
Durand 2017, WILDCAT, CVPR (the weight of the negative evidence).
A 1x1 convolution scores every position for every class; a class' score is the mean of its k
highest and of its k lowest positions, halved as in the authors'
https://github.com/durandtibo/weldon.resnet.pytorch (the paper's formula does not halve; a factor
that the scores' weights absorb). The maps before that pooling ("scores") show where objects are.
`on` puts it on the last map of any classification network, in a recipe `model.head: weldon`; the
network's own layers behind that map, VGG's full ones for instance, are left out. The paper keeps
those as convolutions.
Differences from the paper: k is a fifth of the positions, as in WILDCAT's published command (the
repository's default is one).
The scores' weights start as PyTorch's do, as in that repository.
Softmax cross entropy trains it for one class per picture; for several (task multilabel) each class
has a loss of its own, as on the paper's sets. Checked against PyTorch, the pooling against NumPy.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers

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
    start = layers.torch_start(x.shape[-1])
    x = keras.layers.Conv2D(num_classes, 1, name="scores", **start)(x)
    return ExtremePool(highest, lowest, weight, name="logits")(x)


def on(network: keras.Model, num_classes: int, *, dropout: float = 0.0) -> keras.Model:
    """Images -> logits [B, num_classes] from the last of a network's maps by stride."""
    if network.name.endswith("_aux"):
        raise ValueError(
            f"{network.name}: head weldon leaves its auxiliary heads out: take "
            f"{network.name.removesuffix('_aux')}"
        )
    maps = network.output
    last = max(maps, key=lambda stride: int(stride[1:]))
    height, width = maps[last].shape[1:3]
    if height * width < 2:
        pixels = "x".join(map(str, network.input.shape[1:3]))
        raise ValueError(
            f"{network.name}: head weldon compares the positions of a map, and {last}, the last "
            f"one, has one position at {pixels} px: give a larger input_size"
        )
    logits = head(maps[last], num_classes, dropout=dropout)
    return keras.Model(network.input, logits, name=network.name)


def backbone(model: keras.Model) -> keras.Model:
    """The network up to the map that the head scores; its layers are the model's own."""
    return keras.Model(model.input, model.get_layer("scores").input, name=model.name)
