"""Picture files of any number of channels, of 8 and 16 bits, made by code."""

from __future__ import annotations

import io

import cv2
import numpy as np
import tifffile


def values(channels: int, dtype=np.uint16, size=(11, 13), seed=0) -> np.ndarray:
    """[H, W, C] of the whole range."""
    most = np.iinfo(dtype).max
    rng = np.random.default_rng([seed, channels])
    return rng.integers(0, most, (*size, channels), dtype, endpoint=True)


def npy(array, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def tiff(array, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


def contiguous(array, **options) -> bytes:
    """One page whose pixels hold all channels, [H, W, C]."""
    if array.shape[2] == 1:
        return tiff(array[..., 0], **options)
    return tiff(array, planarconfig="contig", **options)


def planar(array) -> bytes:
    """One page, one plane a channel."""
    return tiff(np.moveaxis(array, -1, 0).copy(), planarconfig="separate")


def pages(array) -> bytes:
    """One page a channel."""
    return tiff(np.moveaxis(array, -1, 0).copy())


def png(array) -> bytes:
    """By OpenCV: gray, RGB or RGBA of 8 or 16 bits."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    return cv2.imencode(".png", array[..., order])[1].tobytes()
