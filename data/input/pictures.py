"""The pictures of records, as a network's preprocessing wants them: how many channels and bits."""

from __future__ import annotations

import tensorflow as tf

from convoy.data.augment.window import Window
from convoy.data.images.bands import IN_PNG
from convoy.models.resize import of_bits, unstacked
from convoy.models.spec import Preprocess


def decode(encoded: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
    """[H, W, C] of a record's picture: uint8, or of 16 bits float32 in 0 to 255."""
    return of_bits(values(encoded, preprocess.channels, preprocess.bits), preprocess.bits)


def rgb(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 [H, W, channels], 1 or 3, from JPEG, PNG, BMP or the first frame of a GIF."""
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])
    return image


def values(encoded: tf.Tensor, channels: int, bits: int) -> tf.Tensor:
    """[H, W, channels] uint8 or uint16, as bits say; 8-bit values where 16 are wanted times 257."""
    kind = tf.uint16 if bits == 16 else tf.uint8

    def png(held: int) -> tf.Tensor:
        return tf.ensure_shape(tf.io.decode_png(encoded, held, kind), [None, None, held])

    if channels not in IN_PNG:
        return unstacked(png(1), channels)
    if channels == 4:
        return png(4)
    if bits == 8:
        return rgb(encoded, channels)
    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.cast(rgb(encoded, channels), kind) * 257,
        lambda: png(channels),
    )


def part(encoded: tf.Tensor, preprocess: Preprocess, window: Window) -> tf.Tensor:
    """What a window sees of a record's picture, [h, w, C] as `decode`: of a JPEG only that is
    decoded.
    """
    first, count = window.source[:, 0], window.source[:, 1] - window.source[:, 0]
    channels, bits = preprocess.channels, preprocess.bits

    def jpeg():
        cut = tf.io.decode_and_crop_jpeg(encoded, tf.concat([first, count], 0), channels)
        return cut if bits == 8 else tf.cast(cut, tf.float32)

    def other():
        if channels in (1, 3) and bits == 8:
            image = tf.io.decode_image(encoded, channels, expand_animations=False)
        else:
            image = decode(encoded, preprocess)
        return tf.slice(image, [first[0], first[1], 0], [count[0], count[1], channels])

    if channels not in (1, 3):
        return other()
    return tf.cond(tf.io.is_jpeg(encoded), jpeg, other)
