"""Weights and pictures from a formula by name, shape and nothing else; NumPy alone.

Both sides of a parity check draw from here, so that no weights need to be stored.
"""

from __future__ import annotations

import zlib

import numpy as np


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """`name` is "layer/variable" of our networks, `shape` is Keras' layout."""
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rsplit("/", 1)[1]
    if kind == "moving_variance":
        values = draw.uniform(0.5, 1.5, shape)
    elif kind == "gamma":
        values = 1.0 + 0.1 * draw.standard_normal(shape)
    elif kind == "scale":
        values = 20.0 + draw.standard_normal(shape)
    elif kind == "kernel":
        values = draw.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[:-1]))
    else:
        values = 0.1 * draw.standard_normal(shape)
    return values.astype(np.float32)


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """[count, height, width, channels] float32 in [0, 255]."""
    draw = np.random.default_rng(height * 10_000 + width)
    return draw.uniform(0, 255, (count, height, width, channels)).astype(np.float32)


def objects() -> list[tuple[np.ndarray, np.ndarray]]:
    """(boxes [M, 4] pixels of 300 x 300, classes [M]) of two pictures, one without objects."""
    boxes = [[20, 30, 140, 200], [150, 40, 290, 120], [200, 210, 240, 260], [5, 220, 60, 290]]
    return [
        (np.asarray(boxes, np.float32), np.asarray([3, 0, 19, 7])),
        (np.zeros((0, 4), np.float32), np.zeros(0, np.int64)),
    ]
