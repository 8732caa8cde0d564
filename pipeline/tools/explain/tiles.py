"""Filters and feature maps as grids of small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from PIL import Image

PAPER = 250
SHOWN = 64  # filters or maps per grid


def stretched(values: np.ndarray) -> np.ndarray:
    """(x - min) / (max - min), so that the smallest is 0 and the largest 1; 0.5 where all agree."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full(values.shape, 0.5)
    return (np.asarray(values, float) - low) / (high - low)


def shaded(values: np.ndarray) -> np.ndarray:
    """`stretched`, but dark, 0, where all agree."""
    return stretched(values) if values.max() > values.min() else np.zeros(values.shape)


def filters(kernel: np.ndarray, channel_order: str = "rgb") -> list[np.ndarray]:
    """uint8 pictures of a kernel [h, w, C, F], one per filter, each stretched by itself.

    Three input channels are colours in `channel_order`; otherwise the mean over them is shown.
    """
    kernel = np.asarray(kernel, float)
    if kernel.shape[2] != 3:
        kernel = kernel.mean(axis=2, keepdims=True)
    elif channel_order == "bgr":
        kernel = kernel[:, :, ::-1]
    images = [np.round(255 * stretched(image)) for image in np.moveaxis(kernel, -1, 0)]
    return [np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.uint8) for image in images]


def maps(values: np.ndarray) -> list[np.ndarray]:
    """uint8 pictures of feature maps [h, w, F]: each stretched, dark to bright. Dead: all dark."""
    shades = colormaps["viridis"]
    images = []
    for channel in np.moveaxis(np.asarray(values, float), -1, 0):
        images.append(shades(shaded(channel))[..., :3] * 255)
    return [np.round(channel).astype(np.uint8) for channel in images]


def grid(tiles: Sequence[np.ndarray], least_px: int = 40, gap_px: int = 3) -> Image.Image:
    """The tiles, all of one size, row by row in about a square; enlarged by a whole factor."""
    height, width = tiles[0].shape[:2]
    factor = max(1, math.ceil(least_px / min(height, width)))
    columns = math.ceil(math.sqrt(len(tiles) * height / width))
    rows = math.ceil(len(tiles) / columns)
    down, across = height * factor + gap_px, width * factor + gap_px
    page = np.full((rows * down + gap_px, columns * across + gap_px, 3), PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * down + gap_px, index % columns * across + gap_px
        large = tile.repeat(factor, axis=0).repeat(factor, axis=1)
        page[top : top + height * factor, left : left + width * factor] = large
    return Image.fromarray(page)
