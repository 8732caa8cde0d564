"""Arithmetic on boxes [..., 4] = [ymin, xmin, ymax, xmax] in pixels, float32."""

from __future__ import annotations

import tensorflow as tf


def area(boxes):
    """[..., 4] -> [...] square pixels; 0 where a side is not positive."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.maximum(ymax - ymin, 0.0) * tf.maximum(xmax - xmin, 0.0)


def pairwise_iou(a, b):
    """Intersection over union of a [M, 4] with b [N, 4] -> [M, N] in [0, 1].

    0 for boxes that touch in an edge alone and for boxes without area.
    """
    # A plane [M, N] a coordinate: an inner dimension of 2 would be four times slower.
    ymin, xmin, ymax, xmax = (a[:, None, i] for i in range(4))
    height = tf.minimum(ymax, b[None, :, 2]) - tf.maximum(ymin, b[None, :, 0])
    width = tf.minimum(xmax, b[None, :, 3]) - tf.maximum(xmin, b[None, :, 1])
    shared = tf.maximum(height, 0.0) * tf.maximum(width, 0.0)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return tf.math.divide_no_nan(shared, union)


def clip(boxes, size: tuple[int, int]):
    """Cuts boxes [..., 4] to a picture of size = (height, width)."""
    height, width = float(size[0]), float(size[1])
    return tf.clip_by_value(boxes, 0.0, [height, width, height, width])


def in_input(boxes, matrices):
    """Boxes [B, R, 4] in pixels of the pictures -> of the network's input, not clipped.

    matrices [B, 3, 3] as `models.resize.fit` returns them (scale and shift only).
    """
    scale = tf.stack([matrices[:, 1, 1], matrices[:, 0, 0]] * 2, axis=-1)[:, None]
    shift = tf.stack([matrices[:, 1, 2], matrices[:, 0, 2]] * 2, axis=-1)[:, None]
    return boxes * scale + shift


def in_picture(boxes, matrices, sizes):
    """Boxes [B, D, 4] in pixels of the network's input -> of the pictures, clipped to them.

    matrices [B, 3, 3] as `models.resize.fit` returns them (scale and shift only), sizes [B, 2]
    (height, width).
    """
    scale = tf.stack([matrices[:, 1, 1], matrices[:, 0, 0]] * 2, axis=-1)[:, None]
    shift = tf.stack([matrices[:, 1, 2], matrices[:, 0, 2]] * 2, axis=-1)[:, None]
    limit = tf.cast(tf.tile(sizes, [1, 2]), tf.float32)[:, None]
    return tf.clip_by_value((boxes - shift) / scale, 0.0, limit)
