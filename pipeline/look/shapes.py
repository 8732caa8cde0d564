"""What a browser draws over a picture, of the truth; of answers: `shapes` of pipeline/tasks.

All are dicts for JSON, see pipeline/tasks/__init__.py: objects in pixels of the picture, masks as
bytes stretched over a box, a label map as a small PNG of class ids.
"""

from __future__ import annotations

import base64
import io

import numpy as np
import PIL.Image

from convoy.data import masks
from convoy.data.sample import Sample
from convoy.data.signals import wav

MASK_PX, MAP_PX = 256, 512  # longer sides, of one picture that is looked at
SMALL = 4  # times less in a grid
POINTS = 200  # of a drawn signal
CHANNELS = 4


def truth(sample: Sample, *, small: bool = False, quick: bool = False) -> dict:
    """{"width", "height", "objects", "labels", "lines", "map", "series"}, what it has.

    small: masks and maps for a grid; quick: without them, and with "more" where there are any,
    because their PNGs take milliseconds each.
    """
    part = SMALL if small else 1
    side = 0 if quick else MASK_PX // part
    found: dict = {"width": sample.width, "height": sample.height}
    found["objects"] = [_object(sample, n, side) for n in range(len(sample.boxes))]
    found["labels"] = [[int(k), None] for k in sample.labels]
    found["lines"] = [*sample.captions, *([sample.text] if sample.text else [])]
    if quick:
        found["more"] = bool(sample.masks or sample.segmentation)
    elif sample.segmentation:
        found["map"] = small_map(sample.segmentation, MAP_PX // part)
    if sample.signal:
        found["series"] = _series(sample.signal)
    return found


def small_map(png: bytes, side: int = MAP_PX) -> str:
    """A label map in base64, its classes kept, of `side` pixels at most."""
    with PIL.Image.open(io.BytesIO(png)) as picture:
        values = PIL.Image.fromarray(np.asarray(picture).astype(np.uint8))
    scale = min(1.0, side / max(values.size))
    size = tuple(max(1, round(length * scale)) for length in values.size)
    buffer = io.BytesIO()
    values.resize(size, PIL.Image.Resampling.NEAREST).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(text: str) -> bytes:
    """Of base64."""
    return base64.b64decode(text)


def _object(sample: Sample, n: int, side: int) -> dict:
    found = {
        "box": np.round(sample.boxes[n].astype(float), 2).tolist(),
        "class": int(sample.classes[n]),
        "marks": [
            name
            for name in ("difficult", "crowd", "truncated")
            if len(getattr(sample, name)) and getattr(sample, name)[n]
        ],
    }
    if sample.masks and side:
        found |= _mask(sample.masks[n], side)
    if sample.keypoints.size:
        found["points"] = np.round(sample.keypoints[n].astype(float), 2).tolist()
    return found


def _mask(png: bytes, side: int) -> dict:
    with PIL.Image.open(io.BytesIO(png)) as picture:
        values, top, left = masks.of(np.asarray(picture))
    height, width = values.shape
    if not values.size:
        return {}
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = PIL.Image.fromarray(values * np.uint8(255)).resize(size, PIL.Image.Resampling.BOX)
    return {
        "mask": base64.b64encode(np.asarray(reduced).tobytes()).decode(),
        "mask_size": [size[1], size[0]],
        "mask_box": [top, left, top + height, left + width],
    }


def _series(signal: bytes) -> list[list[float]]:
    """Of each channel, at most CHANNELS, POINTS values: the means of as many parts."""
    values, _ = wav.values(signal)
    parts = np.array_split(values[:, :CHANNELS], min(POINTS, len(values)))
    return np.round([part.mean(axis=0) for part in parts], 5).T.tolist()
