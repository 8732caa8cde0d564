"""Masks of objects out of polygons and COCO's run-length encodings, by pycocotools' rasteriser.

A `Mask` holds what lies inside the box of its object alone: whole masks of 200 small polygons on 12
Mpixel would take 2.4 GiB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

FAR = 8  # sides of the picture; the rasteriser's memory grows with the length of an outline


class Mask(NamedTuple):
    """Part of a picture; all outside of it is 0."""

    values: np.ndarray  # uint8 [h, w], not 0 where the object is
    top: int
    left: int

    def whole(self, height: int, width: int) -> np.ndarray:
        """uint8 [H, W] of the picture's size."""
        pixels = np.zeros((height, width), np.uint8)
        rows, columns = self.values.shape
        pixels[self.top : self.top + rows, self.left : self.left + columns] = self.values
        return pixels


def of(pixels: np.ndarray) -> Mask:
    """[H, W], not 0 where the object is -> the part of it that matters."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return Mask(np.zeros((0, 0), np.uint8), 0, 0)
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    values = (pixels[top:bottom, left:right] != 0).astype(np.uint8)
    return Mask(values, int(top), int(left))


def united(first: Mask, second: Mask) -> Mask:
    """What is inside of either."""
    if not first.values.size or not second.values.size:
        return first if first.values.size else second
    both = first, second
    top, left = min(m.top for m in both), min(m.left for m in both)
    bottom = max(m.top + m.values.shape[0] for m in both)
    right = max(m.left + m.values.shape[1] for m in both)
    values = np.zeros((bottom - top, right - left), np.uint8)
    for mask in both:
        rows, columns = mask.values.shape
        at = slice(mask.top - top, mask.top - top + rows)
        values[at, mask.left - left : mask.left - left + columns] |= mask.values
    return Mask(values, top, left)


def of_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """Inside of any polygon [x0, y0, x1, y1, ...] in continuous pixels.

    Drawn inside the box of each, with the pixels that drawing in the whole picture gives. Raises
    ValueError for a polygon of fewer than three points, or with points that are no numbers or far
    outside.
    """
    drawn = Mask(np.zeros((0, 0), np.uint8), 0, 0)
    for polygon in polygons:
        _check_polygon(polygon, height, width)
    for polygon in polygons:
        drawn = united(drawn, _of_polygon(list(map(float, polygon)), height, width))
    return drawn


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """`of_polygons` as uint8 [H, W], 1 inside."""
    return of_polygons(polygons, height, width).whole(height, width)


def _moved(value: float, shift: int) -> float:
    """A coordinate less whole pixels, on the fifth of a pixel to which the rasteriser rounds it.

    Source: maskApi.c of the COCO API, rleFrPoly. Rounding after the shift could differ.
    """
    return (int(5 * value + 0.5) - 5 * shift) / 5 if shift else value


def _of_polygon(polygon: list[float], height: int, width: int) -> Mask:
    xs, ys = polygon[0::2], polygon[1::2]
    # The rasteriser rounds coordinates below 0 towards 0, which a shift by whole pixels changes.
    left = max(int(min(xs)) - 1, 0) if min(xs) >= 0 else 0
    top = max(int(min(ys)) - 1, 0) if min(ys) >= 0 else 0
    right, bottom = min(int(max(xs)) + 2, width), min(int(max(ys)) + 2, height)
    if right <= left or bottom <= top:
        return Mask(np.zeros((0, 0), np.uint8), 0, 0)
    shifts = left, top
    moved = [_moved(value, shifts[i % 2]) for i, value in enumerate(polygon)]
    encoded = coco_mask.frPyObjects([moved], bottom - top, right - left)
    return Mask(coco_mask.decode(coco_mask.merge(encoded)), top, left)


def from_rle(rle: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """uint8 [H, W] of {"size": [H, W], "counts": list, or COCO's packed text}.

    Raises ValueError where the size is another, or the runs do not fill it.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise ValueError(f"run-length mask of size {size}, expected {[height, width]}")
    size = [height, width]
    if isinstance(counts, (list, tuple)):
        if any(not isinstance(run, int) or run < 0 for run in counts):
            raise ValueError("run-length mask: expected whole runs of 0 and more")
        if sum(counts) != height * width:
            raise ValueError(f"run-length mask of {sum(counts)} pixels, not {height * width}")
        values = np.zeros(len(counts), np.uint8)
        values[1::2] = 1
        return np.repeat(values, counts).reshape(width, height).T
    if not isinstance(counts, (str, bytes)):
        raise ValueError(f"run-length mask: counts are {type(counts).__name__}")
    packed = counts.encode() if isinstance(counts, str) else counts
    if sum(_unpack(packed)) != height * width:  # pycocotools would write outside of the mask
        raise ValueError(f"run-length mask does not fill {height}x{width} pixels")
    return coco_mask.decode({"size": size, "counts": packed})


def to_rle(mask: np.ndarray) -> dict[str, Any]:
    """[H, W], not 0 inside -> {"size", "counts"} with packed counts as text."""
    encoded = coco_mask.encode(np.asfortranarray((mask != 0).astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def _check_polygon(polygon: Sequence[float], height: int, width: int) -> None:
    if not isinstance(polygon, (list, tuple, np.ndarray)):
        raise ValueError(f"a polygon is a list of numbers, got {type(polygon).__name__}")
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"a polygon needs three points and more, got {len(polygon)} numbers")
    try:
        points = np.array(polygon, float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a polygon has points that are no numbers") from None
    if points.ndim != 1:
        raise ValueError("a polygon has points that are no numbers")
    limit = FAR * max(height, width)
    if not (np.abs(points) <= limit).all():  # also for NaN
        raise ValueError(f"a polygon has points beyond {limit}, or that are no numbers")


def _unpack(packed: bytes) -> list[int]:
    """Runs of COCO's packed text: 5 bits per character, least first; differences after the third.

    Source: maskApi.c of the COCO API, rleFrString.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in packed:
        part = byte - 48
        if not 0 <= part < 64:
            raise ValueError(f"run-length mask: {chr(byte)!r} is no character of packed counts")
        value |= (part & 0x1F) << shift
        shift += 5
        if shift > 60:
            raise ValueError("run-length mask: a run of the packed counts does not end")
        if not part & 0x20:
            if part & 0x10:
                value -= 1 << shift
            if len(runs) > 2:
                value += runs[-2]
            if value < 0:
                raise ValueError("run-length mask: a run is negative")
            runs.append(value)
            value = shift = 0
    if shift:
        raise ValueError("run-length mask: the packed counts end in the middle of a run")
    return runs


def ellipse(
    y: float, x: float, radius_y: float, radius_x: float, angle: float = 0.0
) -> list[float]:
    """A polygon [x0, y0, ...] of 72 points around a center; `angle` turns it, in radians."""
    turns = np.arange(72) * (np.pi / 36)
    along, across = radius_x * np.cos(turns), radius_y * np.sin(turns)
    points_x = x + along * np.cos(angle) - across * np.sin(angle)
    points_y = y + along * np.sin(angle) + across * np.cos(angle)
    return np.stack([points_x, points_y], axis=1).ravel().tolist()


def bounds(polygons: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """(ymin, xmin, ymax, xmax) around polygons [x0, y0, ...]."""
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(ys), min(xs), max(ys), max(xs)
