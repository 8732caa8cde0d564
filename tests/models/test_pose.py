"""Skeletons, and what is learnt of keypoints: by hand. Networks of one object."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.pose import keypoints, skeleton, targets, task
from tests.parity.poses_reference import person

COCO = skeleton.of(skeleton.COCO)
STRIDE, SIZE = 8, (40, 46)  # cells of the maps


def annotation(people, count=17, valid=None):
    points = np.zeros((max(len(people), 1), count, 3), np.float32)
    for place, own in enumerate(people):
        points[place] = own
    valid = np.arange(len(points)) < len(people) if valid is None else np.array(valid)
    return {"keypoints": tf.constant(points), "valid": tf.constant(valid)}


def maps_of(people, bones=COCO) -> dict[str, np.ndarray]:
    given = annotation(people, len(bones.keypoints))
    encoded = task.encode(given, bones=bones, size=SIZE, stride=STRIDE)
    return {name: value.numpy() for name, value in encoded.items()}


# Skeletons


def test_the_neck_is_the_mean_of_the_shoulders():
    assert COCO.parts[:3] == ("nose", "neck", "right_shoulder")
    assert [COCO.keypoints[index] for index in COCO.sources[1]] == [
        "left_shoulder",
        "right_shoulder",
    ]
    people = np.zeros((2, 17, 3), np.float32)
    people[:, 5], people[:, 6] = (10, 20, 2), (14, 40, 1)
    people[1, 6, 2] = 0
    places, known = targets.parts_of(people, COCO)
    assert places[0, 1].numpy().tolist() == [12, 30]
    assert known[:, 1].numpy().tolist() == [True, False]


def test_channels_are_those_of_the_authors_files():
    """testing/python of the authors: limbSeq and mapIdx, which count from 1; fields begin at 19."""
    limb_seq = [[2, 3], [2, 6], [3, 4], [4, 5], [6, 7], [7, 8], [2, 9], [9, 10], [10, 11]]
    limb_seq += [[2, 12], [12, 13], [13, 14], [2, 1], [1, 15], [15, 17], [1, 16], [16, 18]]
    limb_seq += [[3, 17], [6, 18]]
    first = [31, 39, 33, 35, 41, 43, 19, 21, 23, 25, 27, 29, 47, 49, 53, 51, 55, 37, 45]
    for (a, b), channel in zip(limb_seq, first, strict=True):
        assert COCO.limbs[(channel - 19) // 2] == (a - 1, b - 1)
    assert [COCO.limbs[index] for index in COCO.redundant] == [(2, 16), (5, 17)]


def test_channels_of_mpi_are_those_of_the_authors_files():
    """testing/src/connect43LineVec.m of the authors; fields begin at 16 here."""
    limb_seq = [[1, 2], [2, 3], [3, 4], [4, 5], [2, 6], [6, 7], [7, 8], [2, 15], [15, 12]]
    limb_seq += [[12, 13], [13, 14], [15, 9], [9, 10], [10, 11]]
    first = [16, 18, 20, 22, 24, 26, 28, 30, 38, 40, 42, 32, 34, 36]
    bones = skeleton.of(skeleton.MPII)
    for (a, b), channel in zip(limb_seq, first, strict=True):
        assert bones.limbs[(channel - 16) // 2] == (a - 1, b - 1)
    assert len(bones.parts) == 15
    assert bones.parts[14] == "chest"
    assert {skeleton.MPII[index] for index in bones.sources[14]} == {"thorax", "pelvis"}
    pelvis = bones.answers[skeleton.MPII.index("pelvis")]
    assert {bones.parts[index] for index in pelvis} == {"left_hip", "right_hip"}


@pytest.mark.parametrize("names", [skeleton.COCO, skeleton.MPII, tuple("abcde")])
def test_limbs_are_a_tree_from_the_first_on(names):
    bones = skeleton.of(names)
    reached = {bones.limbs[bones.tree[0]][0]}
    for limb in bones.tree:
        one, other = bones.limbs[limb]
        assert one in reached
        assert other not in reached
        reached.add(other)
    assert reached == set(range(len(bones.parts)))


def test_names_may_come_in_another_order_and_spelling():
    names = tuple(name.replace("_", " ").title() for name in reversed(skeleton.COCO))
    bones = skeleton.of(names)
    assert bones.parts == COCO.parts
    assert bones.sources[0] == (16,)
    assert [bones.parts[own] for (own,) in bones.answers] == list(reversed(skeleton.COCO))
    assert skeleton.of((), 17) == COCO
    assert skeleton.of((), 16).keypoints == skeleton.MPII
    other = skeleton.of(tuple(f"p{n}" for n in range(17)))  # as many, but not a person's
    assert other.limbs == tuple((n, n + 1) for n in range(16))


# Targets


def test_a_heat_map_by_hand():
    """A part on the centre of cell (2, 3): 1 there, exp(-64 / 98) beside it; 7 px of sigma."""
    places = tf.constant([[[20.0, 28.0], [0.0, 0.0]]])
    heat = targets.heat_maps(places, tf.constant([[True, False]]), (5, 6), 8).numpy()
    assert heat[2, 3, 0] == pytest.approx(1.0)
    assert heat[2, 4, 0] == heat[1, 3, 0] == pytest.approx(math.exp(-64 / 98))
    assert heat[1, 4, 0] == pytest.approx(math.exp(-128 / 98))
    assert not heat[..., 1].any()
    whole = targets.with_background(heat).numpy()
    np.testing.assert_allclose(whole[..., 2], 1 - heat.max(-1))


def test_two_people_are_the_larger_of_their_heat():
    """Not the sum: peaks that are near stay apart (the paper's section 2.2)."""
    places = tf.constant([[[20.0, 20.0]], [[20.0, 36.0]]])
    heat = targets.heat_maps(places, tf.constant([[True], [True]]), (5, 6), 8).numpy()[..., 0]
    assert heat[2, 3] == pytest.approx(math.exp(-64 / 98))
    assert heat.max() == pytest.approx(1.0)


def test_a_field_by_hand():
    """From (4, 4) to (4, 28), the centres of cells 0 and 3: to the right on three rows."""
    bones = skeleton.of(("a", "b"))
    places, known = tf.constant([[[4.0, 4.0], [4.0, 28.0]]]), tf.constant([[True, True]])
    field = targets.fields(places, known, bones, (4, 8), 8).numpy()
    expected = np.zeros((4, 8))
    expected[:2, :5] = 1  # a cell more at the end; before the first there is none
    np.testing.assert_allclose(field[..., 0], expected)
    assert not field[..., 1].any()


def test_fields_that_cross_are_averaged_where_both_are():
    bones = skeleton.of(("a", "b"))
    places = tf.constant([[[36.0, 4.0], [36.0, 68.0]], [[4.0, 36.0], [68.0, 36.0]]])
    field = targets.fields(places, tf.ones((2, 2), tf.bool), bones, (9, 9), 8).numpy()
    assert field[4, 4].tolist() == [0.5, 0.5]
    assert field[4, 1].tolist() == [1, 0]
    assert field[1, 4].tolist() == [0, 1]


def test_ends_in_one_place_have_no_field():
    bones = skeleton.of(("a", "b"))
    places = tf.constant([[[12.0, 12.0], [12.0, 12.0]]])
    assert not targets.fields(places, tf.ones((1, 2), tf.bool), bones, (4, 4), 8).numpy().any()


def test_nothing_is_learnt_where_nobody_labelled():
    """Of 4 x 4 cells the left half, and a third of one column that is left over, is not known."""
    unlabelled = np.zeros((32, 32), np.uint8)
    unlabelled[:, :19] = 1
    given = {**annotation([]), "unlabelled": tf.constant(unlabelled)}
    encoded = task.encode(given, bones=COCO, size=(4, 4), stride=8)
    assert encoded["known"][..., 0].numpy().tolist() == [[0, 0, 1, 1]] * 4
    outputs = {
        f"{branch}{stage}": tf.fill([1, *encoded[branch].shape], 9.0)
        for branch in ("paf", "heat")
        for stage in (1, 2)
    }
    batch = {name: value[None] for name, value in encoded.items()}
    parts = task.loss(batch, outputs, stages=2)
    assert set(parts) == {"paf1", "heat1", "paf2", "heat2"}
    # Half of 9 squared for each of 38 numbers of 8 cells; heat 18 of 0 and a background of 1.
    assert float(parts["paf1"][0]) == pytest.approx(8 * 38 * 81 / 2)
    assert float(parts["heat2"][0]) == pytest.approx(8 * (18 * 81 + 64) / 2)
    assert float(parts["heat2"][1]) == 1.0


def test_hidden_keypoints_are_learnt_and_invalid_people_are_not():
    own = person(300, 100, 250)
    hidden = own.copy()
    hidden[:, 2] = 1
    np.testing.assert_array_equal(maps_of([own])["heat"], maps_of([hidden])["heat"])
    given = annotation([own], valid=[False])
    nobody = task.encode(given, bones=COCO, size=SIZE, stride=STRIDE)
    assert not nobody["paf"].numpy().any()
    assert (nobody["heat"][..., -1].numpy() == 1).all()


def test_a_mirrored_person_is_the_mirrored_maps():
    """Mirrored with left and right swapped, as the input does; parts swap their channels."""
    own = person(300, 150, 250, 0.3)
    swapped = own.copy()
    pairs = [(n, n + 1) for n in range(1, 17, 2)]
    for a, b in pairs:
        swapped[[a, b]] = own[[b, a]]
    swapped[:, 1] = SIZE[1] * STRIDE - swapped[:, 1]
    one, other = maps_of([own])["heat"], maps_of([swapped])["heat"]
    order = [
        COCO.parts.index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
        for name in COCO.parts
    ]
    np.testing.assert_allclose(other[:, ::-1][..., [*order, 18]], one, atol=1e-5)


# One object


def test_the_largest_object_with_a_keypoint_is_learnt():
    boxes = np.float32([[0, 0, 50, 50], [0, 0, 20, 20], [0, 0, 30, 30]])
    points = np.zeros((3, 2, 3), np.float32)
    points[1:, 0] = [[5, 6, 2], [7, 8, 1]]
    given = {"boxes": boxes, "keypoints": points, "valid": np.array([True] * 3)}
    given = {name: tf.constant(value) for name, value in given.items()}
    own, there = targets.largest(given)
    assert own.numpy().tolist() == [[7, 8, 1], [0, 0, 0]]
    assert bool(there)
    nobody = {**given, "valid": tf.constant([True, False, False])}
    own, there = targets.largest(nobody)
    assert not own.numpy().any()
    assert not bool(there)


@pytest.mark.parametrize("name", ["keypoint_regression", "keypoint_heatmaps"])
def test_what_is_not_labelled_teaches_nothing(name):
    size = (64, 96)
    built = models.build_task(
        name, num_classes=2, input_size=size, backbone="mobilenet_v1", width=0.25
    )
    points = np.zeros((1, 2, 3), np.float32)
    points[0, 0] = (12, 50, 2)
    given = {"boxes": tf.constant([[0.0, 0, 60, 60]]), "valid": tf.constant([True])}
    encoded = built.encode({**given, "keypoints": tf.constant(points)})
    batch = {key: value[None] for key, value in encoded.items()}
    shape = (1, 2, 2) if name == "keypoint_regression" else (1, 16, 24, 2)
    outputs = np.zeros(shape, np.float32)
    (one,) = built.loss(batch, outputs).values()
    assert float(one[1]) == 1.0
    outputs[:, 1:] = 5.0 if name == "keypoint_regression" else outputs[:, 1:]
    if name == "keypoint_heatmaps":
        outputs[..., 1] = 5.0
    (same,) = built.loss(batch, outputs).values()
    assert float(same[0]) == float(one[0]) > 0
    empty = built.encode({**given, "keypoints": tf.zeros((1, 2, 3))})
    parts = built.loss({key: value[None] for key, value in empty.items()}, outputs)
    assert [float(value) for value in losses_of(parts)] == [0.0]
    assert float(losses.total(parts)) == 0.0


def losses_of(parts):
    return [value for value, _ in parts.values()]


@pytest.mark.parametrize("name", ["keypoint_regression", "keypoint_heatmaps"])
def test_decoding_is_encoding_backwards(name):
    """Exactly by regression; by heat maps to a quarter of a cell of 4 pixels on each axis."""
    size = (64, 96)
    built = models.build_task(
        name, num_classes=3, input_size=size, backbone="mobilenet_v1", width=0.25
    )
    points = np.float32([[[12, 50, 2], [57, 3, 2], [31, 95, 1]]])
    given = {"boxes": tf.constant([[0.0, 0, 60, 60]]), "valid": tf.constant([True])}
    encoded = built.encode({**given, "keypoints": tf.constant(points)})
    outputs = encoded["places" if name == "keypoint_regression" else "heat"][None]
    found = built.decode(outputs, score_threshold=0.01, max_detections=5)
    assert found["places"].shape == (1, 1, 3, 3)
    tolerance = 1e-4 if name == "keypoint_regression" else 1.01
    np.testing.assert_allclose(found["places"][0, 0, :, :2], points[0, :, :2], atol=tolerance)


def test_the_quarter_is_towards_the_larger_neighbour():
    maps = np.zeros((1, 4, 5, 1), np.float32)
    maps[0, 1, 1:4, 0] = [0.2, 0.9, 0.5]
    maps[0, 0, 2, 0] = 0.3
    ((y, x, score),) = keypoints._highest(tf.constant(maps)).numpy()[0]
    assert (y, x) == ((1.5 - 0.25) * 4, (2.5 + 0.25) * 4)
    assert score == pytest.approx(0.9)


def test_names_of_another_number_and_a_single_keypoint_are_refused():
    with pytest.raises(ValueError, match="names of 3 keypoints, got 2"):
        models.build_task("openpose_mobilenet", num_classes=3, keypoints=("a", "b"))
    with pytest.raises(ValueError, match="names of 3 keypoints, got 2"):
        models.build_task(
            "keypoint_regression", num_classes=3, keypoints=("a", "b"), input_size=(64, 64)
        )
    with pytest.raises(ValueError, match="at least two keypoints, which limbs join, got 1"):
        models.build("openpose_mobilenet", num_classes=1)
