"""Which input a network is given, by the sizes of pictures and of objects in them."""

from __future__ import annotations

from convoy.pipeline.tools.init.look import Look

STRIDE = 32  # of the networks' coarsest maps
SIDES = (64, 96, 128, 160, 192, 224)  # of square inputs
OBJECT_PX = 12.0  # that a small object should have on the input
USUAL = 320  # longer side for objects, where they are large


def square(seen: Look, most: int) -> list[int]:
    """The largest of SIDES that the pictures have, at most `most`."""
    side = max((s for s in SIDES if s <= min(most, max(seen.size))), default=SIDES[0])
    return [side, side]


def fitting(seen: Look, longer: int) -> list[int]:
    """The pictures' own form, not larger than they are, in multiples of 32."""
    height, width = seen.size
    scale = min(longer / max(height, width), 1.0)
    return [_multiple(height * scale), _multiple(width * scale)]


def for_objects(seen: Look, most: int) -> list[int]:
    """As `fitting`; larger where objects are small, to give these 12 pixels; at most `most`."""
    needed = OBJECT_PX / max(seen.smallest, 1e-6)
    return fitting(seen, int(min(max(needed, min(USUAL, most)), most)))


def _multiple(length: float) -> int:
    return max(round(length / STRIDE), 2) * STRIDE
