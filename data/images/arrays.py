"""Picture files as arrays [H, W, C] of 8 or 16 bits: TIFF of any number of channels, .npy, PNG.

NumPy's files are never unpickled. What has no agreed range (floats, 32 bits, signed numbers) is
refused: a recipe's pictures are of 8 or 16 bits.
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import dataclasses
import io
import logging
import warnings

import numpy as np
import tifffile

from convoy.data.images import bands, decoding, jpeg, png
from convoy.data.sample import BadSample

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong is said by BadSample

NUMPY = b"\x93NUMPY"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEADER = 10_000  # bytes of a .npy header; ours are below 200
_ORIENTATION, _WHITE_IS_ZERO, _GRAY, _RGB = 274, 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A picture as stored."""

    values: np.ndarray  # [H, W, C] uint8 or uint16
    turn: int = 1  # EXIF's, 1..8, not yet applied
    alpha: bool = False  # whether the last channel is transparency
    kind: str = "PNG"
    several: str = ""  # "pages" or "frames" where the file has more of them than were read


def read(data: bytes, max_pixels: int, channels: int) -> Pixels:
    """Any picture file. channels: wanted ones, where pages may be channels. Raises BadSample."""
    if data.startswith(NUMPY):
        return Pixels(_npy(data, max_pixels), kind="NumPy")
    if data.startswith(TIFF) and (pixels := _tiff(data, max_pixels, channels)):
        return pixels
    if data[12:16] == b"IHDR" and (data[24:25] == b"\x10" or bands.stacked(data)):
        return _png(data, max_pixels)
    with decoding.opened(data, max_pixels) as (picture, turn, turned):
        alpha = picture.mode in ("LA", "RGBA") or "transparency" in picture.info
        if alpha and picture.mode != "LA":
            picture = picture.convert("RGBA")
        kind = picture.format or "PNG"
        several = "pages" if kind == "TIFF" else "frames"
        several = several if getattr(picture, "is_animated", False) else ""
        if not alpha and not picture.mode.startswith("I;16"):
            picture = decoding.colors(picture)
        values = np.asarray(picture)
    values = values.reshape(*values.shape[:2], -1)
    return Pixels(values, 1 if turned else turn, alpha, kind, several)


def counted(data: bytes) -> tuple[int, int]:
    """(channels, bits) of a TIFF or an array that could be read; (0, 0) of others."""
    try:
        if data.startswith(NUMPY):
            shape, _, dtype = _npy_header(data)
            fits = len(shape) in (2, 3) and dtype.kind == "u" and dtype.itemsize <= 2
            return ((*shape, 1)[2], 8 * dtype.itemsize) if fits else (0, 0)
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page, pages = file.pages[0], len(file.pages)
            fits = page.bitspersample in (8, 16) and page.dtype.kind == "u"
            count = page.samplesperpixel if page.samplesperpixel > 1 else pages
            return (count, page.bitspersample) if fits else (0, 0)
    except Exception:  # whatever a damaged file leads to: that is said elsewhere
        return 0, 0


def _npy_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file, max_header_size=_HEADER)
    raise ValueError(f"version {version} of the format")


def _npy(data: bytes, max_pixels: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, _, dtype = _npy_header(data)
    except Exception as error:  # NumPy raises many kinds on damaged headers
        raise BadSample("corrupt_image", f"a damaged NumPy file: {error}") from None
    if dtype.hasobject:
        detail = "an array of Python objects, which is never unpickled; save it as uint8 or uint16"
        raise BadSample("unsupported_image", detail)
    if len(shape) not in (2, 3):
        detail = f"an array of shape {shape}: expected [height, width, channels]"
        raise BadSample("unsupported_image", detail)
    height, width, channels = (*shape, 1)[:3]
    decoding.check_size(height, width, max_pixels)
    _check_count(channels, shape)
    _check_memory(height * width * channels * dtype.itemsize)
    try:
        values = np.lib.format.read_array(
            io.BytesIO(data), allow_pickle=False, max_header_size=_HEADER
        )
    except Exception as error:
        raise BadSample("corrupt_image", f"a damaged NumPy file: {error}") from None
    return _of_bits(values.reshape(height, width, channels), "an array")


def _of_bits(values: np.ndarray, what: str) -> np.ndarray:
    """uint8 or uint16 in this machine's order. Raises BadSample for others."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    nan = np.isnan(values).sum() if values.dtype.kind == "f" else 0
    also = f" with {nan:,} NaN" if nan else ""
    raise BadSample(
        "unsupported_image",
        f"{what} of {values.dtype}{also}: such values have no agreed range; convert them to uint8 "
        "or uint16",
    )


def _tiff(data: bytes, max_pixels: int, channels: int) -> Pixels | None:
    """None: PIL's decoder is for it (palettes, CMYK, JPEG and others inside)."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return _tiff_page(_whole_pages(file), max_pixels, channels)
    except BadSample:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        if _needs_codec(error):
            return None
        raise BadSample("corrupt_image", f"a damaged TIFF: {str(error)[:200]}") from None


def _whole_pages(file) -> list:
    """The pages of a TIFF but smaller copies and masks of others, which GDAL writes."""
    first, *others = file.pages
    return [first, *(page for page in others if not page.keyframe.subfiletype & 5)]


def _needs_codec(error: Exception) -> bool:
    return isinstance(error, ImportError) or "imagecodecs" in str(error)


def _tiff_page(whole: list, max_pixels: int, channels: int) -> Pixels | None:
    page, pages = whole[0], len(whole)
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    decoding.check_size(height, width, max_pixels)
    kinds = (_WHITE_IS_ZERO, _GRAY, _RGB)
    if page.imagedepth != 1 or page.bitspersample not in (8, 16) or page.photometric not in kinds:
        if samples > 4 or page.dtype is None or page.dtype.kind != "u":
            detail = f"a TIFF of {samples} channels of {page.bitspersample} bits ({page.dtype})"
            raise BadSample("unsupported_image", f"{detail}: expected 8 or 16 bits, unsigned")
        return None
    # One channel a page is how some programs write what others write as one page.
    stack = samples == 1 and channels > 1 and pages == channels
    _check_count(channels if stack else samples, (height, width, samples))
    _check_memory(height * width * (channels if stack else samples) * (page.bitspersample // 8))
    try:
        planes = whole if stack else whole[:1]
        if any((p.shape, p.dtype) != (page.shape, page.dtype) for p in planes):
            raise BadSample("unsupported_image", "a TIFF whose pages have different sizes")
        arrays = [_page_values(p) for p in planes]
    except Exception as error:
        if _needs_codec(error) and _pillow_reads(page):
            return None
        if _needs_codec(error):
            detail = (
                f"a TIFF of {samples} channels of {page.bitspersample} bits, compressed by "
                f"{page.compression.name}, which is not decoded here: save it uncompressed or with "
                "DEFLATE (gdal_translate -co COMPRESS=DEFLATE)"
            )
            raise BadSample("unsupported_image", detail) from None
        raise
    values = _of_bits(np.concatenate(arrays, axis=2), "a TIFF")
    if page.photometric == _WHITE_IS_ZERO:
        values = np.iinfo(values.dtype).max - values
    tag = page.tags.get(_ORIENTATION)
    turn = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    extra = [int(kind) for kind in page.extrasamples]
    several = "pages" if pages > 1 and not stack else ""
    return Pixels(values, turn, bool(extra) and extra[-1] in (1, 2), "TIFF", several)


def _pillow_reads(page) -> bool:
    """Whether Pillow, with its decompressors, gives the values as they are."""
    if page.bitspersample == 16:  # of 16 bits it reads gray alone, and does not invert it
        return page.samplesperpixel == 1 and page.photometric == _GRAY
    return page.samplesperpixel in (1, 3, 4)


def _page_values(page) -> np.ndarray:
    """[H, W, C]; in the file channels may come first."""
    values = page.asarray()
    if values.ndim == 2:
        return values[..., None]
    return np.moveaxis(values, 0, -1) if page.axes.startswith("S") else values


def _png(data: bytes, max_pixels: int) -> Pixels:
    """Of 16 bits, or one that holds channels one above the other."""
    structure = png.structure(data)
    count = bands.stacked(data)
    if structure:
        decoding.check_size(structure.height // max(count, 1), structure.width, max_pixels)
    fits = structure and structure.sound and structure.height % max(count, 1) == 0
    if not fits or not png.pixels_ok(structure) or (count and structure.channels != 1):
        detail = "a 16-bit PNG that is damaged, or has a transparent colour; save it again"
        raise BadSample("corrupt_image", detail)
    _check_memory(structure.height * structure.width * structure.channels * 2)
    try:
        values = bands.decode(data)
    except Exception as error:  # OpenCV's too
        raise BadSample("corrupt_image", f"a damaged PNG: {error}") from None
    if structure.channels == 2 and values.shape[2] == 4:
        values = values[..., [0, 3]]  # OpenCV makes three equal colours of gray with transparency
    turn = jpeg.orientation(b"Exif\0\0" + structure.exif) if structure.exif else 1
    return Pixels(values, turn, structure.channels in (2, 4), "PNG")


def _check_count(channels: int, shape) -> None:
    if not 1 <= channels <= bands.MOST:
        first = shape[0] <= bands.MOST < channels
        hint = "; channels come last: numpy.moveaxis(a, 0, -1)" if first else ""
        detail = f"a picture of shape {tuple(shape)}: expected 1 to {bands.MOST} channels{hint}"
        raise BadSample("unsupported_image", detail)


def _check_memory(size: int) -> None:
    if 3 * size > decoding.BUDGET:  # the values, their copy in another order, the PNG's rows
        raise BadSample(
            "too_large",
            f"{size:,} bytes of pixels need about {3 * size / 1e9:.1f} GB, more than "
            f"{decoding.BUDGET / 1e9:.1f} GB",
        )
