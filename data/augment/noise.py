"""Blur, noise, a gray square and JPEG again, on a drawn picture; no geometry changes.

Cutout: DeVries 2017 https://arxiv.org/abs/1708.04552. The square is filled with middle gray and may
reach beyond the border; boxes and masks under it stay as they are.
"""

from __future__ import annotations

import math

import tensorflow as tf

from convoy.data.augment.policy import Augment

DRAWS = 5  # uniform numbers used by disturb
FILL = 127.5  # of the square, and of what lies around a picture


def active(policy: Augment) -> bool:
    """Whether the policy disturbs pixels at all."""
    return any((policy.blur_px, policy.noise, policy.cutout, policy.jpeg_quality))


def disturb(image: tf.Tensor, policy: Augment, draws: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Float image [H, W, C] in 0..255, sizes known; `draws`: [DRAWS] uniform in [0, 1).

    key: scalar uint64, of the random numbers of single pixels.
    """
    if policy.blur_px:
        image = blur(image, draws[0] * policy.blur_px, math.ceil(3 * policy.blur_px))
    if policy.noise:
        seed = tf.bitcast(key, tf.int32)
        grain = tf.random.stateless_normal(image.shape, seed)
        image = tf.clip_by_value(image + grain * draws[1] * policy.noise * 255.0, 0.0, 255.0)
    if policy.cutout:
        image = cut_out(image, policy.cutout, draws[2:4])
    if policy.jpeg_quality:
        low, high = policy.jpeg_quality
        quality = low + tf.cast(draws[4] * (high - low + 1), tf.int32)
        pixels = tf.cast(tf.round(image), tf.uint8)
        again = tf.io.decode_jpeg(
            tf.raw_ops.EncodeJpegVariableQuality(images=pixels, quality=quality),
            channels=image.shape[-1],
        )
        image = tf.ensure_shape(tf.cast(again, tf.float32), image.shape)
    return image


def blur(image: tf.Tensor, sigma, radius: int) -> tf.Tensor:
    """Gaussian of `sigma` pixels cut off at `radius`; the border goes on outside."""
    distance = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-(distance**2) / (2 * tf.maximum(sigma, 1e-2) ** 2))
    weights /= tf.reduce_sum(weights)
    height, width, channels = image.shape
    rows = tf.clip_by_value(tf.range(-radius, height + radius), 0, height - 1)
    columns = tf.clip_by_value(tf.range(-radius, width + radius), 0, width - 1)
    wide = tf.gather(tf.gather(image, rows), columns, axis=1)[None]
    for shape in ([-1, 1, 1, 1], [1, -1, 1, 1]):
        kernel = tf.tile(tf.reshape(weights, shape), [1, 1, channels, 1])
        wide = tf.nn.depthwise_conv2d(wide, kernel, [1, 1, 1, 1], "VALID")
    return wide[0]


def cut_out(image: tf.Tensor, part: float, draws: tf.Tensor) -> tf.Tensor:
    """FILL in a square with its centre anywhere, `part` of the shorter side wide."""
    height, width, _ = image.shape
    half = part * min(height, width) / 2
    y = tf.range(height, dtype=tf.float32)[:, None] + 0.5
    x = tf.range(width, dtype=tf.float32)[None, :] + 0.5
    inside = (tf.abs(y - draws[0] * height) < half) & (tf.abs(x - draws[1] * width) < half)
    return tf.where(inside[..., None], FILL, image)
