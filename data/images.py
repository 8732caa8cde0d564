"""Encoded pictures: checked, turned upright, and of a kind that TensorFlow decodes.

A plain JPEG or PNG is kept byte for byte. Re-encoded are: pictures that EXIF says are turned, and
what TensorFlow does not decode or would decode differently (TIFF, WebP, BMP, GIF, CMYK, 16-bit,
palettes, alpha, files that only a forgiving decoder reads). Lossy sources become JPEG, quality 95;
others PNG. Gray stays gray, all else becomes RGB; alpha is dropped, as TensorFlow drops it.

EXIF rule: annotations are taken to be given for the pixels as stored, unless their own record of
the picture's size says otherwise; `Picture` maps them to the upright picture.
"""

from __future__ import annotations

import dataclasses
import io
import warnings

import numpy as np
import PIL.Image

from data import files, jpeg
from data.sample import BadSample

MAX_PIXELS = 100_000_000
PIL.Image.MAX_IMAGE_PIXELS = None  # `inspect` checks the header against its own limit
warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on metadata, one a picture

_ORIENTATION = 0x0112
# EXIF orientation -> PIL's operation, and the same on points: swap y and x, then mirror y, x.
_TURNS = {
    2: (PIL.Image.Transpose.FLIP_LEFT_RIGHT, False, False, True),
    3: (PIL.Image.Transpose.ROTATE_180, False, True, True),
    4: (PIL.Image.Transpose.FLIP_TOP_BOTTOM, False, True, False),
    5: (PIL.Image.Transpose.TRANSPOSE, True, False, False),
    6: (PIL.Image.Transpose.ROTATE_270, True, False, True),
    7: (PIL.Image.Transpose.TRANSVERSE, True, True, True),
    8: (PIL.Image.Transpose.ROTATE_90, True, True, False),
}
_LOSSY = {"JPEG", "MPO", "WEBP"}


@dataclasses.dataclass(frozen=True)
class Header:
    """What `inspect` found."""

    format: str  # PIL's name: JPEG, PNG, TIFF, ...
    height: int  # pixels as stored
    width: int
    orientation: int  # EXIF, 1..8; 1 = upright
    plain: bool  # kept byte for byte when upright


@dataclasses.dataclass(frozen=True)
class Picture:
    """An upright picture and how it came from the stored one."""

    image: bytes
    format: str  # "jpeg" or "png"
    height: int  # pixels, upright
    width: int
    orientation: int = 1  # of the file that was read

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the file that was read."""
        swap = self.orientation in _TURNS and _TURNS[self.orientation][1]
        return (self.width, self.height) if swap else (self.height, self.width)

    def points(self, points: np.ndarray) -> np.ndarray:
        """[..., 2] (y, x) pixels of the stored picture -> of the upright one."""
        if self.orientation not in _TURNS:
            return points
        _, swap, mirror_y, mirror_x = _TURNS[self.orientation]
        y, x = points[..., 0], points[..., 1]
        if swap:
            y, x = x, y
        y = self.height - y if mirror_y else y
        x = self.width - x if mirror_x else x
        return np.stack([y, x], axis=-1)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """[N, 4] pixels of the stored picture -> of the upright one."""
        if self.orientation not in _TURNS:
            return boxes
        corners = self.points(boxes.reshape(-1, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)

    def raster(self, values: np.ndarray) -> np.ndarray:
        """[H, W] masks or classes of the stored picture -> of the upright one."""
        if self.orientation not in _TURNS:
            return values
        _, swap, mirror_y, mirror_x = _TURNS[self.orientation]
        values = values.T if swap else values
        values = values[::-1] if mirror_y else values
        return values[:, ::-1] if mirror_x else values


def load(where: files.Where, max_pixels: int = MAX_PIXELS) -> Picture:
    """Reads, checks and uprights a picture file. Raises BadSample."""
    try:
        data = files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_image", f"{files.name_of(where)}: no such file") from None
    except OSError as error:
        detail = f"{files.name_of(where)}: {error.strerror}"
        raise BadSample("unreadable_image", detail) from None
    try:
        return upright(data, max_pixels)
    except BadSample as error:
        raise BadSample(error.reason, f"{files.name_of(where)}: {error.detail}") from None


def inspect(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Checks a picture, decoding it only where its structure alone does not prove it sound.

    Raises BadSample: empty_image, too_large (before anything is decoded), corrupt_image.
    """
    if not data:
        raise BadSample("empty_image", "the file is empty")
    found = jpeg.structure(data)
    if found is not None and found.sound:
        _check_size(found.height, found.width, max_pixels)
        turn = _exif_orientation(found.exif) if found.exif else 1
        return Header("JPEG", found.height, found.width, turn, plain=True)
    picture = _decode(data, max_pixels)
    plain = picture.format == "PNG" and data[24] == 8 and picture.mode in ("L", "RGB")
    plain = plain and "transparency" not in picture.info and getattr(picture, "n_frames", 1) == 1
    width, height = picture.size
    return Header(picture.format, height, width, _orientation(picture), plain)


def upright(data: bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture as records keep it: upright, and decodable by TensorFlow. Raises BadSample."""
    header = inspect(data, max_pixels)
    if header.plain and header.orientation == 1:
        return Picture(data, header.format.lower(), header.height, header.width)
    pixels = _colors(_decode(data, max_pixels))
    if header.orientation in _TURNS:
        pixels = pixels.transpose(_TURNS[header.orientation][0])
    kind = "jpeg" if header.format in _LOSSY else "png"
    width, height = pixels.size
    return Picture(encode(np.asarray(pixels), kind), kind, height, width, header.orientation)


def encode(pixels: np.ndarray, kind: str = "png") -> bytes:
    """[H, W] or [H, W, 3] uint8 -> bytes of a PNG, or of a JPEG of quality 95."""
    buffer = io.BytesIO()
    options = {"compress_level": 3} if kind == "png" else {"quality": 95, "subsampling": 0}
    PIL.Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def read_raster(where: files.Where, size: tuple[int, int]) -> np.ndarray:
    """Indices of a palette or gray PNG: uint8 [H, W]; `size` is the wanted (H, W).

    Raises BadSample bad_segmentation.
    """
    path = files.name_of(where)
    try:
        picture = _decode(files.read(where), MAX_PIXELS)
    except OSError as error:
        raise BadSample("bad_segmentation", f"{path}: {error.strerror}") from None
    except BadSample as error:
        raise BadSample("bad_segmentation", f"{path}: {error.detail}") from None
    if picture.mode not in ("P", "L"):
        raise BadSample(
            "bad_segmentation", f"{path}: expected a palette or gray PNG, got mode {picture.mode}"
        )
    values = np.asarray(picture)
    if values.shape != tuple(size):
        raise BadSample(
            "bad_segmentation", f"{path}: expected the picture's size {size}, got {values.shape}"
        )
    return values


def _decode(data: bytes, max_pixels: int) -> PIL.Image.Image:
    """The decoded first frame; its size is checked before its pixels are."""
    try:
        picture = PIL.Image.open(io.BytesIO(data))
    except PIL.UnidentifiedImageError:
        detail = f"not a picture of a known format; it starts with {data[:8]!r}"
        raise BadSample("corrupt_image", detail) from None
    except Exception as error:  # PIL raises many kinds on damaged files
        raise BadSample("corrupt_image", f"not a picture that can be read: {error}") from None
    _check_size(picture.height, picture.width, max_pixels)
    try:
        picture.load()
    except Exception as error:
        detail = f"{picture.format} of {picture.width}x{picture.height}: {error}"
        raise BadSample("corrupt_image", detail) from None
    return picture


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise BadSample(
            "too_large",
            f"{width}x{height} = {height * width:,} pixels, more than max_pixels {max_pixels:,}",
        )
    if height < 1 or width < 1:
        raise BadSample("corrupt_image", f"{width}x{height} pixels")


def _orientation(picture: PIL.Image.Image) -> int:
    try:
        turn = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make a picture bad
        return 1
    return turn if turn in _TURNS else 1


def _exif_orientation(payload: bytes) -> int:
    exif = PIL.Image.Exif()
    try:
        exif.load(payload)
        turn = exif.get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data does not make a picture bad
        return 1
    return turn if turn in _TURNS else 1


def _colors(picture: PIL.Image.Image) -> PIL.Image.Image:
    """8-bit gray or RGB."""
    mode = picture.mode
    if mode.startswith("I;16") or mode == "I":  # PIL would clip at 255 instead of scaling
        values = np.asarray(picture).astype(np.int64)
        return PIL.Image.fromarray((np.clip(values, 0, 65535) // 257).astype(np.uint8))
    if mode == "F":
        raise BadSample("unsupported_image", "float pixels have no agreed range; convert to 8 bits")
    if mode in ("1", "L", "LA", "La"):
        return picture.convert("L")
    if mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")
