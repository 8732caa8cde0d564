"""Recolouring as one linear map per picture: brightness, contrast, saturation, hue, and more.

Each change is affine in RGB, so they are multiplied into one 3x3 matrix and one offset and the
picture is read once. Saturation and contrast mix with luminance (ITU-R BT.601, as PIL's
ImageEnhance does); hue turns the IQ plane of YIQ; contrast is about the picture's mean.

Against SSD's photometric distortion https://arxiv.org/abs/1512.02325: its Caffe code multiplies by
the contrast (about black) before or after the rest at random, and turns hue and saturation in HSV,
where neither keeps the luminance. Here the order is fixed and luminance is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from convoy.data.augment.draws import to_normal
from convoy.data.augment.policy import Augment

DRAWS = 13  # uniform numbers used by random_map

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]],
    np.float32,
)
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ).astype(np.float32)

# Principal components of the RGB values (0..1) of ImageNet's pixels, columns, and their steps, for
# Krizhevsky 2012 section 4.1; numbers of https://github.com/facebookarchive/fb.resnet.torch
PCA_STEPS = np.array([0.2175, 0.0188, 0.0045], np.float32)
PCA_COLORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
    np.float32,
)
MEAN_SAMPLES = 32  # rows and columns that a picture's mean is taken of


class ColorMap(NamedTuple):
    """new = matrix @ rgb + offset + mean_weight * the picture's mean luminance."""

    matrix: tf.Tensor  # [..., 3, 3]
    offset: tf.Tensor  # [..., 3]
    mean_weight: tf.Tensor  # [...]


def active(policy: Augment) -> bool:
    """Whether the policy recolours at all."""
    changes = (policy.brightness, policy.contrast, policy.saturation, policy.hue)
    return any((*changes, policy.pca_color, policy.gray, policy.exposure != 1.0))


def random_map(policy: Augment, draws: tf.Tensor) -> ColorMap:
    """Of `draws` [..., DRAWS] uniform in [0, 1): exposure, saturation, hue, contrast, then added
    brightness and PCA colour."""
    on = tf.where(draws[..., 9:13] < policy.color_probability, 2.0 * draws[..., 0:4] - 1.0, 0.0)
    brightness = on[..., 0] * policy.brightness * 255.0
    contrast = 1.0 + on[..., 1] * policy.contrast
    saturation = 1.0 + on[..., 2] * policy.saturation
    angle = on[..., 3] * policy.hue * 2.0 * math.pi
    side = 2.0 * draws[..., 4] - 1.0
    factor = 1.0 + (policy.exposure - 1.0) * tf.abs(side)
    exposure = tf.where(side < 0, 1.0 / factor, factor)
    saturation = tf.where(draws[..., 5] < policy.gray, 0.0, saturation)

    matrix = saturation_matrix(saturation) * (contrast * exposure)[..., None, None]
    if policy.hue:
        matrix = hue_matrix(angle) @ matrix
    steps = to_normal(draws[..., 6:9]) * policy.pca_color * PCA_STEPS * 255.0
    offset = brightness[..., None] + tf.reduce_sum(steps[..., None, :] * PCA_COLORS, -1)
    return ColorMap(matrix, offset, (1.0 - contrast) * exposure)


def recolor(image: tf.Tensor, change: ColorMap) -> tf.Tensor:
    """Float image [H, W, C] in 0..255 recoloured and clipped.

    Where C is not 3, no channel is a colour: brightness, contrast and exposure alone change.

    The mean is that of at least MEAN_SAMPLES x MEAN_SAMPLES pixels, evenly spread.
    """
    height, width, channels = image.shape
    some = image[:: max(height // MEAN_SAMPLES, 1), :: max(width // MEAN_SAMPLES, 1)]
    weights = LUMINANCE if channels == 3 else np.full(channels, 1 / channels, np.float32)
    gray = tf.reduce_sum(tf.reduce_mean(some, axis=[0, 1]) * weights)
    offset = change.offset + change.mean_weight * gray
    if channels != 3:  # any row of the matrix adds up to what gray is multiplied with
        changed = image * tf.reduce_sum(change.matrix[0]) + tf.reduce_sum(offset * LUMINANCE)
    else:
        turned = tf.matmul(tf.reshape(image, [-1, 3]), change.matrix, transpose_b=True)
        # Added to whole rows: to threes of values it costs as much as all the rest together.
        changed = tf.reshape(turned, [height, -1]) + tf.tile(offset, [width])
    clipped = tf.raw_ops.ClipByValue(t=changed, clip_value_min=0.0, clip_value_max=255.0)
    return tf.reshape(clipped, image.shape)


def saturation_matrix(factor) -> tf.Tensor:
    """[..., 3, 3]: 0 gives gray of the same luminance, 1 changes nothing."""
    gray = np.tile(LUMINANCE[None], [3, 1])
    factor = tf.convert_to_tensor(factor, tf.float32)[..., None, None]
    return gray + (np.eye(3, dtype=np.float32) - gray) * factor


def hue_matrix(angle) -> tf.Tensor:
    """[..., 3, 3]: turns the colour circle by `angle` radians; keeps gray and luminance."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    zero, one = tf.zeros_like(cos), tf.ones_like(cos)
    rows = [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]]
    turn = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)
    return YIQ_TO_RGB @ turn @ RGB_TO_YIQ
