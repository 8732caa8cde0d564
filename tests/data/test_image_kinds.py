"""Every kind of picture against pixels that are known without decoding, or a named rejection."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import PIL.features
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data.images import images, jpeg
from convoy.data.sample import BadSample
from tests.data import build

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), np.uint8)
DEEP = RNG.integers(0, 65536, (5, 7, 3), np.uint16)


def pixels(data):
    """What TensorFlow makes of our bytes, with the picture."""
    picture = images.upright(data)
    decoded = tf.io.decode_image(picture.image, expand_animations=False).numpy()
    assert decoded.shape[:2] == (picture.height, picture.width)
    return decoded.squeeze(-1) if decoded.shape[2] == 1 else decoded


def rejected(data, **options):
    with pytest.raises(BadSample) as caught:
        images.upright(data, **options)
    return caught.value.reason, caught.value.detail


def from_array(values, kind, mode=None, **options):
    image = PIL.Image.fromarray(values)
    return build.encoded(image.convert(mode) if mode else image, kind, **options)


# --- TIFF, written by hand ---------------------------------------------------------------------


def tiff(width, height, pieces, tags, order="<"):
    """A TIFF of these strips (or tiles, where `tags` has 322), and tag -> SHORTs."""
    offsets, body = [], b""
    for piece in pieces:
        offsets.append(8 + len(body))
        body += piece + b"\0" * (len(piece) % 2)
    where, counts = (324, 325) if 322 in tags else (273, 279)
    entries = {256: (4, [width]), 257: (4, [height]), where: (4, offsets)}
    entries |= {counts: (4, [len(piece) for piece in pieces])}
    entries |= {
        tag: (3, value if isinstance(value, list) else [value]) for tag, value in tags.items()
    }
    start = 8 + len(body)
    extra, at = b"", start + 2 + 12 * len(entries) + 4
    directory = struct.pack(order + "H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            field, extra = struct.pack(order + "I", at + len(extra)), extra + packed
        else:
            field = packed.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + body + directory + b"\0\0\0\0" + extra


def gray_tiff(values, bits=8, photometric=1, order="<", **tags):
    height, width = values.shape
    kind = {8: "u1", 16: order + "u2", 32: order + "u4"}[bits]
    options = {258: bits, 259: 1, 262: photometric, 277: 1, 278: height}
    options |= {int(name[1:]): value for name, value in tags.items()}
    return tiff(width, height, [values.astype(kind).tobytes()], options, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_gray_tiffs_of_either_byte_order_and_polarity(photometric, order):
    deep = DEEP[..., 0]
    for bits, values, wanted in ((8, GRAY, GRAY), (16, deep, deep >> 8)):
        if (bits, photometric, order) == (16, 0, ">"):
            reason, _ = rejected(gray_tiff(values, bits, photometric, order))
            assert reason == "unsupported_image"  # PIL lacks this combination alone
            continue
        found = pixels(gray_tiff(values, bits, photometric, order))
        np.testing.assert_array_equal(found, wanted if photometric else 255 - wanted)


def test_12_bit_tiff_is_scaled_by_12_bits():
    """Two pixels in three bytes: 0xFFF and 0x7F3."""
    data = tiff(2, 1, [b"\xff\xf7\xf3"], {258: 12, 259: 1, 262: 1, 277: 1, 278: 1})
    assert pixels(data).tolist() == [[0xFF, 0x7F]]


def test_tiles_and_strips():
    padded = np.zeros((32, 32, 3), np.uint8)
    wanted = RNG.integers(0, 256, (18, 20, 3), np.uint8)
    padded[:18, :20] = wanted
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16)]
    tags = {258: [8, 8, 8], 259: 1, 262: 2, 277: 3}
    np.testing.assert_array_equal(pixels(tiff(20, 18, tiles, {**tags, 322: 16, 323: 16})), wanted)
    strips = [wanted[y : y + 5].tobytes() for y in range(0, 18, 5)]
    np.testing.assert_array_equal(pixels(tiff(20, 18, strips, {**tags, 278: 5})), wanted)


def test_a_turned_tiff_says_so_and_is_turned_once():
    data = gray_tiff(GRAY, t274=6)
    picture = images.upright(data)
    assert (picture.orientation, picture.height, picture.width) == (6, 7, 5)
    assert picture.stored_size == GRAY.shape
    np.testing.assert_array_equal(pixels(data), np.rot90(GRAY, -1))
    header = images.inspect(data)
    assert (header.height, header.width, header.orientation) == (5, 7, 6)


def test_first_page_of_many():
    pages = [PIL.Image.fromarray(values) for values in (RGB, 255 - RGB)]
    data = build.encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(pixels(data), RGB)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_packed_tiffs(compression):
    np.testing.assert_array_equal(pixels(from_array(RGB, "TIFF", compression=compression)), RGB)


def test_pixels_without_a_range_are_refused():
    assert rejected(from_array(np.ones((2, 2), np.float32), "TIFF"))[0] == "unsupported_image"
    assert rejected(gray_tiff(GRAY, 32))[0] == "unsupported_image"


def test_a_small_tiff_with_a_huge_tile_is_refused_before_decoding():
    tags = {258: [8, 8, 8], 259: 8, 262: 2, 277: 3, 322: 60000, 323: 60000}
    reason, detail = rejected(tiff(16, 16, [zlib.compress(b"\0" * 64)], tags))
    assert reason == "too_large"
    assert "needs about 10.8 GB" in detail


# --- 16 bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bits_keep_the_upper_8(extension):
    for values in (DEEP, DEEP[..., 0], np.dstack([DEEP, DEEP[..., 0]])):
        data = cv2.imencode(extension, values)[1].tobytes()
        rgb = values[..., 2::-1] if values.ndim == 3 else values  # OpenCV's order is BGR
        np.testing.assert_array_equal(pixels(data), rgb >> 8)


def test_portable_gray_map_of_any_depth():
    data = b"P5 2 1 65535\n" + struct.pack(">2H", 0x1234, 0xFFFF)
    assert pixels(data).tolist() == [[0x12, 0xFF]]
    data = b"P5 2 1 1023\n" + struct.pack(">2H", 1023, 512)
    assert pixels(data).tolist() == [[255, 128]]
    assert pixels(b"P2 3 1 255\n0 7 255\n").tolist() == [[0, 7, 255]]
    assert pixels(b"P6 1 1 255\n\x01\x02\x03").tolist() == [[[1, 2, 3]]]


# --- CMYK --------------------------------------------------------------------------------------


def cmyk_jpeg(ink, adobe):
    """Flat, of these stored values; adobe: transform of its segment, or None without one."""
    values = np.full((16, 16, 4), 255 - np.array(ink), np.uint8)  # PIL stores the inverse
    data = build.encoded(
        PIL.Image.frombytes("CMYK", (16, 16), values.tobytes()), "JPEG", quality=100
    )
    at = data.index(b"\xff\xeeAdobe"[:2] + b"\0\x0eAdobe")
    if adobe is None:
        return data[:at] + data[at + 16 :]
    return data[: at + 15] + bytes([adobe]) + data[at + 16 :]


@pytest.mark.parametrize(
    ("stored", "adobe", "wanted"),
    [
        ((200, 100, 50, 255), 0, (200, 100, 50)),  # Adobe stores 255 - ink: here no black
        ((200, 100, 50, 128), 0, (100, 50, 25)),
        ((55, 155, 205, 0), None, (200, 100, 50)),  # ink as it is
        ((100, 128, 128, 255), 2, (155, 155, 155)),  # YCCK: Y = 100 is 100 of each ink
        ((100, 128, 228, 255), 2, (15, 226, 155)),  # Cr = 228: inks 240.2, 28.6, 100
    ],
)
def test_cmyk_and_ycck(stored, adobe, wanted):
    found = pixels(cmyk_jpeg(stored, adobe)).astype(int)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, (16, 16, 3)), atol=5)


# --- palettes, alpha, BMP, animations ----------------------------------------------------------


def bmp(width, height, bits, body, palette=b"", compression=0, masks=b""):
    head = 14 + 40 + len(masks) + len(palette)
    colors = len(palette) // 4
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, colors, 0
    )
    return (
        b"BM" + struct.pack("<IHHI", head + len(body), 0, 0, head) + info + masks + palette + body
    )


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (bmp(2, 1, 1, b"\x40\0\0\0", b"\x01\x02\x03\0\x04\x05\x06\0"), [[3, 2, 1], [6, 5, 4]]),
        (bmp(2, 1, 4, b"\x10\0\0\0", b"\x01\x02\x03\0\x04\x05\x06\0"), [[6, 5, 4], [3, 2, 1]]),
        (bmp(2, 1, 8, b"\x01\0\0\0", b"\x01\x02\x03\0\x04\x05\x06\0"), [[6, 5, 4], [3, 2, 1]]),
        (bmp(2, 1, 16, struct.pack("<HH", 31 << 10, 31 << 5)), [[255, 0, 0], [0, 255, 0]]),
        (
            bmp(
                2,
                1,
                16,
                struct.pack("<HH", 31 << 11, 63 << 5),
                b"",
                3,
                struct.pack("<III", 0xF800, 0x7E0, 0x1F),
            ),
            [[255, 0, 0], [0, 255, 0]],
        ),
        (bmp(2, 1, 24, bytes([1, 2, 3, 4, 5, 6, 0, 0])), [[3, 2, 1], [6, 5, 4]]),
        (bmp(2, 1, 32, bytes([1, 2, 3, 9, 4, 5, 6, 9])), [[3, 2, 1], [6, 5, 4]]),
        (
            bmp(2, 1, 8, b"\x01\x01\x01\x00\x00\x01", b"\x01\x02\x03\0\x04\x05\x06\0", 1),
            [[6, 5, 4], [3, 2, 1]],
        ),
    ],
)
def test_bmp_of_every_depth(data, wanted):
    assert pixels(data).tolist() == [wanted]


def test_bmp_from_the_bottom_or_the_top():
    rows = bytes([1, 1, 1, 0]), bytes([9, 9, 9, 0])
    for height, wanted in ((2, [[[9] * 3], [[1] * 3]]), (-2, [[[1] * 3], [[9] * 3]])):
        assert pixels(bmp(1, height, 24, b"".join(rows))).tolist() == wanted


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    frames = [PIL.Image.new("RGB", (7, 5), color) for color in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = build.encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    wanted = np.broadcast_to([255, 0, 0], (5, 7, 3))
    np.testing.assert_allclose(pixels(data).astype(int), wanted, atol=2)  # WebP becomes JPEG


def test_first_picture_of_an_mpo():
    frames = [PIL.Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    data = build.encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(pixels(data).astype(int)[..., 0], 254, atol=3)


def test_alpha_is_dropped_not_blended():
    rgba = np.dstack([RGB, GRAY])
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels(from_array(rgba, kind)), RGB)
    gray_alpha = PIL.Image.merge("LA", [PIL.Image.fromarray(GRAY), PIL.Image.fromarray(255 - GRAY)])
    np.testing.assert_array_equal(pixels(build.encoded(gray_alpha, "PNG")), GRAY)
    flat = np.full((8, 8, 4), (10, 200, 90, 128), np.uint8)
    data = from_array(flat, "WEBP", lossless=True, exact=True)
    np.testing.assert_allclose(pixels(data).astype(int), flat[..., :3].astype(int), atol=2)


def test_a_transparent_color_stays_as_it_is():
    data = from_array(RGB, "PNG", transparency=tuple(RGB[0, 0].tolist()))
    picture = images.upright(data)
    assert b"tRNS" in data
    assert b"tRNS" not in picture.image
    np.testing.assert_array_equal(pixels(data), RGB)


@pytest.mark.skipif(not PIL.features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif():
    flat = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    for exif_data, shape in ((b"", (16, 24, 3)), (exif(6)[6:], (24, 16, 3))):
        found = pixels(from_array(flat, "AVIF", quality=100, exif=exif_data))
        assert found.shape == shape
        np.testing.assert_allclose(found.reshape(-1, 3).astype(int), [[200, 100, 50]] * 384, atol=4)


# --- EXIF --------------------------------------------------------------------------------------


def exif(value, kind=3, order="<"):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    field = struct.pack({1: "B3x", 3: "H2x", 4: "I", 2: "4s"}[kind].join(("=", "")), value)
    if order == ">":
        field = struct.pack({1: ">B3x", 3: ">H2x", 4: ">I"}[kind], value)
    start = struct.pack(order + "IH", 8, 1) + struct.pack(order + "HHI", 0x0112, kind, 1)
    return b"Exif\0\0" + mark + start + field + b"\0\0\0\0"


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_of_an_exif_segment(order):
    for kind in (1, 3, 4):
        found = [jpeg.orientation(exif(value, kind, order)) for value in range(12)]
        assert found == [1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 1]
    whole = exif(6, 3, order)
    assert [jpeg.orientation(whole[:n]) for n in range(len(whole) - 6)] == [1] * (len(whole) - 6)
    assert jpeg.orientation(exif(b"6\0\0\0", 2)) == 1  # text


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_exif_of_other_formats_turns(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    wide = np.repeat(np.repeat(GRAY, 8, 0), 8, 1)
    data = from_array(np.dstack([wide] * 3), kind, exif=exif(6)[6:], **options)
    picture = images.upright(data)
    assert (picture.height, picture.width, picture.orientation) == (56, 40, 6)
    found = pixels(data)[..., 0].astype(int)
    np.testing.assert_allclose(found, np.rot90(wide, -1), atol=3)
