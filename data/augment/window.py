"""The quick way to draw a picture that is not turned: decode what is seen, resize, flip, pad.

A general warp reads the whole decoded picture and costs more than decoding it. Where the matrix
only scales, shifts and flips, whole-pixel windows are cut out of the source and the target, and the
matrix is snapped to them, so that boxes follow the pixels exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Window(NamedTuple):
    """The part `source` of the picture is seen, flipped or not, in the part `target`."""

    source: tf.Tensor  # [..., 2, 2] int32: (first, end) of rows, then of columns
    target: tf.Tensor  # [..., 2, 2] int32: the same in the network's input
    flip: tf.Tensor  # [..., 2] bool: rows, columns
    matrix: tf.Tensor  # [..., 3, 3]: exactly what is drawn


def snap(matrix: tf.Tensor, height, width, size: tuple[int, int]) -> Window:
    """Windows next to what `matrix` [..., 3, 3], which has no turn, shows; each a pixel or more."""
    sides = tf.cast(tf.stack([height, width], -1), tf.float32)
    out = tf.constant(size, tf.float32)
    scale = tf.stack([matrix[..., 1, 1], matrix[..., 0, 0]], -1)
    shift = tf.stack([matrix[..., 1, 2], matrix[..., 0, 2]], -1)
    target = _whole(shift, shift + scale * sides, out)
    edges = (tf.cast(target, tf.float32) - shift[..., None]) / scale[..., None]
    source = _whole(edges[..., 0], edges[..., 1], sides)

    flip = scale < 0
    first, end = tf.unstack(tf.cast(target, tf.float32), axis=-1)
    source_first, source_end = tf.unstack(tf.cast(source, tf.float32), axis=-1)
    step = (end - first) / (source_end - source_first)
    step = tf.where(flip, -step, step)
    shift = tf.where(flip, end, first) - source_first * step
    snapped = tf.linalg.diag(tf.reverse(step, [-1]))
    snapped = tf.concat([snapped, tf.reverse(shift, [-1])[..., None]], -1)
    last = tf.zeros_like(snapped[..., :1, :]) + tf.constant([0.0, 0.0, 1.0])
    return Window(source, target, flip, tf.concat([snapped, last], -2))


def draw(
    image: tf.Tensor,
    window: Window,
    size,
    fill: float,
    *,
    filled: bool = False,
    axes: tuple[int, ...] = (0, 1),
) -> tf.Tensor:
    """float32 [size[0], size[1], C] of what the window sees, [h, w, C]; `fill` outside it.

    window: of one picture. `filled` says that the target is the whole of `size`, `axes` which may
    be flipped: what need not be asked costs nothing.
    """
    channels = image.shape[-1]
    sides = size if filled else window.target[:, 1] - window.target[:, 0]
    image = tf.raw_ops.ResizeBilinear(images=image[None], size=sides, half_pixel_centers=True)[0]
    for axis in axes:
        image = tf.cond(
            window.flip[axis],
            lambda image=image, axis=axis: tf.reverse(image, [axis]),
            lambda image=image: image,
        )
    if not filled:
        around = tf.stack([window.target[:, 0], tf.constant(size) - window.target[:, 1]], axis=1)
        image = tf.cond(
            tf.reduce_any(around > 0),
            lambda: tf.pad(image, tf.concat([around, [[0, 0]]], 0), constant_values=fill),
            lambda: image,
        )
    return tf.ensure_shape(image, [*size, channels])


def _whole(edge: tf.Tensor, opposite: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """[..., 2, 2] int32: whole (first, end) within 0..limit, at least one apart."""
    first = tf.clip_by_value(tf.round(tf.minimum(edge, opposite)), 0.0, limit - 1)
    end = tf.clip_by_value(tf.round(tf.maximum(edge, opposite)), first + 1, limit)
    return tf.cast(tf.stack([first, end], axis=-1), tf.int32)
