"""Memory of decoding the worst pictures that are allowed, measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from convoy.data.images import decoding

# Builds a picture, then decodes it in a forked child, whose peak is its own. Prints JSON:
# bytes a pixel at the peak over what the process had with the file, or the rejection.
SCRIPT = """
import io, json, os, resource, sys
import cv2, numpy as np, PIL.Image
from convoy.data.images import decoding, images

kind, side, noise = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "noise"

def pixels(channels, kind=np.uint8):
    shape = (side, side, channels) if channels > 1 else (side, side)
    if noise:
        return np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape, kind)
    return np.full(shape, 77, kind)

def saved(array, format, mode=None, **options):
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6
    if format == "TIFF":
        options.setdefault("tiffinfo", {})[0x0112] = 6
    elif format not in ("BMP", "PPM", "GIF"):
        options["exif"] = exif
    image = PIL.Image.frombytes(mode, (side, side), array) if mode else PIL.Image.fromarray(array)
    image.save(buffer, format, **options)
    return buffer.getvalue()

def deep(extension, channels):
    packed = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".tiff": [cv2.IMWRITE_TIFF_COMPRESSION, 5]}
    return cv2.imencode(extension, pixels(channels, np.uint16), packed[extension])[1].tobytes()

data = {
    "rgb": lambda: saved(pixels(3), "PNG", compress_level=1),
    "rgba": lambda: saved(pixels(4), "PNG", compress_level=1),
    "palette": lambda: saved(pixels(1), "PNG", "P", compress_level=1, transparency=0),
    "rgb16": lambda: deep(".png", 3),
    "gray16": lambda: deep(".png", 1),
    "progressive": lambda: saved(pixels(3), "JPEG", progressive=True, subsampling=0, quality=90),
    "cmyk": lambda: saved(pixels(4), "JPEG", "CMYK", progressive=True, subsampling=0, quality=90),
    "gif": lambda: saved(pixels(1), "GIF", transparency=0),
    "bmp": lambda: saved(pixels(4), "BMP"),
    "ppm16": lambda: saved(pixels(1, np.uint16), "PPM"),
    "tiff16": lambda: deep(".tiff", 3),
    "strip": lambda: saved(
        pixels(4), "TIFF", compression="tiff_adobe_deflate", tiffinfo={278: side}
    ),
    "webp": lambda: saved(pixels(4), "WEBP", lossless=True, method=0, quality=0),
}[kind]()
images.upright(images.encode(np.zeros((8, 8), np.uint8)))  # loads what is loaded once
child = os.fork()
if child == 0:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        images.upright(data)
        told = {"rejected": None}
    except decoding.BadSample as error:
        told = {"rejected": error.reason}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told |= {"peak": peak, "bytes_a_pixel": (peak - before) / side**2, "file": len(data)}
    print(json.dumps(told), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
KINDS = {  # kind of SCRIPT -> PIL's name, bytes a pixel that a strip adds
    "rgb": ("PNG", 0),
    "rgba": ("PNG", 0),
    "palette": ("PNG", 0),
    "rgb16": ("PNG", 0),
    "gray16": ("PNG", 0),
    "progressive": ("JPEG", 0),
    "cmyk": ("JPEG", 0),
    "gif": ("GIF", 0),
    "bmp": ("BMP", 0),
    "ppm16": ("PPM", 0),
    "tiff16": ("TIFF", 0),
    "strip": ("TIFF", 4),
    "webp": ("WEBP", 0),
}


def measured(kind, side, fill):
    command = [sys.executable, "-c", SCRIPT, kind, str(side), fill]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


QUICK = ("rgba", "gray16", "cmyk", "webp")


@pytest.mark.parametrize(
    "kind",
    [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_a_pixel_costs_no_more_than_its_estimate(kind):
    name, strip = KINDS[kind]
    told = measured(kind, 2400, "flat")
    assert told["rejected"] is None
    fixed = 2 * 4 * (1 << 22) / 2400**2  # a band of 16-bit pixels, whatever the picture's size
    assert told["bytes_a_pixel"] < decoding.COST[name] + strip + (fixed if "16" in kind else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("fill", ["flat", "noise"])
@pytest.mark.parametrize("kind", KINDS)
def test_100_megapixels_stay_below_2_gib(kind, fill):
    if (kind, fill) == ("progressive", "noise"):
        pytest.skip("PIL's encoder fails on it")
    told = measured(kind, 10_000, fill)
    print(kind, fill, told)
    assert told["peak"] < 2 << 30
    refused = kind == "webp" or (kind in ("strip", "tiff16") and fill == "noise")
    assert told["rejected"] == ("too_large" if refused else None)
