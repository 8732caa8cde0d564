import numpy as np
import pytest

from convoy.data import keypoints


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["nose", "left_eye", "right_eye"], [(1, 2)]),
        (["right_eye", "nose", "left_eye"], [(2, 0)]),  # left comes first in a pair
        (["LeftEye", "RightEye", "LEFT_EAR", "right_ear"], [(0, 1), (2, 3)]),
        (["l_eye", "R_eye", "L-ear", "r-ear", "rKnee", "lKnee"], [(0, 1), (2, 3), (5, 4)]),
        (["Rshoulder", "Lshoulder", "LHip", "RHip"], [(1, 0), (2, 3)]),
        (["eye_l", "eye_r", "ear.R", "ear.L", "KneeLeft", "KneeRight"], [(0, 1), (3, 2), (4, 5)]),
        (["lefthand-0", "righthand-0", "lefthand-1", "righthand-1"], [(0, 1), (2, 3)]),
        (["upper_left_leg", "upper_right_leg", "lower_left_leg"], [(0, 1)]),
        (["left eye", "right eye"], [(0, 1)]),
        (["lips", "rips", "ring", "leftover", "tail", "nail"], []),
        (["lear", "rear"], []),
        ([], []),
        (["0", "1", "2"], []),
    ],
)
def test_pairs_by_name(names, wanted):
    assert keypoints.pairs(names) == tuple(wanted)


def test_coco_person():
    names = ["nose"]
    for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        names += [f"left_{part}", f"right_{part}"]
    assert keypoints.pairs(names) == tuple((i, i + 1) for i in range(1, 17, 2))


def test_face_of_68_points():
    """Ends of the jaw, brows, wings of the nose, eyes and mouth; the middle line has no pair."""
    found = keypoints.pairs(keypoints.numbered("face", 68))
    assert len(found) == 29
    for pair in [(0, 16), (7, 9), (17, 26), (21, 22), (31, 35), (36, 45), (41, 46), (48, 54)]:
        assert pair in found
    middle = set(range(68)) - {point for pair in found for point in pair}
    assert middle == {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}
    assert keypoints.pairs([str(i) for i in range(68)]) == found
    assert keypoints.pairs([f"Landmark {i}" for i in range(1, 69)]) == found


def test_face_pairs_mirror_a_symmetric_face():
    """Points of a drawn face (iBUG's order), symmetric about x = 0, change places in pairs."""
    jaw = [(-np.cos(t), np.sin(t)) for t in np.linspace(0, np.pi, 17)]
    brows = [(-0.8, -1), (-0.7, -1.1), (-0.5, -1.2), (-0.3, -1.1), (-0.2, -1)]
    nose = [(0, y) for y in (-0.6, -0.4, -0.2, 0)]
    wings = [(-0.2, 0.1), (-0.1, 0.15), (0, 0.2), (0.1, 0.15), (0.2, 0.1)]
    eye = [(-0.6, -0.5), (-0.5, -0.6), (-0.4, -0.6), (-0.3, -0.5), (-0.4, -0.4), (-0.5, -0.4)]
    other = [(-x, y) for x, y in (eye[i] for i in (3, 2, 1, 0, 5, 4))]
    turns = np.linspace(np.pi, 3 * np.pi, 12, endpoint=False)
    lips = [(0.4 * np.cos(t), 0.5 + 0.2 * np.sin(t)) for t in turns]
    turns = np.linspace(np.pi, 3 * np.pi, 8, endpoint=False)
    lips += [(0.3 * np.cos(t), 0.5 + 0.1 * np.sin(t)) for t in turns]
    brows += [(-x, y) for x, y in brows[::-1]]
    points = np.array(jaw + brows + nose + wings + eye + other + lips)
    swapped = points * [-1, 1]
    for left, right in keypoints.pairs(keypoints.numbered("p", 68)):
        swapped[[left, right]] = swapped[[right, left]]
    np.testing.assert_allclose(swapped, points, atol=1e-9)


def test_face_within_other_points():
    names = ["left_eye", "right_eye", *keypoints.numbered("face", 68), "left_hand", "right_hand"]
    found = keypoints.pairs(names)
    assert (0, 1) in found
    assert (2, 18) in found  # the jaw's ends
    assert (70, 71) in found
    assert len(found) == 31
