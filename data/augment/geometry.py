"""Flips, turns, shifts and zooms composed into one affine matrix, applied to boxes and points.

Matrices are 3x3 float32, map (x, y, 1) in continuous source pixels to target pixels, and compose
from right to left. A picture is drawn through the final matrix once (`models.resize.warp`), so
nothing is resampled twice. All functions are TensorFlow and run eagerly, in Beam workers and inside
tf.data.
"""

from __future__ import annotations

import math

import tensorflow as tf

from data.augment.policy import Augment

DRAWS = 8  # uniform numbers used by random_matrix


def random_matrix(height, width, policy: Augment, draws: tf.Tensor) -> tf.Tensor:
    """[3, 3] from the picture onto a canvas of its own size; `draws`: [DRAWS] uniform in [0, 1).

    In this order about the centre: flip, zoom and stretch, turn; then shift.
    """
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    flip_x = tf.where(draws[0] < policy.flip_horizontal, -1.0, 1.0)
    flip_y = tf.where(draws[1] < policy.flip_vertical, -1.0, 1.0)
    low, high = (math.log(factor) for factor in policy.zoom)
    zoom = tf.exp(low + (high - low) * draws[2])
    stretch = tf.exp(-math.log(1.0 - policy.stretch) * _signed(draws[3]) / 2)
    angle = _signed(draws[4]) * math.radians(policy.rotate_deg)
    shift_x = _signed(draws[5]) * policy.shift * w
    shift_y = _signed(draws[6]) * policy.shift * h

    to_center = _affine(1.0, 0.0, -w / 2, 0.0, 1.0, -h / 2)
    scale = _affine(flip_x * zoom * stretch, 0.0, 0.0, 0.0, flip_y * zoom / stretch, 0.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    turn = _affine(cos, -sin, 0.0, sin, cos, 0.0)
    back = _affine(1.0, 0.0, w / 2 + shift_x, 0.0, 1.0, h / 2 + shift_y)
    return back @ turn @ scale @ to_center


def transform_boxes(boxes: tf.Tensor, matrix: tf.Tensor, size, min_visible: float):
    """Axis-parallel hulls of the transformed boxes, clipped to `size` = (height, width).

    boxes: [N, 4] ymin, xmin, ymax, xmax. Returns (boxes [N, 4], keep [N] bool): a box is kept when
    at least `min_visible` of its transformed area, and some area at all, lies inside.
    """
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    corners = tf.stack(
        [
            tf.stack([xmin, xmax, xmax, xmin], axis=-1),
            tf.stack([ymin, ymin, ymax, ymax], axis=-1),
        ],
        axis=-1,
    )  # [N, 4, (x, y)]
    moved = transform_points(corners, matrix)
    x, y = moved[..., 0], moved[..., 1]
    hull = tf.stack(
        [tf.reduce_min(y, -1), tf.reduce_min(x, -1), tf.reduce_max(y, -1), tf.reduce_max(x, -1)],
        axis=-1,
    )
    h, w = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    clipped = tf.clip_by_value(hull, 0.0, tf.stack([h, w, h, w]))
    area, full = _area(clipped), _area(hull)
    keep = (area > 0) & (area >= min_visible * full)
    return clipped, keep


def transform_points(points: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """[..., (x, y)] through the matrix."""
    return tf.linalg.matvec(matrix[:2, :2], points) + matrix[:2, 2]


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _signed(draw: tf.Tensor) -> tf.Tensor:
    return 2.0 * draw - 1.0


def _affine(a, b, c, d, e, f) -> tf.Tensor:
    values = [tf.cast(value, tf.float32) for value in (a, b, c, d, e, f, 0.0, 0.0, 1.0)]
    return tf.reshape(tf.stack(values), [3, 3])
