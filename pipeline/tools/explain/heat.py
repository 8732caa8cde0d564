"""Heat maps of the network's input, drawn over the upright picture that it came from."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image

from convoy.models import resize

LEAST_PX, MOST_PX = 320, 960  # longest side of a drawn picture


def over(
    picture: Image.Image, heat: np.ndarray, matrix: np.ndarray, *, signed: bool = False
) -> Image.Image:
    """heat [H, W] over an RGB picture; what the network did not see is darkened.

    matrix [3, 3] takes pixels of the picture to those of the heat, as models.resize.fit gives it.
    signed: red above 0, blue below, nothing at 0; otherwise blue (0) to red (the largest).
    """
    longest = max(picture.size)
    scale = min(max(longest, LEAST_PX), MOST_PX) / longest
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    grow = np.diag([size[0] / picture.width, size[1] / picture.height, 1.0])
    back = tf.constant(grow @ np.linalg.inv(matrix), tf.float32)
    largest = np.abs(heat).max()
    values = np.asarray(heat / largest if largest > 0 else heat, np.float32)
    layers = np.stack([values, np.ones_like(values)], axis=-1)
    warped = resize.warp(tf.constant(layers), back, (size[1], size[0]), fill=0.0).numpy()
    values, visible = warped[..., :1], warped[..., 1:]
    if signed:
        shades = colormaps["bwr"](values[..., 0] / 2 + 0.5)[..., :3]
        opacity = 0.7 * np.abs(values)
    else:
        shades, opacity = colormaps["jet"](values[..., 0])[..., :3], 0.45
    base = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    mixed = base * (1 - opacity * visible) + 255 * shades * opacity * visible
    mixed *= 0.4 + 0.6 * visible
    return Image.fromarray(np.clip(np.round(mixed), 0, 255).astype(np.uint8))


def enlarged(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map [h, w] at the network's input size (height, width), bilinear."""
    return tf.image.resize(np.asarray(heat, np.float32)[..., None], size)[..., 0].numpy()
