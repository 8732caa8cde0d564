"""Fit a picture into the network's input: one affine matrix for training, evaluation and export.

A matrix here is 3x3 and maps homogeneous (x, y, 1) in pixels of the source picture to pixels of the
network input, in continuous coordinates (pixel i covers [i, i + 1]).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from convoy.models.spec import Preprocess

LETTERBOX_GRAY = 127.5


def fit_matrix(height, width, preprocess: Preprocess, size: tuple[int, int]) -> tf.Tensor:
    """[..., 3, 3] float32: places a `height` x `width` picture into `size` by `preprocess.resize`.

    height, width: [...] pixels.
    """
    h, w = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    out_h, out_w = float(size[0]), float(size[1])
    if preprocess.resize == "stretch":
        scale_y, scale_x = out_h / h, out_w / w
    elif preprocess.resize == "crop":
        scale_y = scale_x = tf.maximum(out_h / h, out_w / w) / preprocess.crop_pct
    elif preprocess.resize == "letterbox":
        scale_y = scale_x = tf.minimum(out_h / h, out_w / w)
    else:
        raise ValueError(
            f"Preprocess.resize: expected stretch, crop or letterbox, got {preprocess.resize!r}"
        )
    shift_y, shift_x = (out_h - h * scale_y) / 2, (out_w - w * scale_x) / 2
    zero, one = tf.zeros_like(scale_x), tf.ones_like(scale_x)
    rows = [[scale_x, zero, shift_x], [zero, scale_y, shift_y], [zero, zero, one]]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)


def warp(
    image: tf.Tensor,
    matrix: tf.Tensor,
    size: tuple[int, int],
    fill: float | None = None,
    interpolation: str = "BILINEAR",
) -> tf.Tensor:
    """Draws `image` [H, W, C] through `matrix` into [size[0], size[1], C], in the image's dtype.

    Outside the source is `fill`, or the nearest border pixel where fill is None (a plain resize
    then equals tf.image.resize).
    """
    inverse = tf.linalg.inv(matrix)
    # The kernel works on pixel centres counted from 0: shift by half a pixel on both sides.
    half = tf.constant([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    unhalf = tf.constant([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    flat = tf.reshape(unhalf @ inverse @ half, [9])
    flat = flat / flat[8]
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=flat[None, :8],
        output_shape=tf.constant(size, tf.int32),
        fill_value=0.0 if fill is None else fill,
        interpolation=interpolation,
        fill_mode="NEAREST" if fill is None else "CONSTANT",
    )[0]
    warped.set_shape([size[0], size[1], image.shape[-1]])
    return warped


def fit(image: tf.Tensor, preprocess: Preprocess, size: tuple[int, int]):
    """Fits one decoded picture, uint8 or float [H, W, C], into the network's input.

    Returns (float32 image [size[0], size[1], C], matrix [3, 3] from source to input pixels); of a
    network for whole pictures the picture as it is.
    """
    if preprocess.whole:
        return tf.cast(image, tf.float32), tf.eye(3)
    if margin := preprocess.margin:
        inside = dataclasses.replace(preprocess, size=tuple(size)).inside
        fitted, matrix = fit(image, inside, inside.size)
        shift = tf.constant([[0.0, 0.0, margin], [0.0, 0.0, margin], [0.0, 0.0, 0.0]])
        return mirrored(fitted, margin), matrix + shift
    shape = tf.shape(image)
    matrix = fit_matrix(shape[0], shape[1], preprocess, size)
    if preprocess.resize == "stretch":  # the same drawing by a kernel four times as fast
        return tf.image.resize(image, size, tf.image.ResizeMethod.BILINEAR), matrix
    fill = LETTERBOX_GRAY if preprocess.resize == "letterbox" else None
    return warp(tf.cast(image, tf.float32), matrix, size, fill), matrix


def of_bits(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Decoded values as networks take them, 0 to 255: those of 16 bits as float32 v / 257."""
    return image if bits == 8 else tf.cast(image, tf.float32) / 257.0


def unstacked(tall: tf.Tensor, channels: int) -> tf.Tensor:
    """[C * H, W, 1], the channels one above the other -> [H, W, C]."""
    shape = tf.shape(tall)
    planes = tf.reshape(tall, [channels, shape[0] // channels, shape[1]])
    return tf.ensure_shape(tf.transpose(planes, [1, 2, 0]), [None, None, channels])


def mirrored(image: tf.Tensor, margin: int) -> tf.Tensor:
    """[H, W, C] -> [H + 2 margin, W + 2 margin, C]: the border continued as in a mirror.

    The border's own pixels are not repeated. A margin wider than the picture is mirrored again and
    again, which tf.pad refuses.
    """
    for axis in (0, 1):
        n = image.shape[axis]
        place = np.arange(-margin, n + margin) % max(2 * (n - 1), 1)
        image = tf.gather(image, np.minimum(place, 2 * (n - 1) - place), axis=axis)
    return image
