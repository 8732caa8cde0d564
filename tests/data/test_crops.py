"""Random windows: hand numbers, statistics of their sizes, and SSD's overlap."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from convoy.data.augment import crops
from convoy.data.augment.policy import POLICIES, Augment


def windows(policy: Augment, numbers, height=100, width=200, aspect=1.0, boxes=None):
    """[B, 4] for rows of `numbers`, filled up with a half."""
    rows = np.full((len(numbers), crops.count(policy)), 0.5, np.float32)
    for row, given_numbers in zip(rows, numbers, strict=True):
        row[: len(given_numbers)] = given_numbers
    count = len(rows)
    valid = None
    if boxes is not None:
        boxes = tf.tile(tf.constant(boxes, tf.float32)[None], [count, 1, 1])
        valid = tf.ones(tf.shape(boxes)[:2], bool)
    sides = tf.fill([count], height), tf.fill([count], width)
    return crops.random_window(*sides, policy, tf.constant(rows), aspect, boxes, valid).numpy()


def many(policy: Augment, count=4000, seed=0, **given_sides):
    numbers = np.random.default_rng(seed).random((count, crops.count(policy)))
    return windows(policy, numbers, **given_sides)


def sides(found, height, width):
    return (found[:, 2] - found[:, 0]) * height, (found[:, 3] - found[:, 1]) * width


def test_nothing_asked_is_the_whole_picture():
    assert not crops.active(Augment(zoom=(0.5, 2.0)))
    np.testing.assert_array_equal(windows(Augment(), [[]]), [[0, 0, 1, 1]])


def test_alexnet_takes_224_of_256():
    """Of 100 x 200 the largest square is 100 wide: 87.5, in the middle of the picture."""
    (found,) = windows(POLICIES["alexnet"], [[]])
    np.testing.assert_allclose(
        found * [100, 200, 100, 200], [6.25, 56.25, 93.75, 143.75], atol=1e-4
    )
    (corner,) = windows(POLICIES["alexnet"], [[0, 0, 0, 0, 0.2, 1.0, 0.0]])
    np.testing.assert_allclose(corner * [100, 200, 100, 200], [12.5, 0, 100, 87.5], atol=1e-4)


@pytest.mark.parametrize(("draw", "part"), [(0.0, 1.0), (0.5, 2 / 3), (1.0, 0.5)])
def test_one_over_the_part_is_uniform(draw, part):
    (found,) = windows(Augment(crop=(0.5, 1.0)), [[0, 0, 0, 0, draw]], aspect=2.0)
    np.testing.assert_allclose(
        sides(found[None], 100, 200), [[100 * part], [200 * part]], rtol=1e-5
    )


def test_area_and_aspect_by_hand():
    """A quarter of 100 x 200 and the aspect 1: a square of 70.71 pixels."""
    policy = Augment(crop_area=(0.25, 0.25), crop_aspect=(0.5, 2.0))
    (found,) = windows(policy, [[0, 0, 0, 0, 0.3, 0.5, 0.0, 1.0]])
    side = np.sqrt(5000)
    np.testing.assert_allclose(found * [100, 200, 100, 200], [0, 200 - side, side, 200], atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (100, 100), (640, 300)])
def test_inception_windows_keep_to_their_ranges(height, width):
    found = many(POLICIES["inception"], height=height, width=width)
    assert found.min() >= -1e-5
    assert found.max() <= 1 + 1e-5
    tall, wide = sides(found, height, width)
    area, aspect = tall * wide / (height * width), wide / tall
    assert aspect.min() >= 3 / 4 - 1e-4
    assert aspect.max() <= 4 / 3 + 1e-4
    assert area.min() >= 0.08 - 1e-4
    # Uniform up to what fits: the lower half of 0.08..0.54 fits always.
    assert (area < 0.31).mean() == pytest.approx(0.25, abs=0.035)


def test_a_narrow_picture_gives_the_nearest_aspect():
    """10 x 100: the whole area needs an aspect of 10; 4 / 3 at the full height is taken."""
    policy = Augment(crop_area=(1.0, 1.0))
    (found,) = windows(policy, [[]], height=10, width=100)
    tall, wide = sides(found[None], 10, 100)
    np.testing.assert_allclose([tall[0], wide[0]], [10, 40 / 3], rtol=1e-4)


def test_expand_places_the_picture_on_a_larger_canvas():
    """Twice as large (draw 1/3 of 1..4), all of the added rows above, columns on both sides."""
    (found,) = windows(Augment(expand=0.5), [[0.4, 1 / 3, 1.0, 0.5]])
    np.testing.assert_allclose(found, [-1, -0.5, 1, 1.5], atol=1e-5)
    (not_drawn,) = windows(Augment(expand=0.5), [[0.5, 1 / 3, 1.0, 0.5]])
    np.testing.assert_array_equal(not_drawn, [0, 0, 1, 1])


def test_jitter_moves_each_edge():
    (found,) = windows(Augment(jitter=0.3), [[0] * 8 + [0.0, 1.0, 0.75, 0.5]])
    np.testing.assert_allclose(found, [-0.3, 0.3, 1.15, 1.0], atol=1e-6)


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)


BOXES = np.array([[0.1, 0.1, 0.5, 0.6], [0.4, 0.5, 0.9, 0.95], [0.0, 0.9, 0.05, 0.95]])


@pytest.mark.parametrize("sampler", range(7))
def test_a_sampler_keeps_its_overlap(sampler):
    """A window of sampler k overlaps some object at least that much, or is the whole picture."""
    policy = Augment(iou_crop=1.0)
    numbers = np.random.default_rng(sampler).random((60, crops.count(policy)))
    numbers[:, 13] = (sampler + 0.5) / 7
    found = windows(policy, numbers, boxes=BOXES)
    whole = (found == [0, 0, 1, 1]).all(1)
    if sampler == 6:
        assert whole.all()
        return
    minimum = (0.1, 0.3, 0.5, 0.7, 0.9, 0.0)[sampler]
    best = np.array([max(iou(window, box) for box in BOXES) for window in found[~whole]])
    assert (best >= minimum - 1e-5).all()
    assert whole.mean() < 0.2 or minimum >= 0.7
    tall, wide = sides(found[~whole], 1, 1)
    assert (wide / tall).min() >= 0.5 - 1e-4
    assert (wide / tall).max() <= 2 + 1e-4
    area = tall * wide
    assert np.sqrt(area.min(initial=1)) >= 0.3 - 1e-4
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6


def test_the_first_good_window_is_taken():
    """The first two of 50 hardly touch the only object; the third is the object itself."""
    policy = Augment(iou_crop=1.0)
    numbers = np.zeros((1, crops.count(policy)))
    numbers[0, 13] = 4.5 / 7  # at least 0.9
    # Scale 0.3 in two corners, then scale 0.3 + 0.7 * 2 / 7 = 0.5 of aspect 0.5 + 1.5 / 3 = 1.
    numbers[0, 14:26] = [0, 0.5, 0, 0, 0, 0.5, 1, 1, 2 / 7, 1 / 3, 0.5, 0.5]
    box = [0.25, 0.25, 0.75, 0.75]
    (found,) = windows(policy, numbers, boxes=[box])
    np.testing.assert_allclose(found, box, atol=1e-5)
    numbers[0, 22:26] = 0
    np.testing.assert_array_equal(windows(policy, numbers, boxes=[box]), [[0, 0, 1, 1]])


def test_without_objects_or_luck_the_picture_stays_whole():
    policy = Augment(iou_crop=1.0)
    found = many(policy, 50, boxes=[[2, 2, 2.1, 2.1]])
    # Boxes outside: any overlap, 0 included, satisfies the sampler "any" alone.
    changed = (found != [0, 0, 1, 1]).any(1)
    assert 0 < changed.mean() < 0.4
    assert (windows(policy, [[0.0, 0.1]]) == [0, 0, 1, 1]).all()


def test_ssd_crops_the_expanded_canvas():
    """The canvas is twice as large: a window of 0.9 around an object still fits an object."""
    policy = POLICIES["ssd"]
    numbers = np.random.default_rng(0).random((200, crops.count(policy)))
    numbers[:, :2] = [0.0, 1 / 3]
    numbers[:, 13] = 0.5 / 7
    found = windows(policy, numbers, boxes=BOXES)
    assert (found[:, 2:] - found[:, :2]).max() <= 2 + 1e-5
    assert found.min() >= -1 - 1e-5
    assert all(max(iou(w, box) for box in BOXES) >= 0.1 - 1e-5 or w[2] - w[0] > 1.99 for w in found)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 0.999), min_size=14, max_size=14), st.integers(1, 500))
def test_windows_always_have_sides(numbers, height):
    for name in ("alexnet", "inception", "yolo"):
        (found,) = windows(POLICIES[name], [numbers], height=height)
        assert (found[2:] > found[:2]).all()


def test_which_policies_fill_the_input():
    assert crops.fills(POLICIES["inception"])
    assert crops.inside(POLICIES["inception"])
    assert not crops.fills(POLICIES["ssd"])
    assert not crops.inside(POLICIES["inception"].model_copy(update={"zoom": (0.9, 1.0)}))
    assert not crops.inside(POLICIES["inception"].model_copy(update={"shift": 0.1}))
