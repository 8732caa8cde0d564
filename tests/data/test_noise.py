"""Blur, noise, cutout and JPEG against scipy and PIL."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import tensorflow as tf

from convoy.data.augment import noise
from convoy.data.augment.policy import Augment

KEY = tf.constant(12345678901234567, tf.uint64)


def disturbed(image, policy: Augment, *numbers: float, key=KEY) -> np.ndarray:
    """numbers: of blur, noise, the square's y and x, the quality."""
    return noise.disturb(tf.constant(image), policy, tf.constant(numbers), key).numpy()


def picture(channels=3) -> np.ndarray:
    y, x = np.mgrid[:40, :60]
    smooth = np.stack([3 * x + 20, 4 * y + 20, x + y + 60], -1)[..., :channels]
    return smooth.astype(np.float32)


def test_nothing_asked():
    assert not noise.active(Augment(hue=0.1, elastic=0.1))
    np.testing.assert_array_equal(disturbed(picture(), Augment(), *[0.3] * 5), picture())


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_equals_scipy(channels):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, channels)).astype(np.float32)
    ours = disturbed(image, Augment(blur_px=2.0), 0.75, 0, 0, 0, 0)
    expected = scipy.ndimage.gaussian_filter(
        image, (1.5, 1.5, 0), mode="nearest", radius=(6, 6, 0), order=0
    )
    np.testing.assert_allclose(ours, expected, atol=0.01)
    still = disturbed(image, Augment(blur_px=2.0), 0.0, 0, 0, 0, 0)
    np.testing.assert_allclose(still, image, atol=1e-3)


def test_noise_has_its_sigma_and_depends_on_the_key():
    """Half of the largest sigma 0.1: 12.75; the sample's is within 5 % for 30,000 values."""
    gray = np.full((100, 100, 3), 128, np.float32)
    policy = Augment(noise=0.1)
    ours = disturbed(gray, policy, 0, 0.5, 0, 0, 0)
    assert (ours - 128).std() == pytest.approx(12.75, rel=0.05)
    assert ours.mean() == pytest.approx(128, abs=0.5)
    np.testing.assert_array_equal(disturbed(gray, policy, 0, 0.5, 0, 0, 0), ours)
    other = disturbed(gray, policy, 0, 0.5, 0, 0, 0, key=tf.constant(5, tf.uint64))
    assert np.abs(other - ours).mean() > 5
    loud = disturbed(gray, Augment(noise=1.0), 0, 0.99, 0, 0, 0)
    assert loud.min() == 0
    assert loud.max() == 255


def test_cutout_is_a_square_about_a_point():
    """A quarter of 40 rows wide: 10 x 10 about (10, 30); in the corner a quarter of it is seen."""
    ours = disturbed(picture(), Augment(cutout=0.25), 0, 0, 0.25, 0.5, 0)
    expected = picture()
    expected[5:15, 25:35] = 127.5
    np.testing.assert_array_equal(ours, expected)
    corner = disturbed(picture(), Augment(cutout=0.25), 0, 0, 0.0, 0.0, 0)
    expected = picture()
    expected[:5, :5] = 127.5
    np.testing.assert_array_equal(corner, expected)


@pytest.mark.parametrize(("draw", "quality"), [(0.0, 20), (0.5, 55), (0.9999, 90)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_quality_is_uniform_in_its_range(draw, quality, channels):
    image = picture(channels)
    image += np.random.default_rng(0).integers(-20, 20, image.shape)
    image = np.clip(image, 0, 255)
    ours = disturbed(image, Augment(jpeg_quality=(20, 90)), 0, 0, 0, 0, draw)
    buffer = io.BytesIO()
    squeezed = image.astype(np.uint8)
    PIL.Image.fromarray(squeezed[..., 0] if channels == 1 else squeezed).save(
        buffer, "JPEG", quality=quality
    )
    expected = np.asarray(PIL.Image.open(buffer), np.float32).reshape(image.shape)
    assert ours.shape == image.shape
    assert np.abs(ours - expected).mean() < 2.0
    error = np.abs(ours - image).mean()
    assert error == pytest.approx(np.abs(expected - image).mean(), rel=0.15, abs=0.2)
