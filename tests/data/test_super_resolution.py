import io

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, super_resolution
from tests.data import build


def cubic(x):
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def weights(size, scale):
    """[size / scale, size]: antialiased reduction, renormalised at the edges."""
    centers = (np.arange(size // scale) + 0.5) * scale
    matrix = cubic((np.arange(size) + 0.5 - centers[:, None]) / scale)
    return matrix / matrix.sum(1, keepdims=True)


def decoded(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_reduction_is_antialiased_bicubic(tmp_path, scale):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (26, 37, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.bmp")
    listing = super_resolution.scan(tmp_path, Options(scale=scale))
    sample = super_resolution.read(listing.references[0], listing.labels)
    height, width = 26 // scale, 37 // scale
    large = pixels[: height * scale, : width * scale]
    np.testing.assert_array_equal(decoded(sample.target), large)
    assert (sample.height, sample.width) == (height, width)
    rows, columns = weights(height * scale, scale), weights(width * scale, scale)
    wanted = np.einsum("ih,hwc,jw->ijc", rows, large.astype(float), columns)
    found = decoded(sample.image).astype(float)
    error = np.abs(found - np.clip(wanted, 0, 255))
    assert error.max() < 0.5 + 0.5 * 1.3  # rounded to 8 bits twice; 1.3 = sum of |weights|
    assert error.mean() < 0.35


def test_folders_are_splits(tmp_path):
    for name in ("Train/t1.bmp", "Test/Set5/baby_GT.bmp", "Train/t2.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(build.picture(9, 9, kind="BMP"))
    listing = super_resolution.scan(tmp_path)
    assert [(r.split, r.source_id) for r in listing.references] == [
        ("test", "Test/Set5/baby_GT.bmp"),
        ("train", "Train/t1.bmp"),
        ("train", "Train/t2.bmp"),
    ]


def test_gray_stays_gray(tmp_path):
    PIL.Image.new("L", (8, 8), 77).save(tmp_path / "a.png")
    listing = super_resolution.scan(tmp_path)
    sample = super_resolution.read(listing.references[0], listing.labels)
    np.testing.assert_array_equal(decoded(sample.image), np.full((2, 2), 77))


def test_too_small_for_the_scale(tmp_path):
    PIL.Image.new("L", (8, 3)).save(tmp_path / "a.png")
    listing = super_resolution.scan(tmp_path)
    with pytest.raises(BadSample, match=r"too_small: a\.png: 8x3 pixels, scale 4"):
        super_resolution.read(listing.references[0], listing.labels)


def test_wrong_use_is_explained(tmp_path):
    with pytest.raises(SourceError, match="scale 1: expected 2"):
        super_resolution.scan(tmp_path, Options(scale=1))
    with pytest.raises(SourceError, match="found none among 0 files"):
        super_resolution.scan(tmp_path)
