"""What is no picture, or not a whole one, is rejected and says what it is."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image
import pytest

from convoy.data.files import files
from convoy.data.images import decoding, images, jpeg
from convoy.data.sample import BadSample
from tests.data import build
from tests.data.test_image_kinds import RGB, from_array, pixels, rejected


def boxed(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0" + brand + b"mif1" + b"\0" * 99


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (b"\n<!DOCTYPE html>\n<html><body>404", "corrupt_image", "an HTML page"),
        (b"<HTML><HEAD>", "corrupt_image", "an HTML page"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "unsupported_image", "an SVG drawing"),
        (b"<svg/>", "unsupported_image", "an SVG drawing"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "corrupt_image", "XML or JSON"),
        (b'{"error": 403}', "corrupt_image", "XML or JSON"),
        (b"%PDF-1.7", "unsupported_image", "a PDF"),
        (b"PK\x03\x04", "corrupt_image", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "corrupt_image", "git lfs pull"),
        (boxed(b"heic"), "unsupported_image", "HEIC"),
        (b"\0" * 99, "corrupt_image", "99 zero bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_image", "PostScript"),
        (build.encoded(PIL.Image.new("RGB", (16, 16)), "ICO"), "unsupported_image", "an icon"),
        (b"GIF89a\0\0\1\0\0\0\0", "corrupt_image", "starts with"),
    ],
)
def test_what_it_is_instead(data, reason, said):
    found, detail = rejected(data)
    assert (found, said in detail) == (reason, True), detail


def recoded(marker, bits=8):
    """A JPEG whose frame claims another coding."""
    data = bytearray(build.picture())
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [(recoded(0xC1, 12), "12-bit"), (recoded(0xC3), "lossless"), (recoded(0xC5), "hierarchical")],
)
def test_codings_that_no_decoder_here_reads(data, said):
    reason, detail = rejected(data)
    assert reason in ("unsupported_image", "corrupt_image")
    assert said in detail or reason == "corrupt_image"


def test_arithmetic_coding_is_written_anew_or_rejected():
    assert not jpeg.structure(recoded(0xC9)).sound


def test_sides_of_a_jpeg_that_libjpeg_refuses():
    data = bytearray(build.picture())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 8, 65501)
    assert not jpeg.structure(bytes(data)).sound


def test_a_jpeg_of_endless_scans_is_rejected_quickly():
    data = build.picture(progressive=True)
    at = data.index(b"\xff\xda")
    end = data.index(b"\xff", at + 2)
    while data[end + 1] == 0:
        end = data.index(b"\xff", end + 2)
    reason, detail = rejected(data[:at] + data[at:end] * 200 + data[end:])
    assert reason == "corrupt_image"
    assert "scans" in detail


CUT = ("corrupt_image", "empty_image", "too_large", "unsupported_image")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_cut_at_any_byte(kind):
    """A cut file is rejected, or is whole for all that decoders need of it."""
    data = build.picture(9, 11, kind=kind)
    whole = pixels(data)
    for length in range(len(data)):
        try:
            found = pixels(data[:length])
        except BadSample as error:
            assert error.reason in CUT  # noqa: PT017
            continue
        np.testing.assert_allclose(found.astype(int), whole.astype(int), atol=2)


def test_too_much_memory_is_refused_by_its_estimate(monkeypatch):
    data = from_array(RGB, "WEBP")
    needed = len(data) + 35 * decoding.COST["WEBP"]
    monkeypatch.setattr(decoding, "BUDGET", needed)
    images.upright(data)
    monkeypatch.setattr(decoding, "BUDGET", needed - 1)
    reason, detail = rejected(data)
    assert reason == "too_large"
    assert "WEBP of 7x5 needs about" in detail


def test_a_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "a.bmp", "wb") as file:
        file.truncate(decoding.MAX_BYTES + 1)
    with pytest.raises(BadSample, match=r"too_large: .*a\.bmp: 1,000,000,001 bytes"):
        images.load(str(tmp_path / "a.bmp"))


def test_what_an_archive_would_unpack_to_counts(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"\0" * 99)
    where = files.Span(str(tmp_path / "a.zip"), 0, 99, "deflate", 2_000_000_000)
    with pytest.raises(BadSample, match=r"too_large: .*: 2,000,000,000 bytes"):
        images.load(where)


def test_metadata_is_not_written_again():
    profile = {"icc_profile": b"x" * 500, "dpi": (300, 300)}
    for kind in ("TIFF", "PNG", "WEBP"):
        data = from_array(RGB, kind, "RGBA" if kind == "PNG" else None, **profile)
        assert PIL.Image.open(io.BytesIO(images.upright(data).image)).info.keys() <= {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
        }


def test_a_scan_that_names_a_component_twice():
    """Libjpeg refuses it, and so training would: in all scans of a picture with three colours."""
    for options in ({}, {"progressive": True}):
        data = build.picture(17, 23, **options)
        at = data.index(b"\xff\xda")
        assert data[at + 4] == 3  # components of the first scan: ids at +5, +7, +9
        for first, second in ((5, 7), (7, 9), (5, 9)):
            twice = bytearray(data)
            twice[at + second] = twice[at + first]
            assert not jpeg.structure(bytes(twice)).sound
            with pytest.raises(BadSample, match="corrupt_image"):
                images.inspect(bytes(twice))
