"""Overlaps by hand, against their formulas in NumPy and Keras' own, and where boxes are none."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import iou

KINDS = {"iou": iou.iou, "giou": iou.giou, "diou": iou.diou, "ciou": iou.ciou}


def parts(a, b) -> dict[str, float]:
    """All of them, for two boxes with areas, as the papers write them."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    shared = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    around = np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])
    apart = (a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2
    overlap = shared / union
    distance = (apart**2).sum() / (around**2).sum()
    angles = [math.atan((box[3] - box[1]) / (box[2] - box[0])) for box in (a, b)]
    v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    alpha = v / (1 - overlap + v) if v else 0.0
    return {
        "iou": overlap,
        "giou": overlap - (np.prod(around) - union) / np.prod(around),
        "diou": overlap - distance,
        "ciou": overlap - distance - alpha * v,
    }


def ciou(a, b) -> float:
    return parts(a, b)["ciou"]


def boxes(count: int) -> np.ndarray:
    draw = np.random.default_rng(count)
    low = draw.uniform(0, 60, (count, 2))
    return np.concatenate([low, low + draw.uniform(1, 50, (count, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("iou", 1 / 3),
        ("giou", 1 / 3 - 100 / 400),
        ("diou", 1 / 3 - 50 / 800),
        ("ciou", 1 - 0.7629),  # a published formula that squares 4 / pi^2, too, has 1 - 0.7355
    ],
)
def test_by_hand(kind, expected):
    """10 x 20 and 20 x 10 from one corner: shared 100, union 300, around 20 x 20, centres 5, 5."""
    a, b = np.float32([[0, 0, 10, 20]]), np.float32([[0, 0, 20, 10]])
    assert float(KINDS[kind](a, b)[0]) == pytest.approx(expected, abs=1e-4)
    assert float(KINDS[kind](b, a)[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_formula(kind):
    a, b = boxes(20), boxes(21)
    found = np.asarray(KINDS[kind](a[:, None], b[None]))
    expected = [[parts(one, other)[kind] for other in b] for one in a]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(np.sign(found))) > 1 or kind == "iou"


def test_equals_keras():
    a, b = boxes(30), boxes(30)[::-1].copy()
    theirs = keras.utils.bounding_boxes
    np.testing.assert_allclose(iou.ciou(a, b), theirs.compute_ciou(a, b, "yxyx"), atol=1e-5)
    pairs = theirs.compute_iou(a, b, "yxyx")
    np.testing.assert_allclose(iou.iou(a[:, None], b[None]), pairs, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_box_and_boxes_without_area(kind):
    same = np.float32([[3, 4, 9, 30]])
    np.testing.assert_allclose(KINDS[kind](same, same), [1.0], rtol=1e-6)
    given = [[5, 5, 5, 5], [5, 5, 5, 9], [5, 5, 9, 5], [0, 0, 0, 0], [9, 9, 2, 2], [1, 1, 3, 3]]
    a = tf.Variable(np.float32(given)[:, None])
    with tf.GradientTape() as tape:
        found = KINDS[kind](a, np.float32(given)[None])
    assert np.isfinite(found).all()
    assert np.isfinite(tape.gradient(found, a)).all()


def test_a_step_along_the_gradient_of_ciou_brings_boxes_together():
    """Without contact IoU has no gradient; DIoU and CIoU have one, towards the other."""
    a, b = tf.Variable(np.float32([[0, 0, 10, 10]])), np.float32([[40, 20, 60, 30]])
    for kind, moves in (("iou", False), ("giou", True), ("diou", True), ("ciou", True)):
        with tf.GradientTape() as tape:
            value = KINDS[kind](a, b)
        slope = np.asarray(tape.gradient(value, a))[0]
        assert (slope[:2].sum() + slope[2:].sum() > 0) == moves, kind
