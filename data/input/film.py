"""The frames beside a picture as a network is given them: one tensor, in the order of time."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from convoy.data.input import parse


def beside(image: tf.Tensor, frames: tf.Tensor, drawn: Callable) -> tf.Tensor:
    """float32 [H, W, FRAMES * C]: `drawn` of each encoded frame [FRAMES], of "" the picture."""
    image = tf.cast(image, tf.float32)
    parts = [
        tf.cond(
            tf.strings.length(frame) > 0,
            lambda frame=frame: tf.cast(drawn(frame), tf.float32),
            lambda: image,
        )
        for frame in tf.unstack(frames, parse.FRAMES)
    ]
    return tf.concat([tf.ensure_shape(part, image.shape) for part in parts], axis=-1)


def of_record(serialized: tf.Tensor, image: tf.Tensor, decode: Callable) -> tf.Tensor:
    """`beside` the decoded picture of one record; decode: (encoded, channels) -> [H, W, C]."""
    frames = parse.block(serialized[None], ("frames",))["frames"][0]
    return beside(image, frames, lambda frame: decode(frame, image.shape[-1]))
