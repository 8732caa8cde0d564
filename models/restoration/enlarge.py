"""A picture enlarged: its colours bicubically, its Y by a network, strip by strip.

Any size: a strip is a part of the enlarged rows and as many more on each side as the network's
outputs look at, so that strips give what the whole picture would.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from convoy.models.restoration import bicubic, color

STRIP = 1 << 20  # pixels that the network sees at once, without the rows around them


def enlarged(
    image: tf.Tensor, scale: int, network: Callable, margin: int, strip: int = STRIP
) -> tf.Tensor:
    """[H, W, 3] of 0..255 -> float32 [H * scale, W * scale, 3], not rounded or cut to 0..255.

    network: RGB [1, h, w, 3] of 0..255 -> Y [1, h, w, 1]; an output looks at `margin` pixels on
    each side at most.
    """
    large = tf.cast(image, tf.float32)
    if scale > 1:
        large = bicubic.resize(large, tf.shape(image)[:2] * scale)
    y = strips(large, network, margin, strip)[..., 0]
    return tf.stack(color.channels(y, *color.chroma(large)), axis=-1)


def strips(image: tf.Tensor, network: Callable, margin: int, strip: int = STRIP) -> tf.Tensor:
    """[H, W, C] -> [H, W, 1] through the network, a strip of about `strip` pixels at a time."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    rows = tf.clip_by_value(strip // width, 1, height)

    def one(first, lines):
        end = tf.minimum(first + rows, height)
        above = tf.maximum(first - margin, 0)
        seen = image[above : tf.minimum(end + margin, height)]
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
