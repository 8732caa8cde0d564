"""Every kind of picture that ingest takes: served pixels are ingest's, or it is refused by name."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from convoy.data.images import images, jpeg
from convoy.data.input.pictures import rgb
from convoy.serving import decoding
from convoy.serving.decoding import decode_picture
from tests.data import build

RGB = PIL.Image.open(io.BytesIO(build.picture(17, 23, seed=3, kind="PNG")))
GRAY = RGB.convert("L")
FEW = RGB.quantize(11)
ALPHA = RGB.copy()
ALPHA.putalpha(GRAY)


def saved(image, kind, **options):
    return build.encoded(image, kind, **options)


def sixteen():
    values = np.arange(17 * 23, dtype=np.uint16).reshape(17, 23) * 160
    return PIL.Image.fromarray(values)


def bmp(bits, top_down=False, colors=None):
    """A BMP of 13x7 pixels whose places in a palette count on: by hand, as PIL writes few kinds."""
    count = colors or 1 << bits
    palette = b"".join(bytes([3 * i % 256, 7 * i % 256, 11 * i % 256, 0]) for i in range(count))
    rows = []
    for y in range(7):
        places = [(5 * y + x) % count for x in range(13)]
        text = "".join(f"{place:0{bits}b}" for place in places)
        text += "0" * (-len(text) % 32)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    pixels = b"".join(rows if top_down else rows[::-1])
    info = struct.pack(
        "<IiiHHIIiiII", 40, 13, -7 if top_down else 7, 1, bits, 0, len(pixels), 0, 0, colors or 0, 0
    )
    start = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    return head + info + palette + pixels


def animation():
    others = [PIL.Image.new("RGB", RGB.size, color) for color in ("red", "blue")]
    return saved(RGB, "GIF", save_all=True, append_images=others)


KINDS = {
    "jpeg": saved(RGB, "JPEG"),
    "jpeg 4:4:4": saved(RGB, "JPEG", subsampling=0),
    "jpeg gray": saved(GRAY, "JPEG"),
    "jpeg progressive": saved(RGB, "JPEG", progressive=True),
    "png": saved(RGB, "PNG"),
    "png gray": saved(GRAY, "PNG"),
    "png 1 bit": saved(GRAY.convert("1"), "PNG"),
    "png palette": saved(FEW, "PNG"),
    "png palette of 1 bit": saved(RGB.quantize(2), "PNG", bits=1),
    "png palette transparent": saved(FEW, "PNG", transparency=3),
    "png alpha": saved(ALPHA, "PNG"),
    "png gray alpha": saved(ALPHA.convert("LA"), "PNG"),
    "png 16 bit": saved(sixteen(), "PNG"),
    "gif": saved(RGB, "GIF"),
    "gif gray": saved(GRAY, "GIF"),
    "gif animation": animation(),
    "bmp": saved(RGB, "BMP"),
    "bmp 32 bit": saved(ALPHA, "BMP"),
    "bmp gray": saved(GRAY, "BMP"),
    "bmp palette": saved(FEW, "BMP"),
    "bmp 1 bit": saved(GRAY.convert("1"), "BMP"),
    **{f"bmp {bits} bits": bmp(bits) for bits in (1, 4, 8)},
    "bmp top down": bmp(8, top_down=True),
    "bmp of 5 colours": bmp(8, colors=5),
}


@pytest.fixture(scope="module", params=[1, 3])
def served(request, tmp_path_factory):
    """(channels, the decoding out of a SavedModel)."""

    class Decoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)])
        def graph(self, image_bytes, index):
            return decode_picture(image_bytes, index, request.param)

    folder = str(tmp_path_factory.mktemp("exported"))
    tf.saved_model.save(Decoder(), folder)
    loaded = tf.saved_model.load(folder)
    return request.param, loaded.graph


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_ingest(served, kind):
    """Ingest's: its record, decoded as in training."""
    channels, graph = served
    record = images.upright(KINDS[kind]).image
    expected = rgb(tf.constant(record), channels).numpy()
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(graph(KINDS[kind], 0).numpy(), expected)


def exif_of(value, order="<"):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, value, 0)
    other = struct.pack(f"{order}HHII", 0x0100, 4, 1, 77)
    return mark + struct.pack(f"{order}IH", 8, 2) + other + entry + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", range(10))
def test_pictures_are_turned_as_ingest_turns_them(served, value, order):
    """Of a PNG to ingest's pixels; of a JPEG, which ingest encodes once more, to PIL's turn."""
    channels, graph = served
    for kind in ("PNG", "JPEG"):
        tags = exif_of(value, order)
        data = saved(RGB, kind, exif=tags if kind == "PNG" else b"Exif\0\0" + tags)
        picture = images.upright(data)
        assert picture.orientation == (value if 1 <= value <= 8 else 1)
        if kind == "PNG":
            expected = rgb(tf.constant(picture.image), channels).numpy()
        else:
            stored = PIL.Image.fromarray(rgb(tf.constant(data), channels).numpy().squeeze())
            stored.getexif()[0x0112] = value
            expected = np.asarray(PIL.ImageOps.exif_transpose(stored))
            expected = expected.reshape(*expected.shape[:2], channels)
        np.testing.assert_array_equal(graph(data, 0).numpy(), expected)


def test_damaged_exif_is_none(served):
    """Two bytes of a segment are others: as ingest reads it, and never an error."""
    channels, graph = served
    rng = np.random.default_rng(0)
    whole = b"Exif\0\0" + exif_of(6)
    for _ in range(200):
        tags = bytearray(whole)
        for place in rng.integers(6, len(tags), 2):
            tags[place] = rng.integers(256)
        data = saved(GRAY, "JPEG", exif=bytes(tags))
        turn = jpeg.orientation(bytes(tags))
        swapped = turn > 4
        assert graph(data, 0).shape == ((23, 17) if swapped else (17, 23)) + (channels,)


REFUSED = {
    "cmyk": (saved(RGB.convert("CMYK"), "JPEG"), "CMYK"),
    "tiff": (saved(RGB, "TIFF"), "is not a picture"),
    "webp": (saved(RGB, "WEBP"), "is not a picture"),
    "ppm": (saved(RGB, "PPM"), "is not a picture"),
    "bmp 16 bit": (bmp(8)[:28] + b"\x10\0" + bmp(8)[30:], "BMP of a kind"),
    "bmp compressed": (bmp(8)[:30] + b"\1\0\0\0" + bmp(8)[34:], "BMP of a kind"),
    "bmp cut": (bmp(8)[:-20], "damaged BMP"),
    "bmp head": (b"BM" + bytes(20), "is not a picture"),
    "bmp huge": (bmp(8)[:18] + b"\xff\xff\xff\x7f" + bmp(8)[22:], "damaged BMP"),
    "bmp minus": (bmp(8)[:10] + b"\xff\xff\xff\xff" + bmp(8)[14:], "damaged BMP"),
    "text": (b"no picture at all", "is not a picture"),
    "nothing": (b"", "is not a picture"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_with_their_place(served, kind):
    _, graph = served
    data, message = REFUSED[kind]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        graph(data, 7)
    assert "7" in str(caught.value)


def test_damaged_bitmaps_never_end_the_process(served):
    """Each byte of the head and palette of a small BMP in turn: pixels, or refused."""
    _, graph = served
    data = bmp(4)
    for place in range(2, 54):
        for value in (0, 1, 127, 255):
            try:
                found = graph(data[:place] + bytes([value]) + data[place + 1 :], 0)
            except tf.errors.InvalidArgumentError:
                continue
            assert found.dtype == tf.uint8


def test_the_texts_name_what_is_expected():
    assert "JPEG, PNG, BMP or GIF" in decoding.NOT_A_PICTURE
