"""A picture enlarged: its colours bicubically, its Y by a network, strip by strip.

Any size: a strip is a part of the enlarged rows and as many more on each side as the network's
outputs look at, so that strips give what the whole picture would.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from convoy.models.restoration import bicubic, color

STRIP = 1 << 20  # pixels of Y that the network sees at once, without the rows around them


def enlarged(
    image: tf.Tensor, scale: int, network: Callable, margin: int, strip: int = STRIP
) -> tf.Tensor:
    """uint8 [H, W, 3] -> uint8 [H * scale, W * scale, 3].

    network: Y [1, h, w, 1] of 0..255 -> the same size; an output looks at `margin` pixels on each
    side at most. Values are rounded, half up, and cut to 0..255.
    """
    size = tf.shape(image)[:2] * scale
    large = bicubic.resize(tf.cast(image, tf.float32), size)
    y = restored(color.luma(large)[..., None], network, margin, strip)[..., 0]
    colors = tf.stack(color.channels(y, *color.chroma(large)), axis=-1)
    return tf.cast(tf.clip_by_value(tf.floor(colors + 0.5), 0.0, 255.0), tf.uint8)


def restored(y: tf.Tensor, network: Callable, margin: int, strip: int = STRIP) -> tf.Tensor:
    """Y [H, W, 1] -> [H, W, 1] through the network, a strip of about `strip` pixels at a time."""
    height, width = tf.shape(y)[0], tf.shape(y)[1]
    rows = tf.clip_by_value(strip // width, 1, height)

    def one(first, lines):
        end = tf.minimum(first + rows, height)
        above = tf.maximum(first - margin, 0)
        seen = y[above : tf.minimum(end + margin, height)]
        found = network(seen[None])[0][first - above : end - above]
        return end, lines.write(first // rows, found)

    lines = tf.TensorArray(
        tf.float32,
        size=(height + rows - 1) // rows,
        infer_shape=False,
        element_shape=tf.TensorShape([None, None, 1]),
    )
    _, lines = tf.while_loop(
        lambda first, _: first < height, one, (tf.constant(0), lines), parallel_iterations=1
    )
    return tf.ensure_shape(lines.concat(), [None, None, 1])
