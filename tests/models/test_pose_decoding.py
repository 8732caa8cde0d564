"""People out of heat maps and fields: where they were put, and as loops in NumPy find them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.models.pose import decoding, task
from tests.models.test_pose import COCO, STRIDE, maps_of
from tests.parity import poses_reference
from tests.parity.poses_reference import person


def crowd(count: int, seed: int = 0) -> list[np.ndarray]:
    """People beside and over each other: arms and legs cross."""
    rng = np.random.default_rng(seed)
    return [
        person(300 - 6 * n, 60 + 52 * n, 200 + 12 * n, 0.12 * n - 0.2, rng) for n in range(count)
    ]


@pytest.mark.parametrize(("count", "noise"), [(0, 0.05), (1, 0.0), (1, 0.05), (5, 0.0), (5, 0.05)])
def test_people_are_those_of_numpy_s_loops(count, noise):
    made, rng = maps_of(crowd(count)), np.random.default_rng(count)
    heat, paf = (
        (made[name] + rng.normal(0, noise, made[name].shape)).astype(np.float32)
        for name in ("heat", "paf")
    )
    expected = poses_reference.people(
        heat, paf, len(COCO.parts), COCO.limbs, COCO.redundant, STRIDE, 30
    )
    found = decoding.people(heat[None], paf[None], COCO, STRIDE, 30)
    assert int(found["valid"].numpy().sum()) == len(expected)
    assert len(expected) >= count
    for number, (score, points) in enumerate(expected):
        row = np.zeros((18, 3))
        for part, point in points.items():
            row[part] = point
        assert float(found["scores"][0, number]) == pytest.approx(score, abs=1e-5)
        np.testing.assert_allclose(found["places"][0, number], row, atol=1e-3)
    assert not found["scores"][0, len(expected) :].numpy().any()


@pytest.mark.parametrize("count", [1, 5])
def test_people_are_where_they_were_put(count):
    """All 17 keypoints of each, to a pixel and a half: parts lie between cells of 8 pixels."""
    people, made = crowd(count), maps_of(crowd(count))
    outputs = {name: made[name][None] for name in ("paf", "heat")}
    found = task.decode(outputs, bones=COCO, stride=STRIDE, last=("paf", "heat"))
    assert int(found["valid"].numpy().sum()) == count
    for own in people:
        far = np.linalg.norm(found["places"][0, :count, :, :2] - own[:, :2], axis=-1).max(1)
        assert far.min() < 1.5


def test_a_redundant_limb_joins_who_share_no_part():
    """Without a nose the ears hang on the shoulders alone."""
    own = person(300, 100, 250)
    own[:3] = 0  # nose and eyes
    made = maps_of([own])
    expected = poses_reference.people(
        made["heat"], made["paf"], 18, COCO.limbs, COCO.redundant, STRIDE, 30
    )
    found = decoding.people(made["heat"][None], made["paf"][None], COCO, STRIDE, 30)
    ((_, points),) = expected
    assert int(found["valid"].numpy().sum()) == 1
    there = np.flatnonzero(found["places"][0, 0, :, 2].numpy())
    assert set(there.tolist()) == set(points)
    assert {16, 17} <= set(points)  # both ears


def test_no_more_people_than_are_asked_for():
    made = maps_of(crowd(5))
    found = decoding.people(made["heat"][None], made["paf"][None], COCO, STRIDE, 2)
    assert found["places"].shape == (1, 2, 18, 3)
    assert found["valid"].numpy().all()
    one, other = found["scores"][0].numpy()
    assert one >= other


def test_equal_pixels_are_one_peak():
    maps = np.zeros((1, 4, 6, 1), np.float32)
    maps[0, 1:3, 2:4] = 1.0
    peak = decoding.is_peak(tf.constant(maps)).numpy()[0, ..., 0] & (maps[0, ..., 0] > 0)
    assert np.argwhere(peak).tolist() == [[1, 2]]


def test_what_is_not_found_is_zero_and_answers_are_cut_to_the_picture():
    """The picture was drawn at half of its size, 10 pixels from the left of the input."""
    places = np.zeros((1, 2, 2, 3), np.float32)
    places[0, 0] = [[30, 40, 0.5], [0, 0, 0]]
    places[0, 1] = [[30, 400, 0.9], [-9, 12, 0.8]]
    decoded = {
        "places": tf.constant(places),
        "scores": tf.constant([[0.4, 0.7]]),
        "valid": tf.constant([[True, True]]),
    }
    matrix = tf.constant([[[0.5, 0, 10], [0, 0.5, 0], [0, 0, 1]]])
    found = task.answer(decoded, matrix, tf.constant([[100, 200]]), tf.constant(["a", "b"]))
    assert found["num_people"].numpy().tolist() == [2]
    np.testing.assert_allclose(found["scores"], [[0.7, 0.4]])
    np.testing.assert_allclose(
        found["keypoints"][0],
        [[[60, 200, 0.9], [0, 4, 0.8]], [[60, 60, 0.5], [0, 0, 0]]],
    )


def test_how_far_answers_are_apart():
    one = {
        "keypoints": np.array([[[[0, 0, 1], [100, 0, 1]]]], np.float32),
        "scores": np.array([[0.8]], np.float32),
        "num_people": np.array([1]),
    }
    moved = {**one, "keypoints": one["keypoints"] + np.float32([0, 2, 0])}
    assert task.difference(one, one) == 0.0
    assert task.difference(one, moved) == pytest.approx(0.02)  # of a side of 100
    assert task.difference(one, {**one, "scores": np.float32([[0.75]])}) == pytest.approx(0.05)
    nobody = {**one, "num_people": np.array([0])}
    assert task.difference(one, nobody) == task.difference(nobody, one) == pytest.approx(0.8)
