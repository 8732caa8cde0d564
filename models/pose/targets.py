"""What networks of poses learn of keypoints: parts, heat maps of them, part affinity fields.

N people, J keypoints, P parts, L limbs, maps h x w of cells of `stride` pixels; a cell's place is
its centre. Visibility is COCO's: 0 not labelled, 1 hidden, 2 visible; hidden ones are learnt.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.models.pose.skeleton import Skeleton

SIGMA = 7.0  # pixels of the input, of a part's Gaussian
LIMB = 1.0  # cells to each side of a limb that its field fills


def parts_of(keypoints, bones: Skeleton) -> tuple[tf.Tensor, tf.Tensor]:
    """[N, J, (y, x, visibility)] -> (places [N, P, (y, x)], known [N, P] bool).

    A part that is the mean of several keypoints is known where all of them are.
    """
    places, known = [], []
    for own in bones.sources:
        points = tf.gather(keypoints, list(own), axis=1)
        places.append(tf.reduce_mean(points[..., :2], 1))
        known.append(tf.reduce_all(points[..., 2] > 0, 1))
    return tf.stack(places, 1), tf.stack(known, 1)


def heat_maps(places, known, size: tuple[int, int], stride: int, sigma: float = SIGMA):
    """[h, w, P] float32: exp(-d^2 / 2 sigma^2) of the nearest person's part, 0 without one."""
    rows, columns = _centers(size, stride)
    y = tf.exp(-((rows - places[..., :1]) ** 2) / (2 * sigma**2))  # [N, P, h]
    x = tf.exp(-((columns - places[..., 1:]) ** 2) / (2 * sigma**2))  # [N, P, w]
    y = tf.where(known[..., None], y, 0.0)
    each = y[..., :, None] * x[..., None, :]
    # Zeros of nobody, so that there is a maximum.
    most = tf.reduce_max(tf.pad(each, [[1, 0], [0, 0], [0, 0], [0, 0]]), 0)
    return tf.transpose(most, [1, 2, 0])


def fields(places, known, bones: Skeleton, size: tuple[int, int], stride: int):
    """[h, w, 2 L] float32: x and y of the unit vector along each limb, 0 away from it.

    A limb fills the cells whose centres are within LIMB cells of its line, and of its two ends
    along it, so that the shortest fill one. Where people overlap, the mean of their vectors.
    """
    firsts, seconds = (list(ends) for ends in zip(*bones.limbs, strict=True))
    start, end = (tf.gather(places, ends, axis=1) / stride for ends in (firsts, seconds))
    there = tf.gather(known, firsts, axis=1) & tf.gather(known, seconds, axis=1)
    line = end - start
    length = tf.norm(line, axis=-1)  # [N, L]
    unit = tf.math.divide_no_nan(line, length[..., None])
    there &= length > 0
    rows, columns = _centers(size, 1)
    y = rows[:, None] - start[..., 0, None, None]  # [N, L, h, 1]
    x = columns[None, :] - start[..., 1, None, None]
    unit_y, unit_x = unit[..., 0, None, None], unit[..., 1, None, None]
    along = y * unit_y + x * unit_x
    beside = tf.abs(x * unit_y - y * unit_x)
    inside = (along >= -LIMB) & (along <= length[..., None, None] + LIMB) & (beside <= LIMB)
    inside = tf.cast(inside & there[..., None, None], tf.float32)
    count = tf.maximum(tf.reduce_sum(inside, 0), 1.0)  # [L, h, w]
    both = [tf.reduce_sum(inside * part, 0) / count for part in (unit_x, unit_y)]
    maps = tf.transpose(tf.stack(both, 1), [2, 3, 0, 1])
    return tf.reshape(maps, [*size, 2 * len(bones.limbs)])


def with_background(heat):
    """[h, w, P + 1]: the last is 1 less the largest of the others."""
    return tf.concat([heat, 1.0 - tf.reduce_max(heat, -1, keepdims=True)], -1)


def known_cells(unlabelled, size: tuple[int, int], stride: int):
    """[h, w, 1] float32: 0 for cells of which more than half is unlabelled [H, W] uint8, else 1."""
    whole = tf.cast(unlabelled, tf.float32)[None, : size[0] * stride, : size[1] * stride, None]
    filled = tf.nn.avg_pool2d(whole, stride, stride, "SAME")[0]
    return tf.ensure_shape(tf.cast(filled <= 0.5, tf.float32), [*size, 1])


def largest(annotation) -> tuple[tf.Tensor, tf.Tensor]:
    """([J, 3], bool): the keypoints of the largest object that has some, and whether one has."""
    boxes, points = annotation["boxes"], annotation["keypoints"]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    usable = annotation["valid"] & tf.reduce_any(points[..., 2] > 0, 1)
    place = tf.argmax(tf.where(usable, area, -1.0))
    there = tf.reduce_any(usable)
    return tf.where(there, points[place], 0.0), there


def _centers(size: tuple[int, int], stride: int) -> tuple[tf.Tensor, tf.Tensor]:
    return tuple((tf.range(side, dtype=tf.float32) + 0.5) * stride for side in size)
