"""Elastic deformation: smooth random displacements of a picture's pixels.

Ronneberger 2015 https://arxiv.org/abs/1505.04597 section 3.1: displacement vectors on a coarse grid
of 3 x 3, normal with sigma 10 pixels (of 512), bicubic between. The pixel that appears at q came
from q + field(q), both in the picture's own frame, before the affine matrix.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.data.augment.geometry import transform_points

GRID = 3
DRAWS = GRID * GRID * 2  # normal numbers used by field
FINE = 64  # the bicubic field is kept on 64 x 64 nodes, bilinear between
EDGE_POINTS = 8  # a box is moved by this many points per edge
STEPS = 6  # of the fixed point; displacements are small against the grid


def field(height, width, sigma: float, normals: tf.Tensor) -> tf.Tensor:
    """[B, FINE, FINE, (x, y)] pixels, over pictures of height and width [B]; normals [B, DRAWS]."""
    shorter = tf.cast(tf.minimum(height, width), tf.float32)
    grid = tf.reshape(normals, [-1, GRID, GRID, 2]) * sigma * shorter[:, None, None, None]
    return tf.image.resize(grid, [FINE, FINE], tf.image.ResizeMethod.BICUBIC)


def displacement(fine: tf.Tensor, points: tf.Tensor, height, width) -> tf.Tensor:
    """The field [B, FINE, FINE, 2] at points [B, P, (x, y)] pixels -> [B, P, 2] pixels."""
    sides = tf.cast(tf.stack([width, height], -1), tf.float32)[:, None, :]
    return bilinear(fine, tf.clip_by_value(points / sides, 0.0, 1.0) * FINE)


def unbend(fine: tf.Tensor, points: tf.Tensor, height, width) -> tf.Tensor:
    """Where pixels at `points` [B, P, (x, y)] appear: q with q + field(q) = point."""
    moved = points
    for _ in range(STEPS):
        moved = points - displacement(fine, moved, height, width)
    return moved


def outline(boxes: tf.Tensor) -> tf.Tensor:
    """[B, N, 4 * EDGE_POINTS, (x, y)] points along the edges of boxes [B, N, 4]."""
    ymin, xmin, ymax, xmax = (edge[..., None] for edge in tf.unstack(boxes, axis=-1))
    step = tf.linspace(0.0, 1.0, EDGE_POINTS)
    x, y = xmin + (xmax - xmin) * step, ymin + (ymax - ymin) * step
    flat = tf.zeros_like(x)
    return tf.stack(
        [
            tf.concat([x, x, xmin + flat, xmax + flat], -1),
            tf.concat([ymin + flat, ymax + flat, y, y], -1),
        ],
        -1,
    )


def hull(points: tf.Tensor) -> tf.Tensor:
    """[..., P, (x, y)] -> [..., 4] ymin, xmin, ymax, xmax."""
    edges = [tf.reduce_min(points, -2), tf.reduce_max(points, -2)]
    return tf.concat([tf.reverse(edge, [-1]) for edge in edges], -1)


def draw(image: tf.Tensor, matrix, fine: tf.Tensor, size, fill: float, nearest: bool = False):
    """[H, W, C] bent by `fine` [FINE, FINE, 2] and through `matrix` [3, 3] -> [*size, C].

    Outside the picture is `fill`; in the image's dtype when `nearest`, else float32.
    """
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    y, x = tf.meshgrid(tf.range(size[0]), tf.range(size[1]), indexing="ij")
    centers = tf.reshape(tf.cast(tf.stack([x, y], -1), tf.float32), [-1, 2]) + 0.5
    points = transform_points(centers, tf.linalg.inv(matrix))[None]
    source = points + displacement(fine[None], points, height[None], width[None])
    sides = tf.cast(tf.stack([width, height]), tf.float32)
    inside = tf.reduce_all((source[0] >= 0) & (source[0] < sides), -1)
    if nearest:
        cell = tf.reverse(tf.cast(tf.floor(source[0]), tf.int32), [-1])
        cell = tf.clip_by_value(cell, 0, tf.stack([height, width]) - 1)
        drawn = tf.gather_nd(image, cell)
    else:
        drawn = bilinear(tf.cast(image, tf.float32)[None], source)[0]
    drawn = tf.where(inside[:, None], drawn, tf.cast(fill, drawn.dtype))
    return tf.reshape(drawn, [*size, image.shape[-1]])


def bilinear(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C] at points [B, P, (x, y)], continuous pixels -> [B, P, C]; borders go on."""
    last = tf.shape(images)[1:3] - 1
    place = tf.reverse(points, [-1]) - 0.5  # rows, columns between pixel centres
    place = tf.clip_by_value(place, 0.0, tf.cast(last, tf.float32))
    low = tf.cast(tf.floor(place), tf.int32)
    high = tf.minimum(low + 1, last)
    part = place - tf.cast(low, tf.float32)

    def at(rows, columns):
        return tf.gather_nd(images, tf.stack([rows[..., 0], columns[..., 1]], -1), batch_dims=1)

    upper = at(low, low) + (at(low, high) - at(low, low)) * part[..., 1:]
    lower = at(high, low) + (at(high, high) - at(high, low)) * part[..., 1:]
    return upper + (lower - upper) * part[..., :1]
