"""Masks of boxes, as they are answered, in pixels of the picture. NumPy alone: clients use it."""

from __future__ import annotations

import numpy as np


def paste(
    mask: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float = 0.5
) -> np.ndarray:
    """bool [H, W] of a picture of `size` = (height, width): where the object is.

    mask [h, w] float, probabilities of h x w equal parts of `box` (ymin, xmin, ymax, xmax), in
    pixels; read bilinearly between the parts' centres at each pixel's centre, 0 outside, as
    Detectron2 does.
    A box without area holds no pixel.
    """
    found = np.zeros(size, bool)
    ymin, xmin, ymax, xmax = (float(side) for side in box)
    if not (ymax > ymin and xmax > xmin):  # also for what is no number
        return found
    top, bottom = max(int(np.floor(ymin)), 0), min(int(np.ceil(ymax)), size[0])
    left, right = max(int(np.floor(xmin)), 0), min(int(np.ceil(xmax)), size[1])
    if bottom <= top or right <= left:
        return found
    padded = np.pad(np.asarray(mask, np.float32), 1)
    rows = _places(np.arange(top, bottom), ymin, ymax, mask.shape[0])
    columns = _places(np.arange(left, right), xmin, xmax, mask.shape[1])
    lines = _mixed(padded[rows[0]], padded[rows[0] + 1], rows[1][:, None])
    values = _mixed(lines[:, columns[0]], lines[:, columns[0] + 1], columns[1])
    found[top:bottom, left:right] = values >= threshold
    return found


def _places(pixels: np.ndarray, low: float, high: float, parts: int):
    """(cell of the padded mask before each pixel's centre, how far behind it [0, 1))."""
    at = (pixels + 0.5 - low) / (high - low) * parts + 0.5
    at = np.clip(at, 0.0, parts + 1.0)
    before = np.minimum(np.floor(at), parts).astype(int)
    return before, (at - before).astype(np.float32)


def _mixed(one, other, part):
    return one + (other - one) * part
