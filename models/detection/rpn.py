"""The region proposal network: of each anchor whether it holds an object, and that one's box.

Paper: Ren 2015 https://arxiv.org/abs/1506.01497 (section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from convoy.models import anchors, layers


@keras.saving.register_keras_serializable("convoy")
class Objectness(keras.layers.Layer):
    """[B, H, W, 2 A], background of A anchors before object of A -> [B, H W A], their difference.

    The softmax of two logits is the sigmoid of it.
    """

    def call(self, x):
        half = x.shape[-1] // 2
        return ops.reshape(x[..., half:] - x[..., :half], (-1, self._rows(x.shape)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self._rows(input_shape))

    @staticmethod
    def _rows(shape) -> int:
        return shape[1] * shape[2] * shape[3] // 2


def rpn(maps: Sequence, levels: Sequence[anchors.Level], filters: int, *, paired: bool):
    """The region proposal network on maps of any number: ([B, N] logits, [B, N, 4] codes).

    A 3x3 convolution and two of 1x1, the same for all maps. paired: two logits per anchor, as in
    Caffe, else one. All start as N(0, 0.01), as the paper's section 3.1.3 says.
    """
    per_cell = len(levels[0].shapes)

    def conv(filters, kernel, name, **options):
        start = layers.gaussian(0.01)
        return keras.layers.Conv2D(
            filters, kernel, padding="same", kernel_initializer=start, name=name, **options
        )

    shared = conv(filters, 3, "rpn_conv", activation="relu")
    classify = conv(per_cell * (2 if paired else 1), 1, "rpn_cls", dtype="float32")
    regress = conv(4 * per_cell, 1, "rpn_box", dtype="float32")
    logits, codes = [], []
    for index, (x, level) in enumerate(zip(maps, levels, strict=True), start=1):
        x = shared(x)
        if paired:
            rows = Objectness(dtype="float32", name=f"rpn_cls_rows{index}")
        else:
            rows = keras.layers.Reshape(
                (level.count,), dtype="float32", name=f"rpn_cls_rows{index}"
            )
        logits.append(rows(classify(x)))
        reshape = keras.layers.Reshape(
            (level.count, 4), dtype="float32", name=f"rpn_box_rows{index}"
        )
        codes.append(reshape(regress(x)))
    if len(levels) == 1:
        return logits[0], codes[0]
    return tuple(
        keras.layers.Concatenate(axis=1, dtype="float32", name=f"{name}_all")(parts)
        for name, parts in (("rpn_cls", logits), ("rpn_box", codes))
    )
