"""ingest.max_side: large pictures made smaller once, with all that is marked in them.

A photograph of a phone has 50 times the pixels that a network sees, and costs its decoding in every
epoch. Made smaller it is what its pixels cover: the mean of them, each weighed by the part of it
that lies in the new pixel (OpenCV's INTER_AREA). JPEG stays JPEG, of quality 95 without
chroma subsampling, PNG stays PNG. Boxes, keypoints and parts are scaled and not rounded, so that
they hold the same part of the picture. Masks are those new pixels of which an object covers half or
more, and where no pixel is, the one that it covers most; label maps take the class at the middle of
each new pixel, as a mean of classes is none.
"""

from __future__ import annotations

import dataclasses
import io

import cv2
import numpy as np
import PIL.Image

from convoy.data.images import bands, images, wanted
from convoy.data.sample import Sample

REASON = "made_smaller"  # of a warning
KEPT = "kept_large"


def of(sample: Sample, max_side: int) -> Sample:
    """The sample with sides of `max_side` pixels at most; itself where it has them.

    Pairs, whose second picture says what the first shall become, stay as they are.
    """
    height, width = sample.height, sample.width
    factor = max_side / max(height, width, 1)
    if not sample.image or factor >= 1:
        return sample
    if sample.target or sample.frames:
        wanted.tell(KEPT, f"{width}x{height}: one of a pair or of a film, which keep their sizes")
        return sample
    size = tuple(max(1, round(side * factor)) for side in (height, width))
    wanted.tell(REASON, f"{width}x{height} px: made {size[1]}x{size[0]}")
    scale = np.float32([size[0] / height, size[1] / width])
    corners = np.concatenate([scale, scale])
    return dataclasses.replace(
        sample,
        image=_picture(sample.image, size),
        height=size[0],
        width=size[1],
        boxes=sample.boxes * corners,
        areas=sample.areas * np.float32(scale[0] * scale[1]),
        part_boxes=sample.part_boxes * corners,
        proposals=sample.proposals * corners,
        keypoints=sample.keypoints * np.append(scale, np.float32(1)),
        masks=tuple(_png(_mask(_values(mask), size)) for mask in sample.masks),
        segmentation=sample.segmentation and _png(middles(_values(sample.segmentation), size)),
    )


def _picture(image: bytes, size: tuple[int, int]) -> bytes:
    channels = wanted.now().channels
    if channels:
        return bands.encode(area(bands.values(image, channels, wanted.now().bits), size))
    with PIL.Image.open(io.BytesIO(image)) as picture:
        kind = "png" if picture.format == "PNG" else "jpeg"
        pixels = np.asarray(picture)
    return images.encode(area(pixels, size), kind)


def area(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W] or [H, W, C] -> of `size` (height, width): means by covered area, rounded."""
    planes = values.reshape(*values.shape[:2], -1)
    # OpenCV takes four channels at most this way.
    parts = [
        cv2.resize(
            np.ascontiguousarray(planes[..., at : at + 4]), size[::-1], interpolation=cv2.INTER_AREA
        ).reshape(*size, -1)
        for at in range(0, planes.shape[2], 4)
    ]
    return np.concatenate(parts, axis=-1).reshape(*size, *values.shape[2:])


def middles(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[H, W] -> of `size`: the value at the middle of each new pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, values.shape, strict=True)
    )
    return values[rows[:, None], columns]


def _mask(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [h, w] of 0 and 255."""
    inside = (values != 0).astype(np.float32)
    covered = area(inside, size)
    least = min(0.5, float(covered.max())) if covered.max() > 0 else 1.0
    return np.where(covered >= least, np.uint8(255), np.uint8(0))


def _values(png: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


def _png(values: np.ndarray) -> bytes:
    return images.encode(values)
