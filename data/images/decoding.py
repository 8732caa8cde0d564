"""Any picture file as 8-bit gray or RGB pixels, in bounded memory.

Decoded is what people keep pictures in; PIL's other plugins (some start programs, some have no
signature) are never tried. 16 bits keep their upper 8, as libpng strips them. Colours are taken as
stored: no colour management; CMYK by PIL's formula; alpha is dropped.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageChops

from convoy.data.images import jpeg
from convoy.data.sample import BadSample

PIL.Image.MAX_IMAGE_PIXELS = None  # `opened` checks the header against its own limit
warnings.filterwarnings("ignore", module=r"PIL\.")  # warnings on metadata, one per picture

MAX_BYTES = 1_000_000_000  # of a picture file
MAX_SIDE = 1_000_000  # of a PNG that libpng, and so TensorFlow, reads
BUDGET = 1_700_000_000  # bytes of one picture being decoded, the file's own included

# Format of PIL -> bytes per pixel at the worst moment of decoding, converting, turning, encoding,
# the file not counted; upper bounds of what tests/data/test_image_memory.py measures.
COST = {
    "JPEG": 13,
    "MPO": 13,
    "PNG": 10,
    "GIF": 10,
    "BMP": 10,
    "TIFF": 10,  # and the largest strip or tile, where it is compressed
    "WEBP": 21,
    "PPM": 10,
    "AVIF": 15,
}
# An MPO is opened as a JPEG; AVIF came with Pillow 11.3.
_FORMATS = sorted(COST.keys() - {"MPO", *(() if PIL.features.check("avif") else ("AVIF",))})
_ORIENTATION = 0x0112
_TIFF = {  # tags
    "bits": 258,
    "compression": 259,
    "photometric": 262,
    "strip_rows": 278,
    "tile_width": 322,
    "tile_rows": 323,
}
_BAND = 1 << 22  # pixels converted at a time

# What begins so is no picture of a kind above: (signature, its name, reason).
_OTHERS = (
    (b"%PDF", "a PDF document; save its pages as pictures", "unsupported_image"),
    (b"8BPS", "a Photoshop document; save it as PNG", "unsupported_image"),
    (b"%!PS", "a PostScript drawing; save it as PNG", "unsupported_image"),
    (b"\0\0\1\0", "an icon; save it as PNG", "unsupported_image"),
    (b"\xff\x0a", "JPEG XL; save it as PNG or JPEG", "unsupported_image"),
    (b"II*\0", "a TIFF of a kind that is not decoded, or damaged", "unsupported_image"),
    (b"MM\0*", "a TIFF of a kind that is not decoded, or damaged", "unsupported_image"),
    (b"PK\3\4", "a zip archive; unpack it", "corrupt_image"),
    (b"\x1f\x8b", "a gzip file; unpack it", "corrupt_image"),
    (b"version https://git-lfs", "a Git LFS pointer; run git lfs pull", "corrupt_image"),
    (b"\x89HDF", "an HDF5 file", "unsupported_image"),
    (b"\x93NUMPY", "a NumPy array", "unsupported_image"),
)
_BOXED = {  # brands of ISO media files
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
}


@contextlib.contextmanager
def opened(data: bytes, max_pixels: int):
    """The decoded first frame, as PIL has it, with its EXIF orientation and whether PIL has
    already applied that: (picture, 1..8, bool).

    Its size is checked before its pixels are decoded. Raises BadSample.
    """
    try:
        picture = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # PIL raises many kinds on damaged files
        identified = not isinstance(error, PIL.UnidentifiedImageError)
        raise _not_a_picture(data, str(error) if identified else "") from None
    with picture:
        check_size(picture.height, picture.width, max_pixels)
        _check_memory(picture, len(data))
        turn = _orientation(picture) if picture.format == "TIFF" else None
        try:
            picture.load()
        except Exception as error:
            detail = f"{picture.format} of {picture.width}x{picture.height}: {error}"
            raise BadSample("corrupt_image", detail) from None
        yield picture, turn or _orientation(picture), turn is not None


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raises BadSample too_large or corrupt_image."""
    if height * width > max_pixels:
        raise BadSample(
            "too_large",
            f"{width}x{height} = {height * width:,} pixels, more than max_pixels {max_pixels:,}",
        )
    if max(height, width) > MAX_SIDE:
        raise BadSample("too_large", f"{width}x{height}: a side of more than {MAX_SIDE:,} pixels")
    if height < 1 or width < 1:
        raise BadSample("corrupt_image", f"{width}x{height} pixels")


def colors(picture: PIL.Image.Image) -> PIL.Image.Image:
    """8-bit gray or RGB, without metadata. Raises BadSample."""
    mode, kind = picture.mode, picture.format
    if mode == "F" or (mode == "I" and kind != "PPM"):
        word = "float" if mode == "F" else "32-bit"
        detail = f"{word} pixels have no agreed range; convert them to 8 or 16 bits"
        raise BadSample("unsupported_image", detail)
    if mode == "I" or mode.startswith("I;16"):
        return _upper_bits(picture)
    if mode == "CMYK" and kind in ("JPEG", "MPO") and "adobe" not in picture.info:
        picture = PIL.ImageChops.invert(picture)  # PIL takes every JPEG to be inverted as Adobe's
    try:
        if mode in ("1", "L", "LA"):
            converted = picture if mode == "L" else picture.convert("L")
        elif mode == "La":  # premultiplied gray has no way of its own
            converted = picture.convert("LA").convert("L")
        elif mode == "P" and "transparency" in picture.info:
            converted = picture.convert("RGBA").convert("RGB")
        else:
            converted = picture if mode == "RGB" else picture.convert("RGB")
    except ValueError as error:
        raise BadSample("unsupported_image", f"{kind} of mode {mode}: {error}") from None
    converted.info = {}  # an ICC profile, a comment or a transparent colour would be written again
    return converted


def _upper_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The upper 8 bits of 16 (of 12 in such a TIFF), a band of rows at a time."""
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(_TIFF["bits"], (16,))[0] if picture.format == "TIFF" else 16
    white_is_zero = picture.format == "TIFF" and tags.get(_TIFF["photometric"]) == 0
    width, height = picture.size
    gray = PIL.Image.new("L", picture.size)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = np.asarray(picture.crop((0, top, width, min(top + rows, height))))
        upper = (np.clip(band, 0, 65535) >> (bits - 8)).astype(np.uint8)
        gray.paste(PIL.Image.fromarray(255 - upper if white_is_zero else upper), (0, top))
    return gray


def _check_memory(picture: PIL.Image.Image, stored: int) -> None:
    pixels = picture.width * picture.height
    needed = stored + pixels * COST[picture.format]
    if picture.format == "TIFF":
        needed += _strip_bytes(picture)
    if needed > BUDGET:
        raise BadSample(
            "too_large",
            f"{picture.format} of {picture.width}x{picture.height} needs about "
            f"{needed / 1e9:.1f} GB to decode, more than {BUDGET / 1e9:.1f} GB",
        )


def _strip_bytes(picture: PIL.Image.Image) -> int:
    """Of the largest strip or tile of a compressed TIFF, which is decoded whole."""
    tags = {name: picture.tag_v2.get(tag) for name, tag in _TIFF.items()}
    if tags["compression"] in (None, 1):
        return 0
    bits = tags["bits"] if isinstance(tags["bits"], tuple) else (8,)
    width, rows = tags["tile_width"] or picture.width, tags["tile_rows"]
    rows = rows or min(tags["strip_rows"] or picture.height, picture.height)
    return int(width) * int(rows) * -(-sum(bits) // 8)


def _orientation(picture: PIL.Image.Image) -> int:
    """EXIF's alone: programs do not agree on XMP's."""
    picture.info.pop("xmp", None)
    try:
        turn = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make a picture bad
        return 1
    return turn if turn in range(1, 9) else 1


def _not_a_picture(data: bytes, error: str) -> BadSample:
    """What the file is, as far as its first bytes tell."""
    for signature, description, reason in _OTHERS:
        if data.startswith(signature):
            return BadSample(reason, description)
    brand = _BOXED.get(data[8:12]) if data[4:8] == b"ftyp" else None
    if brand and brand not in _FORMATS:
        return BadSample("unsupported_image", f"{brand} is not decoded here; save it as JPEG")
    structure = jpeg.structure(data)
    if structure and structure.coding:
        detail = f"{structure.coding} JPEG is not decoded here; save it as PNG or plain JPEG"
        return BadSample("unsupported_image", detail)
    text = data[:1024].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").replace(b"\0", b"").lower()
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        detail = "an HTML page, not a picture; its download failed: fetch it again"
        return BadSample("corrupt_image", detail)
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!")) and b"<svg" in data[:4096]):
        return BadSample("unsupported_image", "an SVG drawing; save it as PNG")
    if text.startswith((b"<?xml", b"{")):
        return BadSample("corrupt_image", "a text in XML or JSON, not a picture; fetch it again")
    if not data.strip(b"\0"):
        return BadSample("corrupt_image", f"{len(data):,} zero bytes; fetch it again")
    detail = f"not a picture that can be read{': ' if error else ''}{error}"
    return BadSample("corrupt_image", f"{detail}; it starts with {data[:8]!r}")
