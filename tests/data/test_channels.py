"""Pictures of any number of channels and of 16 bits: what is read, kept, changed, refused."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data.images import bands, images
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.ingest.tally import Tally
from convoy.data.ingest.written import channels as statistics
from convoy.data.input import pictures
from convoy.data.sample import BadSample
from convoy.data.statistics import looks
from convoy.models.spec import Preprocess
from convoy.serving import bands as served
from tests.data.channel_files import contiguous, npy, pages, planar, png, tiff, values


def read(data, channels=None, bits=8):
    """(the picture, reasons that were told)."""
    told = []
    with wanting(Wanted(channels, bits), lambda reason, _: told.append(reason)):
        return images.upright(data), told


def refused(data, channels=None, bits=8):
    with pytest.raises(BadSample) as caught:
        read(data, channels, bits)
    return caught.value


SOURCES = {
    "npy": npy,
    "fortran": lambda a: npy(np.asfortranarray(a)),
    "big end": lambda a: npy(a.astype(a.dtype.newbyteorder(">"))),
    "tiff": contiguous,
    "planar": planar,
    "pages": pages,
    "deflate": lambda a: contiguous(a, compression="zlib", predictor=True),
    "tiles": lambda a: contiguous(a, tile=(16, 16)),
    "big tiff": lambda a: contiguous(a, bigtiff=True, byteorder=">"),
    "record": bands.encode,
}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4, 5, 7])
@pytest.mark.parametrize("kind", SOURCES)
def test_every_value_of_every_kind_of_file_is_in_the_record(kind, channels, dtype):
    array, bits = values(channels, dtype), 8 * np.dtype(dtype).itemsize
    picture, told = read(SOURCES[kind](array), channels, bits)
    assert (picture.format, picture.height, picture.width, told) == ("png", 11, 13, [])
    looks_so = Preprocess((9, 9), channel_order="bands", bands=channels, bits=bits)
    for decoded in (
        bands.decode(picture.image),
        pictures.values(tf.constant(picture.image), channels, bits).numpy(),
    ):
        assert decoded.dtype == dtype
        np.testing.assert_array_equal(decoded, array)
    for seen in (
        pictures.decode(tf.constant(picture.image), looks_so).numpy(),
        served.decode(tf.constant(picture.image), tf.constant(0), looks_so).numpy(),
    ):
        np.testing.assert_array_equal(seen, array if bits == 8 else array.astype("f4") / 257)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_that_tensorflow_decodes_to_this_is_kept_as_it_is(channels, dtype):
    array, bits = values(channels, dtype), 8 * np.dtype(dtype).itemsize
    data = png(array)
    picture, told = read(data, channels, bits)
    assert picture.image == data
    assert told == []
    np.testing.assert_array_equal(bands.decode(data), array)
    decoded = pictures.values(tf.constant(data), channels, bits)
    np.testing.assert_array_equal(decoded, array)


def test_a_tall_png_by_hand():
    """Two channels of 1 x 2: their rows one above the other, and how many there are."""
    encoded = bands.encode(np.array([[[1, 300], [2, 400]]], np.uint16))
    with PIL.Image.open(io.BytesIO(encoded)) as picture:
        assert picture.mode == "I;16"
        assert np.asarray(picture).tolist() == [[1, 2], [300, 400]]
        assert picture.text == {"Bands": "2"}
    assert bands.stacked(encoded) == 2
    assert bands.stacked(png(values(1))) == 0


def test_eight_bits_in_a_recipe_of_sixteen_are_widened_and_told():
    array = np.array([[[0], [1], [200], [255]]], np.uint8)
    picture, told = read(npy(array), 1, 16)
    assert told == ["eight_bits"]
    expected = [[0, 257, 200 * 257, 65535]]
    wide = pictures.values(tf.constant(picture.image), 1, 16)
    assert wide[..., 0].numpy().tolist() == expected
    assert bands.values(picture.image, 1, 16)[..., 0].tolist() == expected
    gray = Preprocess((9, 9), channel_order="bands", bands=1, bits=16)
    seen = pictures.decode(tf.constant(picture.image), gray)
    assert seen[..., 0].numpy().tolist() == [[0, 1, 200, 255]]


def test_a_jpeg_in_a_recipe_of_sixteen_bits_is_what_it_is_in_one_of_eight():
    buffer = io.BytesIO()
    PIL.Image.fromarray(values(3, np.uint8)).save(buffer, "JPEG")
    picture, told = read(buffer.getvalue(), 3, 16)
    assert picture.image == buffer.getvalue()
    assert told == ["eight_bits"]
    plain = pictures.rgb(tf.constant(picture.image), 3).numpy()
    for bits in (8, 16):
        seen = Preprocess((9, 9), channel_order="bands", bands=3, bits=bits)
        for decoded in (
            pictures.decode(tf.constant(picture.image), seen),
            served.decode(tf.constant(picture.image), tf.constant(0), seen),
        ):
            np.testing.assert_array_equal(decoded, plain)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("kind", ["npy", "tiff"])
def test_sixteen_bits_in_a_recipe_of_eight_keep_the_upper_eight_and_that_is_told(kind, channels):
    array = values(channels)
    picture, told = read(SOURCES[kind](array), channels)
    assert told == ["upper_bits"]
    np.testing.assert_array_equal(bands.decode(picture.image), array >> 8)


def test_what_is_lost_without_the_key_is_told():
    assert read(png(values(1)))[1] == ["upper_bits"]
    assert read(png(values(3)))[1] == ["upper_bits"]
    assert read(tiff(values(1)[..., 0]))[1] == ["upper_bits"]
    assert read(png(values(3, np.uint8)))[1] == []
    four = tiff(values(4, np.uint8), photometric="rgb", extrasamples=["unspecified"])
    picture, told = read(four)
    assert told == ["dropped_channel"]
    np.testing.assert_array_equal(bands.decode(picture.image), values(4, np.uint8)[..., :3])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame_and_that_is_told(kind):
    first, second = (PIL.Image.new("L", (9, 8), gray) for gray in (10, 200))
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=[second])
    picture, told = read(buffer.getvalue())
    assert told == ["first_frame"]
    assert bands.decode(picture.image).mean() == pytest.approx(10, abs=3)
    buffer = io.BytesIO()
    first.save(buffer, kind)
    assert read(buffer.getvalue())[1] == []


def test_transparency_is_a_channel_only_where_four_are_wanted():
    array = values(4, np.uint8)
    assert bands.decode(read(png(array), 4)[0].image).tolist() == array.tolist()
    assert bands.decode(read(png(array), 3)[0].image).tolist() == array[..., :3].tolist()
    wide = values(4)
    assert bands.decode(read(png(wide), 3, 16)[0].image).tolist() == wide[..., :3].tolist()
    assert refused(npy(array), 3).reason == "other_channels"


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_tiff_is_turned_upright(turn):
    array = values(5)
    data = contiguous(array, extratags=[(274, "H", 1, turn, True)])
    picture, _ = read(data, 5, 16)
    gray = PIL.Image.fromarray(array[..., 3])
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = turn
    gray.save(buffer, "PNG", exif=exif)
    expected = bands.decode(read(buffer.getvalue(), 1, 16)[0].image)
    np.testing.assert_array_equal(bands.decode(picture.image)[..., 3:4], expected)
    assert picture.orientation == turn
    if turn == 6:  # by hand: a quarter to the right
        np.testing.assert_array_equal(expected[..., 0], np.rot90(array[..., 3], -1))


def test_white_may_be_zero():
    array = values(1)
    picture, _ = read(tiff(array[..., 0], photometric="miniswhite"), 1, 16)
    np.testing.assert_array_equal(bands.decode(picture.image), 65535 - array)


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (npy(values(4)), "other_channels", "NumPy of 4 channels, 13x11: data.channels is 5"),
        (contiguous(values(6)), "other_channels", "TIFF of 6 channels, 13x11: data.channels is 5"),
        (png(values(3)), "other_channels", "PNG of 3 channels"),
        (npy(values(13, size=(5, 11))), "other_channels", "numpy.moveaxis(a, 0, -1)"),
        (npy(np.zeros((4, 4, 5))), "unsupported_image", "float64: such values have no agreed"),
        (npy(np.full((4, 4, 5), np.nan, "f4")), "unsupported_image", "float32 with 80 NaN"),
        (npy(np.zeros((4, 4, 5), np.int16)), "unsupported_image", "int16"),
        (npy(np.zeros((4, 4, 5), bool)), "unsupported_image", "bool"),
        (npy(np.zeros(9, np.uint8)), "unsupported_image", "shape (9,): expected [height, width"),
        (npy(np.zeros((1, 4, 4, 5), np.uint8)), "unsupported_image", "shape (1, 4, 4, 5)"),
        (npy(np.array([{}], object)), "unsupported_image", "never unpickled"),
        (npy(np.zeros((0, 4, 5), np.uint8)), "corrupt_image", "4x0 pixels"),
        (npy(np.zeros((4, 4, 0), np.uint8)), "unsupported_image", "expected 1 to 256 channels"),
        (npy(values(5))[:500], "corrupt_image", "a damaged NumPy file"),
        (npy(values(5))[:40], "corrupt_image", "a damaged NumPy file"),
        (contiguous(values(5))[:500], "corrupt_image", "TIFF"),
        (contiguous(values(5).astype(np.float32)), "unsupported_image", "5 channels of 32 bits"),
        (contiguous(values(5).astype(np.int16)), "unsupported_image", "int16"),
        (png(values(3))[:-20], "corrupt_image", "a 16-bit PNG that is damaged"),
        (b"", "empty_image", "empty"),
    ],
)
def test_bad_files_are_rejected_by_name(data, reason, said):
    error = refused(data, 5, 16)
    assert error.reason == reason
    assert said in error.detail


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return touch, (str(tmp_path / "run"),)

    trap = np.empty(1, object)
    trap[0] = Trap()
    assert "never unpickled" in refused(npy(trap), 5).detail
    assert not (tmp_path / "run").exists()


def touch(path):
    open(path, "w").close()


@pytest.mark.parametrize("kind", ["npy", "tiff", "planar"])
def test_without_the_key_it_is_said_what_to_write(kind):
    error = refused(SOURCES[kind](values(5)))
    what = "a NumPy array" if kind == "npy" else "a TIFF"
    said = f"{what} of 5 channels of 16 bits: set data.channels: 5, and data.bits: 16"
    assert error.reason == "unsupported_image"
    assert said in error.detail
    narrow = refused(SOURCES[kind](values(5, np.uint8))).detail
    assert narrow.endswith(f"{what} of 5 channels of 8 bits: set data.channels: 5")


def test_without_the_key_gray_pages_are_the_first_of_them_and_that_is_told():
    picture, told = read(pages(values(5)))
    assert told == ["upper_bits", "first_frame"]
    np.testing.assert_array_equal(bands.decode(picture.image), values(5)[..., :1] >> 8)


def test_too_many_pixels_are_refused_before_they_are_read():
    header = npy(np.zeros((2, 2, 5), np.uint8))[:128].replace(b"(2, 2, 5)", b"(90000, 90000, 5)")
    header = header[:8] + (118).to_bytes(2, "little") + header[10:128]
    assert refused(header, 5).reason == "too_large"


def test_mean_and_deviation_by_hand():
    """Channel 0: 0, 257, 514, 771 -> 0, 1, 2, 3; channel 1 has one value."""
    tallies = [Tally(), Tally()]
    tallies[0].add_values(np.array([[[0, 9], [257, 9]]], np.uint16))
    tallies[1].add_values(np.array([[[514, 9]], [[771, 9]]], np.uint16))
    counts = [{"split": "train", **tally.counts(())} for tally in tallies]
    other = Tally()
    other.add_values(np.full((3, 3, 2), 60000, np.uint16))
    counts.append({"split": "val", **other.counts(())})
    found, notes = statistics(counts, 2, 16, "train")
    assert found["mean"] == pytest.approx([1.5, 9 / 257])
    assert found["std"] == pytest.approx([np.sqrt(1.25), 1.0])
    assert notes == ("channels without any change in split train: 1",)


def test_what_people_and_statistics_see():
    array = np.zeros((40, 60, 5), np.uint16)
    array[:, 30:] = 1000
    encoded = bands.encode(array)
    view = np.asarray(bands.view(encoded))
    assert view.shape == (40, 60)
    assert (view[0, 0], view[0, 59]) == (0, 255)
    look = looks.look(encoded)
    assert (look.height, look.width, look.channels) == (40, 60, 5)
    colors = bands.view(png(values(3)))
    assert (colors.mode, colors.size) == ("RGB", (13, 11))


@pytest.mark.parametrize("channels", [4, 5])
def test_a_served_picture_of_other_channels_is_refused_by_name(channels):
    seen = Preprocess((9, 9), channel_order="bands", bands=channels, bits=16)
    for data in (png(values(3)), b"\xff\xd8\xff\xe0 no", b"x", bands.encode(values(7))):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"no picture of {channels}"):
            served.decode(tf.constant(data), tf.constant(3), seen)
