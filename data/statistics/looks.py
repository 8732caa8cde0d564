"""How a picture looks, cheaply: decoded as gray at the size of a thumbnail."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import PIL.Image

from convoy.data.images import bands, images  # noqa: F401  (sets PIL's limits and silences its remarks)

SIDE_PX = 64  # the longer side of what is looked at; JPEGs are decoded at 1/2, 1/4 or 1/8 of theirs


@dataclasses.dataclass(frozen=True)
class Look:
    """A picture's size in pixels, channels, and its gray values at SIDE_PX, 0 to 255."""

    height: int
    width: int
    channels: int
    brightness: float  # mean
    contrast: float  # standard deviation; less than of all pixels, as the thumbnail is smooth


def look(encoded: bytes) -> Look | None:
    """None: it does not decode."""
    decoded = gray(encoded)
    if decoded is None:
        return None
    small, (width, height), channels = decoded
    small.thumbnail((SIDE_PX, SIDE_PX), PIL.Image.Resampling.BOX)
    pixels = np.asarray(small, np.float64)
    return Look(height, width, channels, float(pixels.mean()), float(pixels.std()))


def gray(encoded: bytes) -> tuple[PIL.Image.Image, tuple[int, int], int] | None:
    """(gray values, (width, height), channels) of a picture; None: it does not decode.

    The gray picture has SIDE_PX or more on its shorter side where the picture has so many.
    """
    try:
        if count := bands.stacked(encoded):
            seen = bands.view(encoded)
            return seen, seen.size, count
        with PIL.Image.open(io.BytesIO(encoded)) as picture:
            if picture.mode.startswith("I;16"):
                upper = np.asarray(picture) >> 8
                return PIL.Image.fromarray(upper.astype(np.uint8)), picture.size, 1
            size, channels = picture.size, len(picture.getbands())
            picture.draft("L", (SIDE_PX, SIDE_PX))
            return picture.convert("L"), size, channels
    except Exception:  # PIL's decoders raise whatever comes
        return None
