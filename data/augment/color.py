"""Recolouring as one linear map a picture: brightness, contrast, saturation and hue.

Each change is affine in RGB, so they are multiplied into one 3x3 matrix and one offset and the
picture is read once. Saturation and contrast mix with luminance (ITU-R BT.601, as PIL's
ImageEnhance does); hue turns the IQ plane of YIQ.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from data.augment.policy import Augment

DRAWS = 4  # uniform numbers used by recolor

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]],
    np.float32,
)
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ).astype(np.float32)


def active(policy: Augment) -> bool:
    """Whether the policy recolours at all."""
    return any((policy.brightness, policy.contrast, policy.saturation, policy.hue))


def recolor(image: tf.Tensor, policy: Augment, draws: tf.Tensor) -> tf.Tensor:
    """Float image [H, W, C] in 0..255 recoloured and clipped; `draws`: [DRAWS] uniform in [0, 1).

    C is 3, or 1 (gray: brightness and contrast alone).
    """
    brightness = (2.0 * draws[0] - 1.0) * policy.brightness * 255.0
    contrast = 1.0 + (2.0 * draws[1] - 1.0) * policy.contrast
    mean = tf.reduce_mean(image, axis=[0, 1])
    if image.shape[-1] == 1:
        return tf.clip_by_value((image - mean) * contrast + mean + brightness, 0.0, 255.0)
    saturation = 1.0 + (2.0 * draws[2] - 1.0) * policy.saturation
    angle = (2.0 * draws[3] - 1.0) * policy.hue * 2.0 * math.pi
    matrix = hue_matrix(angle) @ saturation_matrix(saturation) * contrast
    gray = tf.tensordot(mean, LUMINANCE, 1)
    offset = (1.0 - contrast) * gray + brightness
    return tf.clip_by_value(tf.tensordot(image, matrix, [[2], [1]]) + offset, 0.0, 255.0)


def saturation_matrix(factor) -> tf.Tensor:
    """[3, 3]: 0 gives gray of the same luminance, 1 changes nothing."""
    gray = tf.tile(LUMINANCE[None], [3, 1])
    return gray + (tf.eye(3) - gray) * factor


def hue_matrix(angle) -> tf.Tensor:
    """[3, 3]: turns the colour circle by `angle` radians; gray stays gray, luminance is kept."""
    cos, sin = tf.cos(angle), tf.sin(angle)
    zero, one = tf.zeros_like(cos), tf.ones_like(cos)
    turn = tf.stack(
        [tf.stack([one, zero, zero]), tf.stack([zero, cos, -sin]), tf.stack([zero, sin, cos])]
    )
    return YIQ_TO_RGB @ turn @ RGB_TO_YIQ
