"""What SRCNN learns from: sub-images of an enlarged picture's Y beside the true one's.

Dong 2015 https://arxiv.org/abs/1501.00092, section 4: 33 x 33 pixels, every 14.
"""

from __future__ import annotations

import tensorflow as tf

SIDE, STRIDE = 33, 14


def sub_images(y: tf.Tensor, side: int = SIDE, stride: int = STRIDE) -> tf.Tensor:
    """[H, W, 1] -> [N, side, side, 1], row by row, those that lie inside; N is 0 of a small one."""
    found = tf.image.extract_patches(
        y[None], [1, side, side, 1], [1, stride, stride, 1], [1, 1, 1, 1], "VALID"
    )
    return tf.reshape(found, [-1, side, side, 1])


def pairs(large: tf.Tensor, truth: tf.Tensor, margin: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Y [H, W, 1] twice -> sub-images [N, 33, 33, 1], and [N, 33 - 2 margin, 33 - 2 margin, 1] of
    the truth: the part that a network without padding answers."""
    inside = slice(margin, SIDE - margin)
    return sub_images(large), sub_images(truth)[:, inside, inside]
