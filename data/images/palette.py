"""Pictures of indices in VOC's colours, as its SegmentationClass and SegmentationObject are."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import PIL.Image


def save(path: pathlib.Path, values: np.ndarray) -> None:
    """Writes [H, W] indices of 0..255 as a palette PNG, with its folder."""
    path.parent.mkdir(exist_ok=True)
    picture(values).save(path)


def picture(values: np.ndarray) -> PIL.Image.Image:
    """[H, W] indices of 0..255 as a picture with a palette."""
    picture = PIL.Image.fromarray(values.astype(np.uint8))
    picture.putpalette(colors())
    return picture


@functools.cache
def colors() -> bytes:
    """256 RGB colours: the bits of the index, dealt to red, green and blue from the top."""
    table = bytearray()
    for index in range(256):
        for channel in range(3):
            bits = (index >> (3 * step + channel) & 1 for step in range(8))
            table.append(sum(bit << (7 - step) for step, bit in enumerate(bits)))
    return bytes(table)
