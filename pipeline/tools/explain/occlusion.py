"""Which part of a picture a score depends on: cover it and look how far the score falls.

Zeiler 2013, Visualizing and Understanding Convolutional Networks, https://arxiv.org/abs/1311.2901,
section 4.2. A square of one gray slides over the network's input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

GRAY = 127.5  # of 0 to 255


class Occlusion(NamedTuple):
    """drops [R, C]: score of the picture minus the score with the square at rows[r], columns[c];
    heat [H, W]: the mean of the drops of all squares that cover the pixel."""

    drops: np.ndarray
    rows: np.ndarray  # upper edges, pixels
    columns: np.ndarray  # left edges, pixels
    heat: np.ndarray


def places(n: int, window: int, stride: int) -> np.ndarray:
    """0, stride, 2 stride, ... and n - window, so that every pixel is covered."""
    if not 1 <= window <= n:
        raise ValueError(f"window: expected 1 to {n} px, got {window}")
    if not 1 <= stride <= window:
        raise ValueError(f"stride: expected 1 to the window's {window} px, got {stride}")
    return np.unique(np.append(np.arange(0, n - window + 1, stride), n - window))


def occlusion(
    score: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    window: int,
    stride: int,
    *,
    gray: float = GRAY,
    batch: int = 32,
) -> Occlusion:
    """Slides a `window` x `window` square of `gray` over image [H, W, C], `stride` pixels per step.

    score: float32 images [B, H, W, C] -> [B]; called with at most `batch` images.
    """
    image = np.asarray(image, np.float32)
    rows, columns = (places(n, window, stride) for n in image.shape[:2])
    corners = [(top, left) for top in rows for left in columns]
    uncovered = float(np.asarray(score(image[None]))[0])
    drops = []
    for start in range(0, len(corners), batch):
        squares = corners[start : start + batch]
        covered = np.repeat(image[None], len(squares), axis=0)
        for picture, (top, left) in zip(covered, squares, strict=True):
            picture[top : top + window, left : left + window] = gray
        drops.append(uncovered - np.asarray(score(covered), float))
    drops = np.concatenate(drops)
    total, count = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    for (top, left), drop in zip(corners, drops, strict=True):
        total[top : top + window, left : left + window] += drop
        count[top : top + window, left : left + window] += 1
    return Occlusion(drops.reshape(len(rows), len(columns)), rows, columns, total / count)
