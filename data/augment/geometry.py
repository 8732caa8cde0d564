"""Flips, turns, shears, shifts and zooms composed into one affine matrix, applied to all geometry.

Matrices are [..., 3, 3] float32, map (x, y, 1) in continuous source pixels to target pixels, and
compose from right to left. A picture is drawn through the final matrix once, so nothing is
resampled twice. All functions are TensorFlow, take a block of samples at once, and run eagerly, in
Beam workers and inside tf.data.
"""

from __future__ import annotations

import math

import tensorflow as tf

from convoy.data.augment.policy import Augment

DRAWS = 9  # uniform numbers used by random_matrix


def random_matrix(height, width, policy: Augment, draws: tf.Tensor, window=None) -> tf.Tensor:
    """[..., 3, 3] from the picture onto a canvas of its own size; `draws`: [..., DRAWS] in [0, 1).

    height, width: [...] pixels. First `window` ([..., 4] edges, parts of the picture's sides) is
    spread over the canvas. Then about the centre: flip, zoom and stretch, shear, turn; then shift.
    """
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    flip_x = tf.where(draws[..., 0] < policy.flip_horizontal, -1.0, 1.0)
    flip_y = tf.where(draws[..., 1] < policy.flip_vertical, -1.0, 1.0)
    low, high = (math.log(factor) for factor in policy.zoom)
    zoom = tf.exp(low + (high - low) * draws[..., 2])
    stretch = tf.exp(-math.log(1.0 - policy.stretch) * _signed(draws[..., 3]) / 2)
    angle = _signed(draws[..., 4]) * math.radians(policy.rotate_deg)
    shift_x = _signed(draws[..., 5]) * policy.shift * w
    shift_y = _signed(draws[..., 6]) * policy.shift * h
    lean_x, lean_y = (
        tf.tan(_signed(draws[..., k]) * math.radians(policy.shear_deg)) for k in (7, 8)
    )

    to_center = affine(1.0, 0.0, -w / 2, 0.0, 1.0, -h / 2)
    scale = affine(flip_x * zoom * stretch, 0.0, 0.0, 0.0, flip_y * zoom / stretch, 0.0)
    back = affine(1.0, 0.0, w / 2 + shift_x, 0.0, 1.0, h / 2 + shift_y)
    matrix = scale @ to_center
    if policy.shear_deg:
        matrix = affine(1.0, lean_x, 0.0, lean_y, 1.0, 0.0) @ matrix
    if policy.rotate_deg:
        cos, sin = tf.cos(angle), tf.sin(angle)
        matrix = affine(cos, -sin, 0.0, sin, cos, 0.0) @ matrix
    matrix = back @ matrix
    return matrix if window is None else matrix @ spread(window, h, w)


def spread(window: tf.Tensor, height, width) -> tf.Tensor:
    """[..., 3, 3] that draws `window` [..., 4] over the whole height x width."""
    ymin, xmin, ymax, xmax = tf.unstack(window, axis=-1)
    scale_x, scale_y = 1.0 / (xmax - xmin), 1.0 / (ymax - ymin)
    return affine(
        scale_x, 0.0, -xmin * width * scale_x, 0.0, scale_y, -ymin * height * scale_y
    )  # fmt: skip


def affine(a, b, c, d, e, f) -> tf.Tensor:
    """[..., 3, 3] of the rows (a, b, c), (d, e, f), (0, 0, 1); each [...] or a number."""
    like = sum(tf.zeros_like(value) for value in (a, b, c, d, e, f))
    rows = [[a, b, c], [d, e, f], [0.0, 0.0, 1.0]]
    return tf.stack([tf.stack([v + like for v in row], axis=-1) for row in rows], axis=-2)


def straight(policy: Augment) -> bool:
    """Whether rows stay rows and columns columns."""
    return not (policy.rotate_deg or policy.shear_deg or policy.elastic)


def flipped(policy: Augment) -> tuple[int, ...]:
    """The axes, 0 of rows and 1 of columns, that the policy may flip."""
    probabilities = (policy.flip_vertical, policy.flip_horizontal)
    return tuple(axis for axis, probability in enumerate(probabilities) if probability)


def transform_boxes(boxes: tf.Tensor, matrix: tf.Tensor, size, min_visible: float, centers=False):
    """Axis-parallel hulls of the transformed boxes [..., N, 4], clipped; see `keep_visible`."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    center = transform_points(tf.stack([xmin + xmax, ymin + ymax], -1) / 2, matrix)
    side = tf.stack([xmax - xmin, ymax - ymin], -1) / 2
    zero = tf.zeros_like(matrix[..., 2:])
    half = transform_points(side, tf.abs(tf.concat([matrix[..., :2], zero], -1)))
    hull = tf.reverse(tf.concat([center + half, center - half], -1), [-1])
    return keep_visible(hull, size, min_visible, centers)


def keep_visible(hull: tf.Tensor, size, min_visible: float, centers: bool = False):
    """Boxes [..., N, 4] cut to `size` = (height, width), and which of them stay.

    Returns (boxes [..., N, 4], keep [..., N] bool): a box is kept when at least `min_visible` of
    its area, and some area at all, lies inside; with `centers`, when its centre also does.
    """
    h, w = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    clipped = tf.clip_by_value(hull, 0.0, tf.stack([h, w, h, w]))
    area, full = _area(clipped), _area(hull)
    keep = (area > 0) & (area >= min_visible * full)
    if centers:
        middle = (hull[..., :2] + hull[..., 2:]) / 2
        keep &= tf.reduce_all((middle >= 0) & (middle < tf.stack([h, w])), -1)
    return clipped, keep


def transform_points(points: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """[..., points..., (x, y)] through the matrices [..., 3, 3]."""
    x, y = points[..., 0], points[..., 1]
    rows = tf.unstack(matrix, axis=-2)[:2]
    for _ in range(points.shape.rank - 1 - rows[0].shape.rank + 1):
        rows = [row[..., None, :] for row in rows]
    return tf.stack([row[..., 0] * x + row[..., 1] * y + row[..., 2] for row in rows], axis=-1)


def finish_keypoints(moved, visibility, matrix: tf.Tensor, size, pairs=()) -> tf.Tensor:
    """[..., N, K, (y, x, visibility)] of moved (x, y): outside is nothing, mirrored pairs swap."""
    x, y = moved[..., 0], moved[..., 1]
    h, w = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    inside = (y >= 0) & (y < h) & (x >= 0) & (x < w) & (visibility > 0)
    points = tf.where(inside[..., None], tf.stack([y, x, visibility], -1), 0.0)
    if not pairs:
        return points
    order = list(range(points.shape[-2]))
    for left, right in pairs:
        order[left], order[right] = order[right], order[left]
    mirrored = determinant(matrix)[..., None, None, None] < 0
    return tf.where(mirrored, tf.gather(points, order, axis=-2), points)


def determinant(matrix: tf.Tensor) -> tf.Tensor:
    """[...]: what areas are multiplied with; below 0 the matrix mirrors."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _signed(draw: tf.Tensor) -> tf.Tensor:
    return 2.0 * draw - 1.0
