"""In which frame a picture was annotated: of what size, and whether EXIF had turned it.

The size that an annotation states decides where it can: it is that of the upright picture, of the
stored one, or of either made larger or smaller (both sides alike; boxes are then scaled). Where it
cannot (turned by 180 degrees, mirrored, square, or no size stated) the tool decides that wrote the
file, where the file says which; else `data.exif`; else `upright`, as labelme, labelImg since 1.8.4,
browsers (VIA, CVAT, Label Studio) and Ultralytics' loader show and read pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

from convoy.data import masks
from convoy.data.images import images, mask_png
from convoy.data.sample import BadSample

MAX_PIXELS = 200_000_000  # of a stated size, in which masks are drawn before they are scaled
NEAR = 1  # pixels by which tools round differently


class Frame(NamedTuple):
    """Geometry in pixels of the annotation -> of the upright picture."""

    turned: images.Picture  # maps the frame that was annotated to the upright picture
    height: int  # of the annotation
    width: int
    name: str  # "upright" or "stored"
    certain: bool  # whether the stated size, or a picture without a turn, says so

    @property
    def scale(self) -> tuple[float, float]:
        """(y, x): pixels of the picture per pixel of the annotation."""
        height, width = self.turned.stored_size
        return height / self.height, width / self.width

    @property
    def scaled(self) -> bool:
        return (self.height, self.width) != self.turned.stored_size

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """[N, 4] -> [N, 4]."""
        return self.turned.boxes(boxes * np.float32(self.scale * 2) if self.scaled else boxes)

    def points(self, points: np.ndarray) -> np.ndarray:
        """[..., 2] (y, x) -> [..., 2]."""
        return self.turned.points(points * np.float32(self.scale) if self.scaled else points)

    def raster(self, values: np.ndarray) -> np.ndarray:
        """[H, W] masks or classes -> of the upright picture, contiguous; by the nearest pixel."""
        if self.scaled:
            height, width = self.turned.stored_size
            nearest = PIL.Image.Resampling.NEAREST
            values = np.asarray(PIL.Image.fromarray(values).resize((width, height), nearest))
        return np.ascontiguousarray(self.turned.raster(values))

    def mask(self, mask: masks.Mask) -> bytes:
        """PNG of the upright picture's size, 255 inside."""
        upright = self.turned.height, self.turned.width
        if self.scaled:
            mask = masks.of(self.raster(mask.whole(self.height, self.width)))
        elif self.turned.orientation != 1 and mask.values.size:
            rows, columns = mask.values.shape
            box = [mask.top, mask.left, mask.top + rows, mask.left + columns]
            top, left, *_ = self.turned.boxes(np.array([box], np.float64))[0].astype(int).tolist()
            mask = masks.Mask(self.turned.raster(mask.values), top, left)
        return mask_png.encode(mask, *upright)


def frame_of(
    picture: images.Picture,
    stated: Sequence[float | None] | None,
    preferred: str,
    where: str,
    scalable: bool = True,
) -> Frame:
    """The frame of an annotation.

    stated: (height, width) that it says, or None; preferred: "upright" or "stored", where that does
    not tell; scalable: False = a stated size that is no size of the picture is the caller's matter.
    Raises BadSample size_mismatch.
    """
    upright = dataclasses.replace(picture, orientation=1)
    frames = {"upright": upright}
    if picture.orientation != 1:
        frames["stored"] = picture
    size = _size(stated)
    by_fit: dict[int, list[str]] = {}
    for name, turned in frames.items():
        by_fit.setdefault(_fit(size, turned.stored_size, scalable), []).append(name)
    best = min(by_fit)
    if best == _OTHER and scalable:
        height, width = picture.height, picture.width
        raise BadSample(
            "size_mismatch",
            f"{where}: annotated in {size[1]:g}x{size[0]:g} pixels (width x height), the picture "
            f"has {width}x{height}; expected its size, or one with the same ratio of sides",
        )
    names = by_fit[best]
    name = preferred if preferred in names else names[0]
    turned = frames[name]
    height, width = size if best == _SCALED else turned.stored_size
    return Frame(turned, int(height), int(width), name, len(names) == 1)


_EXACT, _NEAR, _SCALED, _OTHER = range(4)


def _size(stated: Sequence[float | None] | None) -> tuple[float, float] | None:
    """None for what is no size: not said, 0, -1, text."""
    if stated is None or any(
        isinstance(side, bool) or not isinstance(side, (int, float)) or not 0 < side < 2**31
        for side in stated
    ):
        return None
    height, width = stated
    return height, width


def _fit(size: tuple[float, float] | None, picture: tuple[int, int], scalable: bool) -> int:
    """How well a stated size fits that of a picture."""
    if size is None or size == picture:
        return _EXACT
    if all(abs(a - b) <= NEAR for a, b in zip(size, picture, strict=True)):
        return _NEAR
    # One factor that gives both sides, each rounded up or down to a whole pixel.
    low = max((b - NEAR) / a for a, b in zip(size, picture, strict=True))
    high = min((b + NEAR) / a for a, b in zip(size, picture, strict=True))
    small = size[0] * size[1] <= MAX_PIXELS and all(side % 1 == 0 for side in size)
    return _SCALED if scalable and low < high and small else _OTHER
