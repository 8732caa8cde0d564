"""Boxes, priors, coding, matching, suppression: numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.models import anchors, assign, boxes, coding, decode


def test_iou_by_hand():
    a = tf.constant([[0.0, 0, 10, 10], [5, 5, 5, 5]])
    b = tf.constant(
        [[0.0, 0, 10, 10], [0, 5, 10, 15], [5, 5, 15, 15], [10, 0, 20, 10], [0, 0, 0, 0]]
    )
    # Shared 100, 50, 25, an edge, nothing; unions 100, 150, 175, 200, 100.
    expected = [[1.0, 50 / 150, 25 / 175, 0.0, 0.0], [0.0] * 5]
    np.testing.assert_allclose(boxes.pairwise_iou(a, b), expected, rtol=1e-6)


def test_iou_with_no_boxes():
    none = tf.zeros([0, 4])
    assert boxes.pairwise_iou(none, tf.zeros([3, 4])).shape == (0, 3)


def test_iou_equals_counted_pixels():
    draw = np.random.default_rng(0)
    low = draw.integers(0, 20, (12, 2))
    rects = np.concatenate([low, low + draw.integers(1, 12, (12, 2))], 1)
    masks = np.zeros((12, 32, 32), bool)
    for mask, (y0, x0, y1, x1) in zip(masks, rects, strict=True):
        mask[y0:y1, x0:x1] = True
    shared = (masks[:, None] & masks[None]).sum((2, 3))
    union = (masks[:, None] | masks[None]).sum((2, 3))
    rects = rects.astype("float32")
    np.testing.assert_allclose(boxes.pairwise_iou(rects, rects), shared / union, rtol=1e-6)


def test_area_and_clip():
    found = boxes.clip(tf.constant([[-5.0, 2, 30, 99]]), (20, 40))
    np.testing.assert_array_equal(found, [[0, 2, 20, 40]])
    np.testing.assert_array_equal(boxes.area(tf.constant([[0.0, 0, 2, 3], [4, 4, 2, 9]])), [6, 0])


def test_ssd_shapes_by_hand():
    """Side 40 and 90: 40, sqrt(3600) = 60, then 2: w = 40 sqrt 2 = 56.57, h = 28.28, and turned."""
    shapes = anchors.ssd_shapes(40, 90, (2,))
    expected = [(40, 40), (60, 60), (28.284271, 56.568542), (56.568542, 28.284271)]
    np.testing.assert_allclose(shapes, expected, rtol=1e-6)


def test_priors_by_hand():
    level = anchors.Level(grid=(1, 2), step=(10.0, 20.0), shapes=((4.0, 6.0), (8.0, 8.0)))
    expected = [[3, 7, 7, 13], [1, 6, 9, 14], [3, 27, 7, 33], [1, 26, 9, 34]]
    np.testing.assert_array_equal(anchors.priors([level]), expected)
    assert level.count == 4


def test_coding_by_hand():
    """A prior of 10 x 20 centred at (5, 10); an object of 20 x 20 centred at (7, 14)."""
    prior, box = tf.constant([[0.0, 0, 10, 20]]), tf.constant([[-3.0, 4, 17, 24]])
    expected = [[2 / 10 / 0.1, 4 / 20 / 0.1, np.log(2) / 0.2, 0.0]]
    np.testing.assert_allclose(coding.encode(box, prior), expected, rtol=1e-6)


def test_decode_inverts_encode():
    draw = np.random.default_rng(0)
    low = draw.uniform(-10, 250, (2, 50, 2))
    rects = np.concatenate([low, low + draw.uniform(1, 200, (2, 50, 2))], -1).astype("float32")
    codes = coding.encode(rects[0], rects[1])
    np.testing.assert_allclose(coding.decode(codes, rects[1]), rects[0], atol=2e-3)


def test_decode_is_finite_for_any_code():
    codes = tf.constant([[1e4, -1e4, 1e4, 1e4]])
    assert np.isfinite(coding.decode(codes, tf.constant([[0.0, 0, 10, 10]]))).all()


def greedy(iou, threshold):
    """The matcher as loops over NumPy arrays."""
    left, matched = iou.copy(), np.full(iou.shape[1], -1)
    for _ in range(len(iou)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        if left[row, column] <= 1e-6:
            break
        matched[column] = row
        left[row], left[:, column] = -1, -1
    for column in range(iou.shape[1]):
        if matched[column] < 0 and iou[:, column].max() >= threshold:
            matched[column] = iou[:, column].argmax()
    return matched


def test_match_by_hand():
    """Both objects like prior 1 best; object 1 likes it more, object 0 gets its second choice."""
    iou = np.float32([[0.3, 0.6, 0.1, 0.0, 0.0], [0.2, 0.9, 0.5, 0.49, 0.0]])
    np.testing.assert_array_equal(assign.match(tf.constant(iou)), [0, 1, 1, -1, -1])
    np.testing.assert_array_equal(greedy(iou, 0.5), [0, 1, 1, -1, -1])


@pytest.mark.parametrize("objects", [1, 5, 40])
def test_match_equals_loops(objects):
    iou = np.random.default_rng(objects).uniform(0, 1, (objects, 60)).astype("float32") ** 3
    np.testing.assert_array_equal(assign.match(tf.constant(iou)), greedy(iou, 0.5))


def test_an_object_without_any_overlap_stays_unmatched():
    iou = tf.constant([[0.0, 0.0, 0.0], [0.0, 0.4, 0.0]])
    np.testing.assert_array_equal(assign.match(iou), [-1, 1, -1])


PRIORS = np.float32([[0, 0, 10, 10], [0, 10, 10, 20], [10, 0, 20, 10], [0, 0, 20, 20]])


def encode(rects, classes, valid):
    """Through tf.data, as in training, and eagerly; both must agree."""
    rects = np.reshape(np.asarray(rects, np.float32), (-1, 4))
    arguments = rects, np.asarray(classes, np.int64), np.asarray(valid, bool)

    def call(b, c, v):
        return assign.encode_ssd(b, c, v, priors=PRIORS, num_classes=3)

    eager = call(*arguments)
    dataset = tf.data.Dataset.from_tensors(arguments).map(call)
    assert dataset.element_spec["cls"].shape == (4,)
    assert dataset.element_spec["box"].shape == (4, 4)
    mapped = next(iter(dataset))
    for key in eager:
        np.testing.assert_array_equal(eager[key], mapped[key])
    return {key: value.numpy() for key, value in eager.items()}


def test_encode_by_hand():
    targets = encode([[0, 10, 10, 20], [0, 0, 9, 10]], [2, 0], [True, True])
    np.testing.assert_array_equal(targets["cls"], [1, 3, 0, 0])
    np.testing.assert_array_equal(targets["box"][1:], np.zeros((3, 4)))
    expected = [-0.5 / 10 / 0.1, 0, np.log(0.9) / 0.2, 0]
    np.testing.assert_allclose(targets["box"][0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("rects", "classes", "valid"),
    [
        ([], [], []),
        ([[0, 0, 10, 10]], [1], [False]),
        ([[np.nan] * 4, [0, 0, np.inf, 5]], [1, 1], [False, True]),
        ([[3, 3, 3, 9], [9, 9, 3, 3]], [1, 1], [True, True]),
        ([[0, 0, 10, 10], [0, 0, 10, 10]], [3, -1], [True, True]),
        ([[500, 500, 510, 510]], [1], [True]),
    ],
    ids=["none", "padding", "not finite", "no area", "unknown class", "outside"],
)
def test_what_cannot_be_matched_is_background(rects, classes, valid):
    targets = encode(rects, classes, valid)
    np.testing.assert_array_equal(targets["cls"], np.zeros(4))
    np.testing.assert_array_equal(targets["box"], np.zeros((4, 4)))


def test_padding_changes_nothing():
    plain = encode([[0, 0, 9, 10]], [1], [True])
    padded = encode([[0, 0, 9, 10], [10, 0, 20, 10]], [1, 2], [True, False])
    for key in plain:
        np.testing.assert_array_equal(plain[key], padded[key])


def test_suppression_by_hand():
    """Two overlapping boxes of one class leave the better; another class is left alone."""
    rects = np.float32([[[0, 0, 10, 10], [0, 1, 10, 11], [50, 50, 60, 60], [0, 0, 10, 10]]])
    scores = np.float32([[[0.8, 0.0], [0.9, 0.0], [0.3, 0.0], [0.0, 0.7]]])
    found = decode.suppress(rects, scores, 0.2, 0.5, 5)
    np.testing.assert_array_equal(found["valid"], [[True, True, True, False, False]])
    np.testing.assert_allclose(found["scores"][0, :3], [0.9, 0.7, 0.3])
    np.testing.assert_array_equal(found["classes"][0, :3], [0, 1, 0])
    np.testing.assert_array_equal(found["boxes"][0, :3], rects[0, [1, 3, 2]])
    assert found["classes"].dtype == tf.int64


def loops_nms(rects, scores, score_threshold, iou_threshold):
    """[(score, class, prior)] by falling score, as loops."""
    kept = []
    iou = boxes.pairwise_iou(rects, rects).numpy()
    for k in range(scores.shape[1]):
        mine = []
        for n in np.argsort(-scores[:, k], kind="stable"):
            if scores[n, k] > score_threshold and all(iou[n, m] <= iou_threshold for m in mine):
                mine.append(n)
                kept.append((scores[n, k], k, n))
    return sorted(kept, reverse=True)


def test_suppression_equals_loops():
    draw = np.random.default_rng(0)
    low = draw.uniform(0, 60, (120, 2))
    rects = np.concatenate([low, low + draw.uniform(5, 40, (120, 2))], 1).astype("float32")
    scores = draw.uniform(0, 1, (120, 4)).astype("float32")
    found = decode.suppress(rects[None], scores[None], 0.3, 0.45, 480)
    expected = loops_nms(rects, scores, 0.3, 0.45)
    count = int(tf.reduce_sum(tf.cast(found["valid"], tf.int32)))
    assert count == len(expected)
    np.testing.assert_allclose(found["scores"][0, :count], [e[0] for e in expected])
    np.testing.assert_array_equal(found["classes"][0, :count], [e[1] for e in expected])
    np.testing.assert_array_equal(found["boxes"][0, :count], rects[[e[2] for e in expected]])


def test_decode_softmax_finds_the_object():
    """A confident prior with code 0 gives the prior's own box, clipped to the picture."""
    logits = np.zeros((1, 4, 4), np.float32)
    logits[:, :, 0] = 10.0
    logits[0, 3] = [0.0, 0.0, 12.0, 0.0]
    found = decode.decode_softmax(
        {"cls": logits, "box": np.zeros((1, 4, 4), np.float32)}, PRIORS, (15, 18), 0.5, 0.5, 3
    )
    np.testing.assert_array_equal(found["valid"], [[True, False, False]])
    np.testing.assert_array_equal(found["boxes"][0, 0], [0, 0, 15, 18])
    assert int(found["classes"][0, 0]) == 1
    np.testing.assert_allclose(found["scores"][0, 0], np.exp(12) / (np.exp(12) + 3), rtol=1e-6)


def test_nothing_found():
    outputs = {"cls": np.zeros((2, 4, 4), np.float32), "box": np.zeros((2, 4, 4), np.float32)}
    found = decode.decode_softmax(outputs, PRIORS, (20, 20), 0.9, 0.5, 7)
    assert found["boxes"].shape == (2, 7, 4)
    assert not found["valid"].numpy().any()
