"""Pictures as a recipe with data.channels wants them: so many channels, of 8 or 16 bits.

* 1 and 3 are gray and RGB: a picture of the one is taken as the other where it is decoded. Every
  other number must be the picture's own. Transparency is a channel where it makes the number right,
  else it is dropped, as everywhere.
* Of 16-bit values 8-bit recipes keep the upper 8; in 16-bit recipes an 8-bit value v is 257 v, so
  that black stays black and white white (as libpng widens them). Both are told.
* What TensorFlow decodes to just this is kept byte for byte, all else becomes a PNG of bands.py.
"""

from __future__ import annotations

import numpy as np

from convoy.data.images import arrays, bands, decoding, jpeg, png, wanted
from convoy.data.images.wanted import Wanted
from convoy.data.sample import BadSample

_COLORS = (1, 3)


def kept(data: bytes, max_pixels: int, want: Wanted) -> tuple[str, int, int] | None:
    """(format, height, width) of a picture that goes into a record as it is, else None."""
    if structure := jpeg.structure(data):
        decoding.check_size(structure.height, structure.width, max_pixels)
        upright = not structure.exif or jpeg.orientation(structure.exif) == 1
        if not (upright and structure.sound and structure.scans <= jpeg.MAX_SCANS):
            return None
        if want.channels not in _COLORS:
            return None
        _tell(8, want)
        return "jpeg", structure.height, structure.width
    found = png.structure(data)
    if found is None or not found.sound or bands.stacked(data):
        return None
    decoding.check_size(found.height, found.width, max_pixels)
    turned = found.exif and jpeg.orientation(b"Exif\0\0" + found.exif) != 1
    same = found.channels == want.channels and found.channels in bands.IN_PNG
    color = found.channels in _COLORS and want.channels in _COLORS
    if turned or not (same or color) or found.depth > want.bits or not png.pixels_ok(found):
        return None
    _tell(found.depth, want)
    return "png", found.height, found.width


def pixels(data: bytes, max_pixels: int, want: Wanted) -> tuple[np.ndarray, int]:
    """([H, W, C] uint8 or uint16 as stored, its EXIF turn). Raises BadSample."""
    found = arrays.read(data, max_pixels, want.channels)
    values, count = found.values, found.values.shape[2]
    fits = count == want.channels
    if not fits and found.alpha:
        values, count = values[..., :-1], count - 1
        fits = count == want.channels
    if not fits and not (count in _COLORS and want.channels in _COLORS):
        shape = found.values.shape
        first = found.kind == "NumPy" and shape[0] == want.channels
        hint = "; channels come last: numpy.moveaxis(a, 0, -1)" if first else ""
        raise BadSample(
            "other_channels",
            f"{found.kind} of {shape[2]} channels, {shape[1]}x{shape[0]}: data.channels is "
            f"{want.channels}{hint}",
        )
    _tell(8 * values.dtype.itemsize, want)
    if found.several:
        what = f"is a {found.kind} of several {found.several}"
        wanted.tell("first_frame", f"{what}: the first is taken")
    if want.bits == 8 and values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    return values, found.turn


def _tell(bits: int, want: Wanted) -> None:
    if bits > want.bits:
        wanted.tell("upper_bits", "has 16 bits: the upper 8 are kept; data.bits: 16 keeps all")
    elif bits < want.bits:
        wanted.tell("eight_bits", "has 8 bits, data.bits is 16: its values are taken times 257")
