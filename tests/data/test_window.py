"""The quick way of drawing against the general warp, and its boxes against its pixels."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from convoy.data.augment import geometry, window
from convoy.data.augment.policy import Augment
from convoy.data.input import pictures
from convoy.models.resize import warp
from convoy.models.spec import Preprocess

HEIGHT, WIDTH, SIZE = 60, 90, (40, 50)
POLICY = Augment(flip_horizontal=0.5, flip_vertical=0.5, shift=0.3, zoom=(0.6, 1.8), stretch=0.2)


def encoded(pixels, kind="PNG") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, kind, quality=95)
    return buffer.getvalue()


def scaling(sy, ty, sx, tx) -> tf.Tensor:
    return tf.constant([[sx, 0, tx], [0, sy, ty], [0, 0, 1]], tf.float32)


def drawn(picture: bytes, matrix, channels=3, fill=127.5):
    seen = window.snap(matrix, HEIGHT, WIDTH, SIZE)
    looks = Preprocess(SIZE, channel_order="gray" if channels == 1 else "rgb")
    part = pictures.part(tf.constant(picture), looks, seen)
    return window.draw(part, seen, SIZE, fill).numpy(), seen


def smooth() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([2 * x + 20, 3 * y + 20, x + y], -1).astype(np.uint8)


def test_windows_by_hand():
    """Columns 0..90 go from 50 back to 5; rows from -10 to 50, of which 0..40 is seen."""
    seen = window.snap(scaling(1.0, -10, -0.5, 50), HEIGHT, WIDTH, SIZE)
    np.testing.assert_array_equal(seen.source, [[10, 50], [0, 90]])
    np.testing.assert_array_equal(seen.target, [[0, 40], [5, 50]])
    assert seen.flip.numpy().tolist() == [False, True]
    np.testing.assert_allclose(seen.matrix, scaling(1.0, -10, -0.5, 50), atol=1e-5)


def test_the_matrix_is_snapped_to_whole_pixels():
    """0.5 x + 2.3 from 2.3 to 47.3: drawn from 2 to 47, where the columns -0.6 to 89.4 are due."""
    seen = window.snap(scaling(1.0, 0, 0.5, 2.3), HEIGHT, WIDTH, SIZE)
    np.testing.assert_array_equal(seen.target[1], [2, 47])
    np.testing.assert_array_equal(seen.source[1], [0, 89])
    np.testing.assert_allclose(seen.matrix[0], [45 / 89, 0, 2], atol=1e-5)


def test_a_whole_picture_is_a_plain_resize():
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3))
    ours, _ = drawn(encoded(pixels), scaling(40 / 60, 0, 50 / 90, 0))
    expected = tf.image.resize(pixels, SIZE).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    flipped, _ = drawn(encoded(pixels), scaling(-40 / 60, 40, -50 / 90, 50))
    np.testing.assert_allclose(flipped, expected[::-1, ::-1], atol=1e-3)


SOME = st.lists(st.floats(0.0, 0.999), min_size=geometry.DRAWS, max_size=geometry.DRAWS)


def random_matrix(numbers) -> tf.Tensor:
    fit = scaling(40 / 60, 0, 50 / 90, 0)
    return fit @ geometry.random_matrix(HEIGHT, WIDTH, POLICY, tf.constant(numbers, tf.float32))


@settings(max_examples=30, deadline=None)
@given(SOME)
def test_like_the_warp_through_the_snapped_matrix(numbers):
    """On smooth colours, away from the picture's border, where the two extend it differently."""
    ours, seen = drawn(encoded(smooth()), random_matrix(numbers))
    expected = warp(tf.constant(smooth(), tf.float32), seen.matrix, SIZE, 127.5).numpy()
    (y0, y1), (x0, x1) = seen.target.numpy()
    inner = np.s_[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    np.testing.assert_allclose(ours[inner], expected[inner], atol=0.1)
    outside = np.ones(SIZE, bool)
    outside[y0:y1, x0:x1] = False
    assert (ours[outside] == 127.5).all()


@settings(max_examples=30, deadline=None)
@given(SOME)
def test_the_snapped_matrix_is_near_the_wanted(numbers):
    """What is seen moves by at most half a pixel of the target and half of the source."""
    matrix = random_matrix(numbers).numpy()
    seen = window.snap(tf.constant(matrix), HEIGHT, WIDTH, SIZE)
    corners = np.stack([seen.source[1], seen.source[0], [1, 1]]).astype(np.float32)
    difference = np.abs(matrix @ corners - seen.matrix.numpy() @ corners)[:2]
    half = 0.5 + 0.5 * np.abs(np.diag(matrix)[:2])
    assert (difference <= half[:, None] + 1e-3).all()


@settings(max_examples=30, deadline=None)
@given(SOME, st.integers(5, 30), st.integers(5, 50))
def test_boxes_follow_the_pixels(numbers, top, left):
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[top : top + 20, left : left + 25] = 255
    ours, seen = drawn(encoded(pixels), random_matrix(numbers), channels=1, fill=0.0)
    box = tf.constant([[top, left, top + 20, left + 25]], tf.float32)
    (hull,), (keep,) = geometry.transform_boxes(box, seen.matrix, SIZE, 0.0)
    rows, columns = np.nonzero(ours[..., 0] > 127)
    if not len(rows):
        sides = (hull[2:] - hull[:2]).numpy()
        assert not keep or sides.min() <= 1.0
        return
    extent = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(extent, hull, atol=1.0)


@pytest.mark.parametrize("shift", [(-500.0, -500.0), (500.0, 500.0), (0.0, 500.0)])
def test_a_picture_outside_leaves_a_pixel_at_most_a_line(shift):
    ours, seen = drawn(encoded(smooth()), scaling(1.0, shift[0], 1.0, shift[1]))
    assert np.isfinite(ours).all()
    assert np.isfinite(seen.matrix.numpy()).all()
    assert (ours == 127.5).all(axis=-1).mean() >= 1 - 1 / min(SIZE)


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (3, "L"), (1, "L"), (1, "RGB")])
def test_jpegs_are_decoded_in_part(channels, mode):
    picture = PIL.Image.fromarray(smooth()).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    ours, seen = drawn(buffer.getvalue(), scaling(1.0, -10, 1.0, -20), channels)
    np.testing.assert_array_equal(seen.source, [[10, 50], [20, 70]])
    whole = tf.io.decode_jpeg(buffer.getvalue(), channels=channels).numpy()
    assert ours.shape == (*SIZE, channels)
    # At the edge of the window the colours are interpolated without what lies beyond it.
    np.testing.assert_allclose(ours, whole[10:50, 20:70].astype(np.float32), atol=6)
    np.testing.assert_allclose(ours[4:-4, 4:-4], whole[14:46, 24:66].astype(np.float32), atol=1)


def test_windows_of_a_block_equal_one_by_one():
    matrices = [scaling(1.0, -10, -0.5, 50), scaling(-0.7, 30, 0.4, 2.3)]
    heights, widths = tf.constant([60, 44]), tf.constant([90, 70])
    block = window.snap(tf.stack(matrices), heights, widths, SIZE)
    for row, matrix in enumerate(matrices):
        one = window.snap(matrix, heights[row], widths[row], SIZE)
        for several, single in zip(block, one, strict=True):
            np.testing.assert_array_equal(several[row], single)


def test_a_filled_target_needs_no_border():
    matrix = scaling(1.0, -10, 0.7, -3)
    seen = window.snap(matrix, HEIGHT, WIDTH, SIZE)
    ours, _ = drawn(encoded(smooth()), matrix)
    part = pictures.part(tf.constant(encoded(smooth())), Preprocess(SIZE), seen)
    filled = window.draw(part, seen, SIZE, 127.5, filled=True)
    np.testing.assert_array_equal(filled, ours)
