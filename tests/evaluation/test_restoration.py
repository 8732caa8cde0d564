"""PSNR and SSIM: by hand, by TensorFlow's own, of Y without borders."""

from __future__ import annotations

import io
import math

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data.sample import Sample
from convoy.pipeline.evaluation import restoration
from convoy.pipeline.evaluation.restoration import Closeness, prepared, psnr, ssim
from convoy.pipeline.tasks import restoration as task


def pair(shape=(24, 31), seed=0):
    draw = np.random.default_rng(seed)
    one = draw.integers(0, 256, shape).astype(np.float64)
    return one, np.clip(one + draw.integers(-30, 31, shape), 0, 255)


def test_psnr_by_hand():
    """Errors 3 and 4 of four pixels: mean square 25 / 4."""
    one = np.zeros((2, 2))
    other = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert psnr(one, other) == pytest.approx(20 * math.log10(255 / 2.5))
    assert psnr(one, one) == restoration.MOST


def test_ssim_of_even_pictures_by_hand():
    """No variance: (2 a b + C1) / (a^2 + b^2 + C1), C1 = 6.5025."""
    found = ssim(np.full((11, 13), 100.0), np.full((11, 13), 50.0))
    assert found == pytest.approx(10006.5025 / 12506.5025)


def test_like_tensorflows():
    for seed in range(3):
        one, other = pair(seed=seed)
        args = [tf.constant(values[..., None], tf.float32) for values in (one, other)]
        assert psnr(one, other) == pytest.approx(float(tf.image.psnr(*args, 255)), abs=1e-4)
        assert ssim(one, other) == pytest.approx(float(tf.image.ssim(*args, 255)), abs=1e-5)


def test_of_y_rounded_without_borders():
    """Red is 81.481 and white 235 of Y; the border's pixels do not count."""
    pixels = np.zeros((5, 6, 3), np.uint8)
    pixels[...] = (255, 0, 0)
    pixels[0], pixels[:, -1] = 9, 77
    np.testing.assert_array_equal(prepared(pixels, 1), np.full((3, 4), 81.0))
    np.testing.assert_array_equal(prepared(pixels[2:3, 2:3], 0), [[81.0]])


def test_gray_is_taken_as_it_is():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(prepared(gray, 0), gray)


def test_means_of_pictures_not_of_pixels():
    """A large picture with an error of 1 and a small one with an error of 2."""
    numbers = Closeness()
    assert numbers.result()["PSNR"] is None
    numbers.update(np.full((40, 50), 9, np.uint8), np.full((40, 50), 10, np.uint8), 1)
    one = numbers.update(np.full((5, 5), 9, np.uint8), np.full((5, 5), 11, np.uint8), 1)
    assert one == pytest.approx(20 * math.log10(255 / 2))
    found = numbers.result()
    expected = (20 * math.log10(255) + 20 * math.log10(255 / 2)) / 2
    assert found["PSNR"] == pytest.approx(expected)
    # Of the 40 x 50 alone: (2 * 90 + C1) / (81 + 100 + C1).
    assert found["SSIM"] == pytest.approx(186.5025 / 187.5025)
    assert (found["pictures"], found["too_small_for_SSIM"]) == (2, 1)


def test_other_sizes_and_nothing_left_are_named():
    with pytest.raises(ValueError, match="expected a restored picture of 31x24 px, got 30x24"):
        psnr(np.zeros((24, 31)), np.zeros((24, 30)))
    with pytest.raises(ValueError, match=r"more than 6 px on each side.*got 6x9"):
        Closeness().update(np.zeros((9, 6), np.uint8), np.zeros((9, 6), np.uint8), 3)
    with pytest.raises(ValueError, match="11 px or more on each side, got 31x10"):
        ssim(np.zeros((10, 31)), np.zeros((10, 31)))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_restoration_gains_by_hand():
    """Of 3 x as large pictures: the answer is one too bright, the picture sent is black."""
    truth = np.full((60, 60, 3), 100, np.uint8)
    near = np.full((60, 60, 3), 101, np.uint8)
    dark = np.zeros((20, 20, 3), np.uint8)
    pictures = {name: png(v) for name, v in
                (("image", dark), ("target", truth), ("found", near))}  # fmt: skip
    one = Sample("a", "val", pictures["image"], 20, 20, target=pictures["target"])
    metrics = task.Metrics(("picture",))
    metrics.update(one, {"image_bytes": pictures["found"]})
    tiny = png(np.zeros((2, 2, 3), np.uint8))
    small = png(np.zeros((6, 6, 3), np.uint8))
    metrics.update(Sample("b", "val", tiny, 2, 2, target=small), {"image_bytes": small})
    numbers = metrics.result()
    # Y of gray g is 16 + 219 g / 255: 102 of 100, 103 of 101, 16 of 0.
    assert numbers["PSNR"] == pytest.approx(20 * np.log10(255 / 1))
    assert numbers["PSNR_before"] == pytest.approx(20 * np.log10(255 / (102 - 16)))
    assert (numbers["better"], numbers["pictures"], numbers["too_small"]) == (1, 1, 1)
    with pytest.raises(ValueError, match="a: expected a restored picture of 54x54 px, got 14x14"):
        metrics.update(one, {"image_bytes": pictures["image"]})
    assert psnr(*(prepared(values, 3) for values in (truth, near))) == numbers["PSNR"]
