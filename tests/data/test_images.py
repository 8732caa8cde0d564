import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data.images import images, jpeg
from convoy.data.sample import BadSample
from tests.data import build

# A mark in the upright picture of 48x32 (H x W), away from every symmetry, on JPEG's 8x8 blocks.
UPRIGHT = np.full((48, 32, 3), 30, np.uint8)
UPRIGHT[8:24, 8:16] = (250, 10, 10)
BOX = np.array([[8, 8, 24, 16]], np.float32)
STORED_AS = {  # orientation -> how a camera held so stores the upright picture
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def stored(orientation, kind):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    pixels = np.ascontiguousarray(STORED_AS[orientation](UPRIGHT))
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return pixels, build.encoded(PIL.Image.fromarray(pixels), kind, exif=exif, **options)


def red_box(pixels):
    rows, columns = np.nonzero(np.asarray(pixels)[..., 0].astype(int) > 140)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_pixels_boxes_and_masks(orientation, kind):
    pixels, data = stored(orientation, kind)
    picture = images.upright(data)
    assert (picture.height, picture.width, picture.format) == (48, 32, kind.lower())
    assert (picture.image == data) == (orientation == 1)
    decoded = tf.io.decode_image(picture.image, channels=3).numpy()
    np.testing.assert_allclose(decoded.astype(int), UPRIGHT, atol=12)
    assert picture.stored_size == pixels.shape[:2]
    box = np.array([red_box(pixels)], np.float32)
    np.testing.assert_array_equal(picture.boxes(box), BOX)
    mask = (pixels[..., 0] > 140).astype(np.uint8)
    np.testing.assert_array_equal(picture.raster(mask), UPRIGHT[..., 0] > 140)
    center = (box[:, :2] + box[:, 2:]) / 2
    np.testing.assert_array_equal(picture.points(center), [[16, 12]])


def test_orientation_that_does_not_exist_is_ignored():
    exif = PIL.Image.Exif()
    exif[0x0112] = 0
    data = build.picture(exif=exif)
    assert images.upright(data).image == data


@pytest.mark.parametrize(
    "data",
    [
        build.picture(),
        build.picture(progressive=True),
        build.picture(subsampling=2, quality=30),
        build.encoded(PIL.Image.new("L", (9, 7), 80), "JPEG"),
        build.picture(kind="PNG"),
        build.encoded(PIL.Image.new("L", (9, 7), 80), "PNG"),
        build.encoded(PIL.Image.new("RGB", (1, 1)), "JPEG"),
    ],
)
def test_plain_pictures_are_kept_byte_for_byte(data):
    assert images.upright(data).image == data


def _noise(mode, shape, dtype=np.uint8):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype)
    return PIL.Image.fromarray(values, mode) if mode else PIL.Image.fromarray(values)


@pytest.mark.parametrize(
    ("kind", "image", "becomes", "channels"),
    [
        ("JPEG", _noise(None, (8, 9, 3)).convert("CMYK"), "jpeg", 3),
        ("TIFF", _noise(None, (8, 9, 3)), "png", 3),
        ("WEBP", _noise(None, (8, 9, 3)), "jpeg", 3),
        ("GIF", _noise(None, (8, 9, 3)), "png", 3),
        ("BMP", _noise(None, (8, 9, 3)), "png", 3),
        ("PNG", _noise(None, (8, 9, 4)), "png", 3),
        ("PNG", _noise(None, (8, 9)).convert("1"), "png", 1),
        ("PNG", _noise(None, (8, 9)).convert("LA"), "png", 1),
        ("PNG", _noise(None, (8, 9, 3)).convert("P"), "png", 3),
    ],
)
def test_others_become_what_tensorflow_reads(kind, image, becomes, channels):
    picture = images.upright(build.encoded(image, kind))
    assert picture.format == becomes
    decoded = tf.io.decode_image(picture.image).numpy()
    assert decoded.shape == (8, 9, channels)
    if becomes == "png" and kind != "GIF":
        wanted = image.convert("L" if channels == 1 else "RGB")
        np.testing.assert_array_equal(decoded.squeeze(), np.asarray(wanted))


def test_16_bits_are_scaled_not_cut():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    picture = images.upright(build.encoded(PIL.Image.fromarray(values), "PNG"))
    np.testing.assert_array_equal(
        tf.io.decode_png(picture.image).numpy().squeeze(), [0, 1, 128, 255]
    )


def test_16_bit_colour_becomes_8():
    """PIL shows such a PNG as 8-bit RGB; only its header tells. Written by hand."""
    pixels = struct.pack(">BHHH", 0, 65535, 32896, 257)
    data = png(1, 1, pixels, depth=16)
    picture = images.upright(data)
    assert picture.image != data
    assert tf.io.decode_png(picture.image).numpy().tolist() == [[[255, 128, 1]]]


def test_transparent_palette_becomes_rgb():
    image = PIL.Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    picture = images.upright(build.encoded(image, "PNG", transparency=0))
    decoded = tf.io.decode_png(picture.image).numpy()
    np.testing.assert_array_equal(decoded, [[[10, 20, 30], [200, 100, 50]]])


def png(width, height, pixels, depth=8):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def huge_png(width, height):
    return png(width, height, b"")


def huge_jpeg(width, height):
    data = bytearray(build.picture())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_200_megapixels_are_refused_before_decoding(make):
    with pytest.raises(BadSample, match="20000x10000 = 200,000,000 pixels") as caught:
        images.upright(make(20000, 10000))
    assert caught.value.reason == "too_large"


GOOD = build.picture(200, 300, quality=95)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_image"),
        (b"\0" * 5000, "corrupt_image"),
        (b"<html>404 not found</html>", "corrupt_image"),
        (GOOD[: len(GOOD) // 2], "corrupt_image"),
        (GOOD[:300], "corrupt_image"),
        (GOOD[: len(GOOD) // 2] + b"\0" * (len(GOOD) // 2), "corrupt_image"),
        (build.picture(kind="PNG")[:-30], "corrupt_image"),
        (build.picture(kind="PNG")[:100] + b"\0" * 400, "corrupt_image"),
    ],
)
def test_bad_pictures_are_rejected(data, reason):
    with pytest.raises(BadSample) as caught:
        images.upright(data)
    assert caught.value.reason == reason


def test_what_is_kept_decodes_in_tensorflow_after_random_damage():
    """One flipped or cut byte: either rejected, or TensorFlow decodes it to the stated size."""
    rng = np.random.default_rng(0)
    kept = 0
    for trial in range(600):
        progressive = trial % 2 == 1
        data = bytearray(build.picture(30, 40, seed=1, quality=90, progressive=progressive))
        data[rng.integers(2, len(data))] = rng.integers(256)
        if trial % 10 == 0:
            data = data[: rng.integers(len(data))]
        try:
            picture = images.upright(bytes(data))
        except BadSample:
            continue
        kept += 1
        shape = tf.io.decode_image(picture.image, channels=3).shape
        assert tuple(shape) == (picture.height, picture.width, 3), trial
    assert kept > 200


def test_structure_of_a_jpeg():
    found = jpeg.structure(GOOD)
    assert (found.height, found.width, found.components, found.sound) == (200, 300, 3, True)
    assert not jpeg.structure(GOOD[:-2]).sound  # no end of image
    assert jpeg.structure(GOOD + b"a camera's trailer").sound
    assert jpeg.structure(b"\xff\xd8\xff\xd9") is None
    assert jpeg.structure(build.picture(kind="PNG")) is None


def test_load_names_the_file(tmp_path):
    with pytest.raises(BadSample, match=r"a\.jpg: no such file"):
        images.load(str(tmp_path / "a.jpg"))
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BadSample, match=r"empty_image: .*a\.jpg"):
        images.load(str(tmp_path / "a.jpg"))
