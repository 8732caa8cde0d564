"""Encoded pictures: checked, turned upright, and of a kind that TensorFlow decodes.

A plain JPEG or PNG is kept byte for byte. Re-encoded are: pictures that EXIF says are turned, and
what TensorFlow does not decode or would decode differently (TIFF, WebP, BMP, GIF, CMYK, 16-bit,
palettes, alpha, files that only a forgiving decoder reads). Lossy sources become JPEG, quality 95;
others PNG. Gray stays gray, all else becomes RGB (data/images/decoding.py), unless a recipe wants
other channels or 16 bits (data/images/channels.py).

Annotations of the pixels as stored are mapped by `Picture` to the upright picture; which frame is
meant, data/frame.py says.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import PIL.Image

from convoy.data.files import files
from convoy.data.images import bands, decoding, jpeg, png, wanted
from convoy.data.sample import BadSample

MAX_PIXELS = 100_000_000
_MAX_JPEG_SIDE = 65_500
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
_SEVERAL = ("GIF", "WEBP", "PNG", "TIFF")  # formats of which a file may hold several pictures
_ARRAYS = (b"\x93NUMPY", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # .npy and TIFF begin so
_SAMPLES = 277  # TIFF's tag of the number of channels
_LOSSY = {"JPEG", "MPO", "WEBP", "AVIF"}


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


def load(where: files.Where, max_pixels: int = MAX_PIXELS, *, label: bool = False) -> Picture:
    """Reads, checks and uprights a picture file. label: as `upright`. Raises BadSample."""
    if files.length(where) > decoding.MAX_BYTES:
        size = f"{files.name_of(where)}: {files.length(where):,} bytes"
        raise BadSample("too_large", f"{size}, more than {decoding.MAX_BYTES:,}")
    try:
        data = files.read(where)
    except FileNotFoundError:
        raise BadSample("missing_image", f"{files.name_of(where)}: no such file") from None
    except OSError as error:
        detail = f"{files.name_of(where)}: {error.strerror}"
        raise BadSample("unreadable_image", detail) from None
    try:
        return upright(data, max_pixels, label=label)
    except BadSample as error:
        raise BadSample(error.reason, f"{files.name_of(where)}: {error.detail}") from None


def inspect(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Checks a picture, decoding it only where its structure alone does not prove it sound.

    Raises BadSample: empty_image, too_large (before anything is decoded), corrupt_image,
    unsupported_image.
    """
    header = _by_structure(data, max_pixels)
    if header:
        return header
    with decoding.opened(data, max_pixels) as (picture, turn, turned):
        return _header(picture, turn, turned)


def upright(data: bytes, max_pixels: int = MAX_PIXELS, *, label: bool = False) -> Picture:
    """The picture as records keep it: upright, and decodable by TensorFlow. Raises BadSample.

    label: it says what is in another picture: of 8 bits, whatever the recipe wants of pictures.
    """
    if wanted.now().channels and not label:
        return _of_channels(data, max_pixels)
    if not label and (count := bands.stacked(data)):
        detail = f"a PNG of {count} channels, one above the other: set data.channels: {count}"
        raise BadSample("unsupported_image", detail)
    header = _by_structure(data, max_pixels)
    if header and header.orientation == 1:
        return Picture(data, header.format.lower(), header.height, header.width)
    try:
        with decoding.opened(data, max_pixels) as (picture, turn, turned):
            header = _header(picture, turn, turned)
            _tell(picture, data)
            pixels = decoding.colors(picture)
    except BadSample as error:
        raise _advised(error, data) from None
    del picture  # so that at most two copies of the pixels are there at once
    if header.orientation in _TURNS and not turned:
        pixels = pixels.transpose(_TURNS[header.orientation][0])
    width, height = pixels.size
    kind = "jpeg" if header.format in _LOSSY and max(pixels.size) <= _MAX_JPEG_SIDE else "png"
    return Picture(_encoded(pixels, kind), kind, height, width, header.orientation)


def _of_channels(data: bytes, max_pixels: int) -> Picture:
    """As `upright`, of the channels and bits that the recipe wants."""
    from convoy.data.images import channels  # and with it tifffile, which few recipes need

    if not data:
        raise BadSample("empty_image", "the file is empty")
    want = wanted.now()
    if kept := channels.kept(data, max_pixels, want):
        return Picture(data, *kept)
    pixels, turn = channels.pixels(data, max_pixels, want)
    if turn in _TURNS:
        _, swap, mirror_y, mirror_x = _TURNS[turn]
        pixels = pixels.transpose(1, 0, 2) if swap else pixels
        pixels = pixels[::-1] if mirror_y else pixels
        pixels = pixels[:, ::-1] if mirror_x else pixels
    height, width, count = pixels.shape
    tall = height * (1 if count in bands.IN_PNG else count)
    if max(tall, width) > decoding.MAX_SIDE:
        detail = (
            f"{width}x{height} of {count} channels: more than {decoding.MAX_SIDE:,} rows in all"
        )
        raise BadSample("too_large", detail)
    return Picture(bands.encode(pixels), "png", height, width, turn)


def _tell(picture: PIL.Image.Image, data: bytes) -> None:
    """Says what of a picture 8-bit gray or RGB does not hold, where nobody asked for more."""
    if picture.mode.startswith("I") or (picture.format == "PNG" and data[24:25] == b"\x10"):
        wanted.tell("upper_bits", "has 16 bits: the upper 8 are kept; data.bits: 16 keeps all")
    samples = picture.tag_v2.get(_SAMPLES, 1) if picture.format == "TIFF" else 1
    if samples == 4 and picture.mode in ("RGB", "RGBX"):
        kept = "the first three are taken as RGB; data.channels: 4 keeps all"
        wanted.tell("dropped_channel", f"has 4 channels: {kept}")
    if picture.format in _SEVERAL and getattr(picture, "is_animated", False):
        what = "several pages" if picture.format == "TIFF" else "several frames"
        wanted.tell("first_frame", f"is a {picture.format} of {what}: the first is taken")


def _advised(error: BadSample, data: bytes) -> BadSample:
    """The same, with what a recipe must say, where only that keeps the picture from being read."""
    if error.reason != "unsupported_image" or not data.startswith(_ARRAYS):
        return error
    from convoy.data.images import arrays  # and with it tifffile

    count, bits = arrays.counted(data)
    if not count:
        return error
    what = "a NumPy array" if data.startswith(arrays.NUMPY) else "a TIFF"
    more = ", and data.bits: 16 to keep all bits" if bits == 16 else ""
    detail = f"{what} of {count} channels of {bits} bits: set data.channels: {count}{more}"
    return BadSample(error.reason, detail)


def _by_structure(data: bytes, max_pixels: int) -> Header | None:
    """Of a JPEG or PNG whose structure proves it sound; None: it has to be decoded."""
    if not data:
        raise BadSample("empty_image", "the file is empty")
    structure = jpeg.structure(data)
    if structure is None:
        return _plain_png(data, max_pixels)
    if not structure.sound and structure.scans <= jpeg.MAX_SCANS:
        return None
    decoding.check_size(structure.height, structure.width, max_pixels)
    if structure.scans > jpeg.MAX_SCANS:  # would take minutes to decode
        raise BadSample(
            "corrupt_image", f"a JPEG of {structure.scans} scans; real ones have about 10"
        )
    turn = jpeg.orientation(structure.exif) if structure.exif else 1
    return Header("JPEG", structure.height, structure.width, turn, plain=True)


def _plain_png(data: bytes, max_pixels: int) -> Header | None:
    structure = png.structure(data)
    if structure is None or not structure.plain:
        return None
    decoding.check_size(structure.height, structure.width, max_pixels)
    if not png.pixels_ok(structure):
        return None
    turn = jpeg.orientation(b"Exif\0\0" + structure.exif) if structure.exif else 1
    return Header("PNG", structure.height, structure.width, turn, plain=True)


def _header(picture: PIL.Image.Image, turn: int, turned: bool) -> Header:
    width, height = picture.size
    if turned and turn in _TURNS and _TURNS[turn][1]:
        width, height = height, width
    return Header(picture.format, height, width, turn, plain=False)


def encode(pixels: np.ndarray, kind: str = "png") -> bytes:
    """[H, W] or [H, W, 3] uint8 -> bytes of a PNG, or of a JPEG of quality 95."""
    return _encoded(PIL.Image.fromarray(pixels), kind)


def _encoded(picture: PIL.Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    options = {"compress_level": 3} if kind == "png" else {"quality": 95, "subsampling": 0}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read_raster(where: files.Where, size: tuple[int, int]) -> np.ndarray:
    """Indices of a palette or gray PNG: uint8 [H, W]; `size` is the wanted (H, W).

    Raises BadSample bad_segmentation.
    """
    path = files.name_of(where)
    try:
        with decoding.opened(files.read(where), MAX_PIXELS) as (picture, _, _):
            values, mode = np.asarray(picture), picture.mode
    except OSError as error:
        raise BadSample("bad_segmentation", f"{path}: {error.strerror}") from None
    except BadSample as error:
        raise BadSample("bad_segmentation", f"{path}: {error.detail}") from None
    if mode not in ("P", "L"):
        raise BadSample(
            "bad_segmentation", f"{path}: expected a palette or gray PNG, got mode {mode}"
        )
    if values.shape != tuple(size):
        raise BadSample(
            "bad_segmentation", f"{path}: expected the picture's size {size}, got {values.shape}"
        )
    return values
