"""Affine augmentation: hand numbers, and pixels against boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from convoy.data.augment import draws as numbers_of
from convoy.data.augment import geometry
from convoy.data.augment.policy import Augment
from convoy.models.resize import warp

HALF = [0.5] * geometry.DRAWS  # the middle of every range: changes nothing
HEIGHT, WIDTH = 40, 60


def draws(**changed: float) -> tf.Tensor:
    names = ("flip_x", "flip_y", "zoom", "stretch", "angle", "shift_x", "shift_y")
    names += ("lean_x", "lean_y")
    return tf.constant([changed.get(name, 0.5) for name in names])


def matrix_of(policy: Augment, **changed: float) -> np.ndarray:
    return geometry.random_matrix(HEIGHT, WIDTH, policy, draws(**changed)).numpy()


def moved(matrix, *points):
    return geometry.transform_points(tf.constant(points, tf.float32), tf.constant(matrix)).numpy()


def boxes_through(matrix, boxes, size=(HEIGHT, WIDTH), min_visible=0.0):
    boxes, keep = geometry.transform_boxes(
        tf.constant(boxes, tf.float32), tf.constant(matrix, tf.float32), size, min_visible
    )
    return boxes.numpy(), keep.numpy()


def test_no_change_is_the_identity():
    np.testing.assert_allclose(matrix_of(Augment()), np.eye(3), atol=1e-6)


@pytest.mark.parametrize("draw", [0.0, 0.999])
def test_strengths_of_zero_ignore_the_draws(draw):
    matrix = geometry.random_matrix(HEIGHT, WIDTH, Augment(), tf.fill([geometry.DRAWS], draw))
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-5)


def test_flip_mirrors_at_the_middle():
    matrix = matrix_of(Augment(flip_horizontal=0.5), flip_x=0.49)
    np.testing.assert_allclose(moved(matrix, (0, 5), (10, 7), (60, 0)), [(60, 5), (50, 7), (0, 0)])
    boxes, _ = boxes_through(matrix, [[5, 10, 20, 25]])
    np.testing.assert_allclose(boxes, [[5, 35, 20, 50]])
    np.testing.assert_allclose(matrix_of(Augment(flip_horizontal=0.5), flip_x=0.5), np.eye(3))
    upside_down = matrix_of(Augment(flip_vertical=1.0))
    boxes, _ = boxes_through(upside_down, [[5, 10, 20, 25]])
    np.testing.assert_allclose(boxes, [[20, 10, 35, 25]])


def test_quarter_turn():
    """x' = 30 - (y - 20), y' = 20 + (x - 30): the right side goes to the bottom."""
    matrix = matrix_of(Augment(rotate_deg=180), angle=0.75)
    np.testing.assert_allclose(moved(matrix, (30, 20), (40, 20)), [(30, 20), (30, 30)], atol=1e-4)
    boxes, _ = boxes_through(matrix, [[10, 25, 15, 35]])
    np.testing.assert_allclose(boxes, [[15, 35, 25, 40]], atol=1e-4)


def test_shift_is_a_part_of_each_side():
    matrix = matrix_of(Augment(shift=0.2), shift_x=1.0, shift_y=0.0)
    np.testing.assert_allclose(matrix, [[1, 0, 12], [0, 1, -8], [0, 0, 1]], atol=1e-5)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.5), (0.5, 1.0), (0.75, math.sqrt(2)), (1, 2)])
def test_zoom_is_log_uniform_about_the_centre(draw, factor):
    matrix = matrix_of(Augment(zoom=(0.5, 2.0)), zoom=draw)
    expected = [[factor, 0, 30 * (1 - factor)], [0, factor, 20 * (1 - factor)], [0, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=1e-4)


@pytest.mark.parametrize(("draw", "ratio"), [(1.0, 2.0), (0.0, 0.5)])
def test_stretch_changes_the_aspect_and_keeps_the_area(draw, ratio):
    matrix = matrix_of(Augment(stretch=0.5), stretch=draw)
    assert matrix[0, 0] / matrix[1, 1] == pytest.approx(ratio, rel=1e-5)
    assert np.linalg.det(matrix) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(moved(matrix, (30, 20)), [(30, 20)], atol=1e-4)


def test_order_is_flip_zoom_turn_shift():
    """The point 10 right of the centre: flipped 10 left, doubled, turned up, shifted by (6, 4)."""
    policy = Augment(flip_horizontal=1.0, zoom=(2.0, 2.0), rotate_deg=180, shift=0.1)
    matrix = matrix_of(policy, angle=0.75, shift_x=1.0, shift_y=1.0)
    np.testing.assert_allclose(moved(matrix, (40, 20)), [(30 + 6, 20 - 20 + 4)], atol=1e-4)
    # In another order the shift would be doubled or turned, or the turn mirrored.
    np.testing.assert_allclose(moved(matrix, (30, 25)), [(30 - 10 + 6, 20 + 4)], atol=1e-4)


NUMBERS = st.lists(st.floats(0.0, 0.999), min_size=geometry.DRAWS, max_size=geometry.DRAWS)


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.integers(2, 24), st.integers(2, 40))
def test_pixels_agree_with_the_box(numbers, top, left):
    """Without rotation, a drawn rectangle covers its moved box to within a pixel."""
    policy = Augment(
        flip_horizontal=0.5, flip_vertical=0.5, shift=0.1, zoom=(0.7, 1.4), stretch=0.3
    )
    drawn, box, _ = _draw_and_move(policy, numbers, (top, left, top + 14, left + 18))
    rows, columns = np.nonzero(drawn > 0.5)
    extent = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(extent, box, atol=1.0)


@settings(max_examples=25, deadline=None)
@given(NUMBERS, st.integers(2, 24), st.integers(2, 40))
def test_the_hull_of_a_turned_box_holds_its_pixels(numbers, top, left):
    policy = Augment(
        flip_horizontal=0.5, rotate_deg=180, shear_deg=20, shift=0.1, zoom=(0.7, 1.4), stretch=0.3
    )
    drawn, box, kept = _draw_and_move(policy, numbers, (top, left, top + 14, left + 18))
    rows, columns = np.nonzero(drawn > 0.5)
    if not kept:
        assert len(rows) <= HEIGHT + WIDTH  # at most a sliver along the border
        return
    assert rows.min() >= box[0] - 1
    assert columns.min() >= box[1] - 1
    assert rows.max() + 1 <= box[2] + 1
    assert columns.max() + 1 <= box[3] + 1


def _draw_and_move(policy, numbers, box):
    image = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    image[box[0] : box[2], box[1] : box[3]] = 1.0
    matrix = geometry.random_matrix(HEIGHT, WIDTH, policy, tf.constant(numbers, tf.float32))
    boxes, keep = boxes_through(matrix, [box])
    return warp(tf.constant(image), matrix, (HEIGHT, WIDTH), 0.0).numpy()[..., 0], boxes[0], keep[0]


@settings(max_examples=25, deadline=None)
@given(NUMBERS)
def test_matrix_then_inverse_is_the_identity(numbers):
    policy = Augment(
        flip_horizontal=0.5, rotate_deg=180, shear_deg=30, shift=0.5, zoom=(0.5, 2.0), stretch=0.5
    )
    matrix = geometry.random_matrix(HEIGHT, WIDTH, policy, tf.constant(numbers, tf.float32)).numpy()
    points = np.array([(0, 0), (60, 0), (13.5, 29.25), (-20, 90)], np.float32)
    there = geometry.transform_points(tf.constant(points), tf.constant(matrix))
    inverse = tf.constant(np.linalg.inv(matrix).astype(np.float32))
    np.testing.assert_allclose(geometry.transform_points(there, inverse), points, atol=2e-3)
    homogeneous = np.c_[points, np.ones(4)] @ matrix.T
    np.testing.assert_allclose(there, homogeneous[:, :2], atol=1e-3)


@pytest.mark.parametrize(
    ("left", "min_visible", "kept"),
    [
        (30, 0.4, True),  # 4 of 10 columns stay inside
        (30, 0.41, False),
        (34, 0.0, False),  # only touches the border: no area
        (32, 0.0, True),  # a fifth is inside
        (80, 0.0, False),  # wholly outside
    ],
)
def test_min_visible(left, min_visible, kept):
    """The box is 10 wide and moves right by 26 in a picture of 60 columns."""
    matrix = [[1, 0, 26], [0, 1, 0], [0, 0, 1]]
    boxes, keep = boxes_through(matrix, [[5, left, 15, left + 10]], min_visible=min_visible)
    assert keep.tolist() == [kept]
    np.testing.assert_allclose(boxes, [[5, min(left + 26, 60), 15, 60]])


def test_no_boxes_stay_no_boxes():
    boxes, keep = boxes_through(np.eye(3), np.zeros([0, 4]))
    assert boxes.shape == (0, 4)
    assert keep.shape == (0,)


def test_the_same_inside_a_dataset():
    policy = Augment(flip_horizontal=0.5, rotate_deg=30, shift=0.2, zoom=(0.5, 2), stretch=0.2)
    numbers = tf.constant(np.random.default_rng(0).random((6, geometry.DRAWS)), tf.float32)
    boxes = tf.constant([[5.0, 10.0, 20.0, 25.0], [0.0, 0.0, 40.0, 60.0]])

    def move(row):
        matrix = geometry.random_matrix(HEIGHT, WIDTH, policy, row)
        return (matrix, *geometry.transform_boxes(boxes, matrix, (HEIGHT, WIDTH), 0.3))

    mapped = tf.data.Dataset.from_tensor_slices(numbers).map(move)
    for row, (matrix, hull, keep) in zip(numbers, mapped, strict=True):
        eager = move(row)
        np.testing.assert_allclose(matrix, eager[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(hull, eager[1], rtol=1e-5, atol=1e-4)
        assert keep.numpy().tolist() == eager[2].numpy().tolist()


def test_a_block_of_samples_equals_one_by_one():
    policy = Augment(
        flip_horizontal=0.5, rotate_deg=30, shear_deg=9, shift=0.2, zoom=(0.5, 2), stretch=0.2
    )
    rng = np.random.default_rng(1)
    numbers = tf.constant(rng.random((4, geometry.DRAWS)), tf.float32)
    heights, widths = tf.constant([40, 41, 60, 7]), tf.constant([60, 40, 30, 9])
    boxes = tf.constant(rng.random((4, 3, 4)) * 20 + [0, 0, 20, 20], tf.float32)
    matrices = geometry.random_matrix(heights, widths, policy, numbers)
    moved, kept = geometry.transform_boxes(boxes, matrices, (50, 50), 0.3)
    for row in range(4):
        one = geometry.random_matrix(heights[row], widths[row], policy, numbers[row])
        np.testing.assert_allclose(matrices[row], one, rtol=1e-5, atol=1e-5)
        hull, keep = geometry.transform_boxes(boxes[row], one, (50, 50), 0.3)
        np.testing.assert_allclose(moved[row], hull, atol=1e-3)
        assert kept[row].numpy().tolist() == keep.numpy().tolist()


def test_shear_leans_columns_and_rows():
    """tan 45 degrees = 1: a point 10 below the centre (30, 20) moves right by 10 and back."""
    matrix = matrix_of(Augment(shear_deg=45), lean_x=1.0)
    np.testing.assert_allclose(moved(matrix, (30, 30), (40, 20)), [(40, 30), (40, 20)], atol=1e-4)
    matrix = matrix_of(Augment(shear_deg=45), lean_y=0.0)
    np.testing.assert_allclose(moved(matrix, (30, 30), (40, 20)), [(30, 30), (40, 10)], atol=1e-4)


def test_a_window_is_spread_over_the_canvas():
    """Rows 10..30 of 40 and columns 0..30 of 60: both twice as large; then the flip."""
    window = tf.constant([0.25, 0.0, 0.75, 0.5])
    plain = geometry.random_matrix(HEIGHT, WIDTH, Augment(), draws(), window).numpy()
    np.testing.assert_allclose(plain, [[2, 0, 0], [0, 2, -20], [0, 0, 1]], atol=1e-4)
    mirror = Augment(flip_horizontal=1.0)
    flipped = geometry.random_matrix(HEIGHT, WIDTH, mirror, draws(), window).numpy()
    np.testing.assert_allclose(flipped, [[-2, 0, 60], [0, 2, -20], [0, 0, 1]], atol=1e-4)


def test_centers_decide_where_asked():
    """Moved right by 26 of 60 columns: the centre of the second one lies at 61."""
    matrix = tf.constant([[1, 0, 26], [0, 1, 0], [0, 0, 1]], tf.float32)
    boxes = tf.constant([[5, 28, 15, 38], [5, 30, 15, 40]], tf.float32)
    _, keep = geometry.transform_boxes(boxes, matrix, (HEIGHT, WIDTH), 0.0, centers=True)
    assert keep.numpy().tolist() == [True, False]


def keypoints_through(matrix, points, pairs=()):
    matrix = tf.constant(matrix, tf.float32)
    points = tf.constant(points, tf.float32)
    moved = geometry.transform_points(tf.reverse(points[..., :2], [-1]), matrix)
    return geometry.finish_keypoints(moved, points[..., 2], matrix, (24, 32), pairs).numpy()


def test_keypoints_outside_become_nothing():
    points = [[[5, 20, 2], [5, 3, 2], [23.9, 12, 1], [5, 20, 0]]]
    moved = keypoints_through([[1, 0, 12], [0, 1, 0], [0, 0, 1]], points)
    expected = [[[0, 0, 0], [5, 15, 2], [23.9, 24, 1], [0, 0, 0]]]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("matrix", "order"),
    [
        ([[-1, 0, 32], [0, 1, 0], [0, 0, 1]], [0, 2, 1]),  # mirrored: left becomes right
        ([[1, 0, 0], [0, -1, 24], [0, 0, 1]], [0, 2, 1]),
        ([[-1, 0, 32], [0, -1, 24], [0, 0, 1]], [0, 1, 2]),  # half a turn mirrors nothing
    ],
)
def test_mirroring_swaps_left_and_right(matrix, order):
    points = np.array([[[2, 3, 2], [4, 5, 1], [6, 7, 2]]], np.float32)
    plain = keypoints_through(matrix, points)
    np.testing.assert_array_equal(keypoints_through(matrix, points, [(1, 2)]), plain[:, order])


def numbers_for(seed, name, copy, count=13):
    key = numbers_of.key_for(seed, tf.convert_to_tensor(name), copy)
    return numbers_of.uniform(key, "geometry", count)


def test_draws_depend_on_seed_picture_and_copy_alone():
    first = numbers_for(1, "a/1", 0).numpy()
    assert first.shape == (13,)
    assert ((first >= 0) & (first < 1)).all()
    tf.random.set_seed(99)
    np.testing.assert_array_equal(numbers_for(1, "a/1", 0), first)
    inside = tf.function(lambda name: numbers_for(1, name, 0))(tf.constant("a/1"))
    np.testing.assert_array_equal(inside, first)
    np.testing.assert_array_equal(numbers_for(1, ["b", "a/1"], [3, 0])[1], first)
    np.testing.assert_array_equal(numbers_for(1, "a/1", 0, count=20)[:13], first)
    others = [numbers_for(2, "a/1", 0), numbers_for(1, "a/2", 0), numbers_for(1, "a/1", 1)]
    for other in others:
        assert np.abs(other.numpy() - first).max() > 0.05


def test_draws_are_uniform():
    """Mean 1/2 and variance 1/12 over 200 pictures; 5 standard errors are 0.031 and 0.011."""
    numbers = np.stack([numbers_for(0, f"picture{i}", 0).numpy() for i in range(200)])
    assert numbers.mean() == pytest.approx(0.5, abs=0.031)
    assert numbers.var() == pytest.approx(1 / 12, abs=0.011)
    assert len(np.unique(numbers[:, 0])) == 200


def test_streams_and_neighbours_are_independent():
    """Correlations of 4,000 pairs of independent numbers have a standard error of 0.016."""
    key = numbers_of.key_for(0, tf.strings.as_string(tf.range(4000)), tf.zeros(4000, tf.int64))
    numbers = [numbers_of.uniform(key, stream, 3).numpy() for stream in numbers_of.STREAMS]
    together = np.concatenate(numbers, axis=1)
    off = np.corrcoef(together.T) - np.eye(together.shape[1])
    assert np.abs(off).max() < 0.08


def test_normal_numbers():
    """Mean 0 and variance 1 of 8,000; 5 standard errors are 0.056 and 0.08."""
    key = numbers_of.key_for(0, tf.strings.as_string(tf.range(2000)), tf.zeros(2000, tf.int64))
    numbers = numbers_of.normal(key, "elastic", 4).numpy()
    assert numbers.mean() == pytest.approx(0.0, abs=0.056)
    assert numbers.var() == pytest.approx(1.0, abs=0.08)
    assert float(numbers_of.to_normal(tf.constant(0.5))) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(numbers_of.to_normal(tf.constant([0.0, 1 - 2.0**-24]))).all()
