"""Random windows: what of a picture, and how much around it, is drawn over the whole canvas.

A window is [..., 4] ymin, xmin, ymax, xmax in parts of the picture's height and width; one that
reaches beyond 0..1 shows what lies around. Crops of Krizhevsky 2012 (a fixed part) and Simonyan
2014 (parts 1/part uniform: their scale jitter), Szegedy 2014 https://arxiv.org/abs/1409.4842 (area
and aspect), Liu 2016 https://arxiv.org/abs/1512.02325 (SSD's samplers and its larger canvas),
Redmon 2016 https://arxiv.org/abs/1612.08242 (each edge moved).
"""

from __future__ import annotations

import math

import tensorflow as tf

from convoy.data.augment.policy import Augment

TRIES = 50  # of an SSD sampler, as its Caffe code has it
MIN_IOU = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)  # of five samplers, and of any window; the seventh: whole
IOU_SCALE, IOU_ASPECT = (0.3, 1.0), (0.5, 2.0)


def active(policy: Augment) -> bool:
    """Whether the policy draws a window at all."""
    return any((policy.crop, policy.crop_area, policy.iou_crop, policy.expand, policy.jitter))


def fills(policy: Augment) -> bool:
    """Whether the window is drawn over the whole input, however a plain picture is fitted."""
    return bool(policy.crop or policy.crop_area)


def inside(policy: Augment) -> bool:
    """Whether a policy that `fills` never shows what lies around the picture."""
    still = not (policy.shift or policy.expand or policy.jitter) and policy.zoom[0] >= 1.0
    return fills(policy) and still and not policy.stretch


def count(policy: Augment) -> int:
    """Uniform numbers used by random_window."""
    return 14 + (4 * TRIES if policy.iou_crop else 0)


def random_window(height, width, policy: Augment, draws, aspect, boxes=None, valid=None):
    """[B, 4] of pictures of height, width [B]; `draws`: [B, count(policy)] uniform in [0, 1).

    aspect: [B] or a number, width / height of `crop`'s windows. boxes [B, N, 4] in parts of the
    sides and valid [B, N] bool are what SSD's samplers look at.
    """
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    zero = tf.zeros_like(height)
    window = tf.stack([zero, zero, zero + 1, zero + 1], -1)
    if policy.expand:
        window = _expand(policy, draws[:, 0:4])
    if policy.crop:
        window = _within(window, _part(width / height, policy.crop, aspect, draws[:, 4:7]))
    if policy.crop_area:
        window = _within(window, _area_and_aspect(width / height, policy, draws[:, 4:8]))
    if policy.jitter:
        move = (2 * draws[:, 8:12] - 1) * policy.jitter
        window = _within(window, tf.constant([0.0, 0.0, 1.0, 1.0]) + move)
    if policy.iou_crop and boxes is not None:
        relative = _relative_to(window, boxes)
        window = _within(window, _by_iou(policy.iou_crop, draws[:, 12:], relative, valid))
    return window


def part_matrix(height, width, size: tuple[int, int], draws) -> tf.Tensor:
    """[B, 3, 3] shifts that bring a part of `size` of each picture to the corner, by whole pixels.

    height, width [B]; draws [B, 2], uniform. A side that is shorter than the part stays at 0.
    """
    sides = tf.stack([height, width], -1)
    most = tf.cast(tf.maximum(sides - tf.constant(size, sides.dtype), 0), tf.float32)
    shift = -tf.minimum(tf.floor(draws * (most + 1.0)), most)
    zero, one = tf.zeros_like(shift[:, 0]), tf.ones_like(shift[:, 0])
    rows = [[one, zero, shift[:, 1]], [zero, one, shift[:, 0]], [zero, zero, one]]
    return tf.stack([tf.stack(row, -1) for row in rows], -2)


def _expand(policy: Augment, draws) -> tf.Tensor:
    """The picture lies anywhere on a canvas of both sides times 1 .. expand_factor."""
    factor = 1.0 + (policy.expand_factor - 1.0) * draws[:, 1]
    factor = tf.where(draws[:, 0] < policy.expand, factor, 1.0)[:, None]
    corner = (1.0 - factor) * draws[:, 2:4]
    return tf.concat([corner, corner + factor], -1)


def _part(picture, crop: tuple[float, float], aspect, draws) -> tf.Tensor:
    """A part of the largest window of the given aspect, anywhere in the picture."""
    low, high = 1.0 / crop[1], 1.0 / crop[0]
    part = 1.0 / (low + (high - low) * draws[:, 0])
    sides = tf.stack([tf.minimum(1.0, picture / aspect), tf.minimum(1.0, aspect / picture)], -1)
    return _anywhere(sides * part[:, None], draws[:, 1:3])


def _area_and_aspect(picture, policy: Augment, draws) -> tf.Tensor:
    """Uniform area, log-uniform aspect: the aspect is drawn among those that fit, given the area.

    The paper's code draws both up to 10 times until they fit. Where no aspect of the range fits,
    the nearest is taken, as large as fits.
    """
    low, high = policy.crop_area
    area = low + (high - low) * draws[:, 0]
    narrow, wide = (math.log(value) for value in policy.crop_aspect)
    first = tf.clip_by_value(tf.math.log(area * picture), narrow, wide)
    last = tf.clip_by_value(tf.math.log(picture / area), narrow, wide)
    relative = tf.exp(first + (last - first) * draws[:, 1]) / picture
    sides = tf.sqrt(tf.stack([area / relative, area * relative], -1))
    sides /= tf.maximum(1.0, tf.reduce_max(sides, -1, keepdims=True))
    return _anywhere(sides, draws[:, 2:4])


def _by_iou(probability: float, draws, boxes, valid) -> tf.Tensor:
    """One of seven samplers; its first window of 50 that some object overlaps enough, or whole.

    The Caffe code runs all samplers and takes one of the windows that they found.
    """
    numbers = tf.reshape(draws[:, 2:], [-1, TRIES, 4])
    scale = IOU_SCALE[0] + (IOU_SCALE[1] - IOU_SCALE[0]) * numbers[..., 0]
    low = tf.maximum(IOU_ASPECT[0], scale**2)
    high = tf.minimum(IOU_ASPECT[1], 1.0 / scale**2)
    root = tf.sqrt(low + (high - low) * numbers[..., 1])
    sides = tf.minimum(tf.stack([scale / root, scale * root], -1), 1.0)
    windows = _anywhere(sides, numbers[..., 2:])
    samplers = len(MIN_IOU) + 1
    sampler = tf.cast(draws[:, 1] * samplers, tf.int32)
    min_iou = tf.gather(tf.constant([*MIN_IOU, 2.0]), sampler)[:, None, None]
    fits = (_iou(windows, boxes) >= min_iou) & valid[:, None, :]
    fits = tf.reduce_any(fits, -1)  # [B, TRIES]
    take = tf.reduce_any(fits, -1) & (draws[:, 0] < probability)
    chosen = tf.gather(windows, tf.argmax(tf.cast(fits, tf.int32), -1), batch_dims=1)
    return tf.where(take[:, None], chosen, tf.constant([0.0, 0.0, 1.0, 1.0]))


def _iou(windows, boxes) -> tf.Tensor:
    """[B, T, 4] with [B, N, 4] -> [B, T, N]."""
    a, b = windows[:, :, None, :], boxes[:, None, :, :]
    low, high = tf.maximum(a[..., :2], b[..., :2]), tf.minimum(a[..., 2:], b[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    areas = [tf.reduce_prod(box[..., 2:] - box[..., :2], -1) for box in (a, b)]
    return tf.math.divide_no_nan(shared, areas[0] + areas[1] - shared)


def _anywhere(sides, draws) -> tf.Tensor:
    """Windows of `sides` [..., (height, width)] at a uniform place within 0..1."""
    corner = (1.0 - sides) * draws
    return tf.concat([corner, corner + sides], -1)


def _within(outer, inner) -> tf.Tensor:
    """The window `inner` of the window `outer`."""
    corner, sides = outer[:, :2], outer[:, 2:] - outer[:, :2]
    return tf.concat([corner + inner[:, :2] * sides, corner + inner[:, 2:] * sides], -1)


def _relative_to(window, boxes) -> tf.Tensor:
    """Boxes [B, N, 4] in parts of a window's sides."""
    corner, sides = window[:, None, :2], window[:, None, 2:] - window[:, None, :2]
    return tf.concat([(boxes[..., :2] - corner) / sides, (boxes[..., 2:] - corner) / sides], -1)
