"""Bicubic resizing by MATLAB's imresize: a = -0.5, widened where a picture shrinks.

Keys 1981 "Cubic Convolution Interpolation for Digital Image Processing", equation 15. Pixel i
covers [i, i + 1]; beyond the border the picture goes on as in a mirror that repeats the border's
own pixels. Pillow's BICUBIC differs there, and OpenCV's has a = -0.75 and is never widened.
TensorFlow operations: sizes may be those of a picture that is only known when it is sent.
"""

from __future__ import annotations

import tensorflow as tf


def kernel(distance: tf.Tensor) -> tf.Tensor:
    """Keys' cubic with a = -0.5 at distances in pixels; 0 from 2 on."""
    x = tf.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return tf.where(x <= 1.0, near, tf.where(x <= 2.0, far, tf.zeros_like(x)))


def resize(image: tf.Tensor, size) -> tf.Tensor:
    """[H, W, C] float -> [size[0], size[1], C] of the same type, not rounded or cut to 0..255.

    size: (height, width), numbers or int32 scalars, 1 or more each.
    """
    return _along(_along(image, size[0], 0), size[1], 1)


def _along(image: tf.Tensor, count, axis: int) -> tf.Tensor:
    """The axis resized to `count` values."""
    length, count = tf.shape(image)[axis], tf.convert_to_tensor(count, tf.int32)
    # float64: a place in a long side has no digits left for its fraction in float32.
    scale = tf.cast(count, tf.float64) / tf.cast(length, tf.float64)
    narrow = tf.minimum(scale, 1.0)
    places = (tf.cast(tf.range(count), tf.float64) + 0.5) / scale - 0.5
    reach = 2.0 / narrow
    first = tf.cast(tf.floor(places - reach), tf.int32)
    taps = first[:, None] + tf.range(tf.cast(tf.math.ceil(2.0 * reach), tf.int32) + 2)
    weights = kernel(narrow * (places[:, None] - tf.cast(taps, tf.float64)))
    weights = tf.cast(weights / tf.reduce_sum(weights, axis=1, keepdims=True), image.dtype)
    around = tf.math.floormod(taps, 2 * length)
    seen = tf.minimum(around, 2 * length - 1 - around)
    lines = tf.transpose(image, [1, 0, 2]) if axis else image

    def added(index, total):
        part = tf.gather(lines, seen[:, index]) * weights[:, index][:, None, None]
        return index + 1, total + part

    # Tap by tap: all at once would need as many pictures as there are taps.
    shape = tf.concat([count[None], tf.shape(lines)[1:]], 0)
    start = (tf.constant(0), tf.zeros(shape, image.dtype))
    _, total = tf.while_loop(
        lambda index, total: index < tf.shape(taps)[1],
        added,
        start,
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, image.shape[2]])),
    )
    return tf.transpose(total, [1, 0, 2]) if axis else total
