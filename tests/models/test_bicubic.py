"""Bicubic resizing and Y, Cb, Cr: by hand, by Pillow on a mirrored picture, by MATLAB's numbers."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.models.restoration import bicubic, color


def resized(values, size) -> np.ndarray:
    return bicubic.resize(tf.constant(values, tf.float32), size).numpy()


def by_pillow(values: np.ndarray, size: tuple[int, int], margins: tuple[int, int]) -> np.ndarray:
    """[H, W] by Pillow's own kernel in float32, whose borders are far outside: the picture is
    continued by `margins` mirrored pixels of each axis, whole numbers of which become pixels."""
    grown = np.pad(values, [(margin, margin) for margin in margins], mode="symmetric")
    more = [m * n // side for m, n, side in zip(margins, size, values.shape, strict=True)]
    height, width = (n + 2 * m for n, m in zip(size, more, strict=True))
    picture = PIL.Image.fromarray(grown.astype(np.float32), "F")
    large = np.asarray(picture.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return large[more[0] : more[0] + size[0], more[1] : more[1] + size[1]]


def test_the_kernel_by_hand():
    """Keys' equation 15 at a = -0.5."""
    found = bicubic.kernel(tf.constant([0.0, 0.5, -0.5, 1.0, 1.5, -1.5, 2.0, 3.0])).numpy()
    np.testing.assert_allclose(found, [1, 0.5625, 0.5625, 0, -0.0625, -0.0625, 0, 0], atol=1e-7)


def test_doubled_by_hand():
    """Places -0.25, 0.25, 0.75, ...: distances 0.25, 0.75, 1.25, 1.75 have the weights below; left
    of 0 the mirror shows 0, then 8."""
    near, beside, third, last = 0.8671875, 0.2265625, -0.0703125, -0.0234375
    row = np.array([0.0, 8.0, 0.0, 0.0, 0.0])
    # At -0.25 pixel 1 is at 1.25 and its mirror, pixel -2, at 1.75; at 0.25 that is out of reach.
    expected = [8 * (third + last), 8 * beside, 8 * near, 8 * near, 8 * beside]
    found = resized(row[None, :, None], (1, 10))[0, :5, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_halved_by_hand():
    """Twice as wide: pixel 6 is 0.25 of the kernel's unit from the place of 3, which is 6.5; it is
    0.75 from that of 2, 1.25 from that of 4, 1.75 from that of 1. All weights of a place sum to 2.
    """
    row = np.zeros(12)
    row[6] = 16.0
    found = resized(row[None, :, None], (1, 6))[0, :, 0]
    weights = np.array([0, -0.0234375, 0.2265625, 0.8671875, -0.0703125, 0])
    np.testing.assert_allclose(found, 16 * weights / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "size", "margins"),
    [
        ((24, 36), (8, 12), (24, 36)),  # a third: antialiased
        ((8, 12), (24, 36), (8, 12)),
        ((20, 15), (30, 10), (20, 15)),  # one side grows, one shrinks
        ((40, 28), (10, 7), (40, 28)),
        ((7, 5), (7, 5), (7, 5)),
    ],
)
def test_like_pillow_on_a_mirrored_picture(shape, size, margins):
    values = np.random.default_rng(3).uniform(0, 255, shape)
    found = resized(values[..., None], size)[..., 0]
    np.testing.assert_allclose(found, by_pillow(values, size, margins), atol=2e-3)


def test_borders_are_mirrored_not_renormalised():
    values = np.random.default_rng(4).uniform(0, 255, (24, 36)).astype(np.float32)
    plain = np.asarray(PIL.Image.fromarray(values).resize((12, 8), PIL.Image.Resampling.BICUBIC))
    found = resized(values[..., None], (8, 12))[..., 0]
    np.testing.assert_allclose(found[2:-2, 2:-2], plain[2:-2, 2:-2], atol=2e-3)
    assert np.abs(found - plain)[0].max() > 1


def test_pictures_smaller_than_the_kernel_and_of_sizes_unknown_before():
    traced = tf.function(bicubic.resize, input_signature=[
        tf.TensorSpec([None, None, 3], tf.float32), tf.TensorSpec([2], tf.int32)
    ])  # fmt: skip
    for shape, size in (((1, 1), (5, 9)), ((2, 3), (1, 1)), ((1, 300), (1, 3))):
        found = traced(tf.fill([*shape, 3], 77.0), tf.constant(size)).numpy()
        np.testing.assert_allclose(found, np.full([*size, 3], 77.0), rtol=1e-6)


def test_luma_and_chroma_are_those_of_bt_601():
    """MATLAB's documented values: black 16, white 235, red (81.481, 90.203, 240), ..."""
    rgb = np.array([[0, 0, 0], [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]], float)
    cb, cr = color.chroma(rgb)
    found = np.stack([color.luma(rgb), cb, cr], -1)
    expected = [
        [16, 128, 128], [235, 128, 128], [81.481, 90.203, 240], [144.553, 53.797, 34.214],
        [40.966, 240, 109.786],
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_there_and_back():
    rgb = np.random.default_rng(5).uniform(0, 255, (50, 3))
    back = np.stack(color.channels(color.luma(rgb), *color.chroma(rgb)), -1)
    np.testing.assert_allclose(back, rgb, atol=1e-9)
