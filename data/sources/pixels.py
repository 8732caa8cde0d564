"""Pictures that a data set stores as bare pixels, in the middle of a file."""

from __future__ import annotations

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import BadSample


def load(where: files.Where, shape: tuple[int, ...], max_pixels: int) -> np.ndarray:
    """uint8 of this shape, whose two largest sides are the picture's. Raises BadSample."""
    height, width = sorted(shape)[-2:]
    if height * width > max_pixels:
        detail = f"{files.name_of(where)}: {height * width:,} pixels, max_pixels is {max_pixels:,}"
        raise BadSample("too_large", detail)
    try:
        data = files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_image", f"{files.name_of(where)}: no such file") from None
    except OSError as error:
        detail = f"{files.name_of(where)}: {error.strerror}"
        raise BadSample("unreadable_image", detail) from None
    return np.frombuffer(data, np.uint8).reshape(shape)


def picture(pixels: np.ndarray) -> images.Picture:
    """[H, W] or [H, W, 3] uint8 as a PNG."""
    encoded = images.encode(np.ascontiguousarray(pixels))
    return images.Picture(encoded, "png", *pixels.shape[:2])
