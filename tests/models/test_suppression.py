"""Rules of suppression against loops in NumPy, TensorFlow's operations and numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from convoy.models.decode import suppress
from convoy.models.suppression import RULES, ranked

THRESHOLD, OVERLAP = 0.05, 0.4


def scene(seed: int, batch=2, rows=40, classes=3, own=1) -> tuple[np.ndarray, np.ndarray]:
    """Crowded boxes [B, N, own, 4] of 100 x 100 pixels, and scores [B, N, K]."""
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (batch, rows, own, 2))
    boxes = np.concatenate([corner, corner + random.uniform(15, 40, corner.shape)], -1)
    return boxes.astype("float32"), random.uniform(0, 1, (batch, rows, classes)).astype("float32")


def overlap(a, b, distance=False) -> float:
    sides = [max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    iou = sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1])
    if not distance:
        return iou
    around = [max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1)]
    apart = [(a[i] + a[i + 2] - b[i] - b[i + 2]) / 2 for i in (0, 1)]
    return iou - (apart[0] ** 2 + apart[1] ** 2) / (around[0] ** 2 + around[1] ** 2)


def by_loops(boxes, scores, rule, most) -> list[tuple[float, int, tuple]]:
    """(score, class, box) of one picture, best first; boxes [N, 1 or K, 4]."""
    rows, classes = scores.shape
    found = []
    for label in range(classes):
        waiting = {}
        for row in range(rows):
            box = boxes[row, label if boxes.shape[1] > 1 else 0].astype("float64")
            if rule != "agnostic" or label == scores[row].argmax():
                waiting[row, label] = [float(scores[row, label]), box]
        found.append(waiting)
    if rule == "agnostic":
        found = [{key: value for part in found for key, value in part.items()}]
    kept = []
    for waiting in found:
        for _ in range(most):
            waiting = {key: value for key, value in waiting.items() if value[0] > THRESHOLD}
            if not waiting:
                break
            best = max(waiting, key=lambda key: waiting[key][0])
            score, box = waiting.pop(best)
            kept.append((score, best[1], tuple(box)))
            for value in waiting.values():
                if rule == "soft":
                    value[0] *= math.exp(-(overlap(box, value[1]) ** 2) / 0.5)
                elif overlap(box, value[1], distance=rule == "diou") > OVERLAP:
                    value[0] = 0.0
    return sorted(kept, reverse=True)[:most]


@pytest.mark.parametrize("own", [1, 3], ids=["shared", "per class"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_equals_loops(rule, own):
    boxes, scores = scene(seed=own, own=own)
    most = 25
    found = ranked(boxes, scores, rule, THRESHOLD, OVERLAP, most, 400)
    for picture in range(len(boxes)):
        expected = by_loops(boxes[picture], scores[picture], rule, most)
        count = int(found["valid"][picture].numpy().sum())
        assert count == len(expected) > 5
        assert found["classes"][picture][:count].numpy().tolist() == [row[1] for row in expected]
        np.testing.assert_allclose(
            found["scores"][picture][:count], [row[0] for row in expected], rtol=1e-5
        )
        np.testing.assert_allclose(found["boxes"][picture][:count], [row[2] for row in expected])
        assert not np.any(found["boxes"][picture][count:])
        assert not np.any(found["scores"][picture][count:])


def test_hard_is_tensorflow_s():
    boxes, scores = scene(seed=5)
    expected = suppress(boxes, scores, THRESHOLD, OVERLAP, 30)
    found = ranked(boxes, scores, "hard", THRESHOLD, OVERLAP, 30, 400)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name])


def test_soft_is_tensorflow_s():
    """There the factor is exp(-IoU^2 / 2 sigma): sigma 0.25 is the paper's 0.5."""
    boxes, scores = scene(seed=6, batch=1, classes=1)
    places, expected, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=boxes[0, :, 0],
        scores=scores[0, :, 0],
        max_output_size=30,
        iou_threshold=1.0,
        score_threshold=THRESHOLD,
        soft_nms_sigma=0.25,
    )
    found = suppress(boxes, scores, THRESHOLD, OVERLAP, 30, "soft")
    assert int(count) == int(found["valid"].numpy().sum()) > 5
    np.testing.assert_allclose(found["scores"][0, : int(count)], expected, rtol=1e-5)
    np.testing.assert_allclose(found["boxes"][0, : int(count)], boxes[0][places.numpy(), 0])


def test_by_hand():
    """Two boxes 10 x 10, 5 apart in x: IoU 50 / 150, DIoU 1/3 - 25 / 325; another class' third."""
    boxes = np.float32([[[0, 0, 10, 10], [0, 5, 10, 15], [0, 0, 10, 10]]])
    scores = np.float32([[[0.9, 0.0], [0.8, 0.0], [0.0, 0.7]]])

    def kept(rule, iou_threshold):
        found = suppress(boxes, scores, 0.01, iou_threshold, 5, rule)
        assert found["scores"].shape == (1, 5)
        return found["scores"][0].numpy()[found["valid"][0].numpy()].tolist()

    assert kept("hard", 0.3) == pytest.approx([0.9, 0.7])
    assert kept("diou", 0.3) == pytest.approx([0.9, 0.8, 0.7])  # 0.256 is below
    assert kept("diou", 0.25) == pytest.approx([0.9, 0.7])
    assert kept("soft", 0.3) == pytest.approx([0.9, 0.7, 0.8 * math.exp(-2 / 9)])
    assert kept("agnostic", 0.3) == pytest.approx([0.9])
    assert kept("agnostic", 0.5) == pytest.approx([0.9, 0.8])


@pytest.mark.parametrize("rule", RULES)
def test_nothing_above_the_threshold(rule):
    boxes, scores = scene(seed=1)
    found = suppress(boxes, scores * 1e-3, THRESHOLD, OVERLAP, 7, rule)
    assert not np.any(found["valid"])
    assert found["boxes"].shape == (2, 7, 4)
    assert not np.any(found["boxes"])


@pytest.mark.parametrize("rule", RULES)
def test_in_a_graph_of_any_batch(rule):
    boxes, scores = scene(seed=2)
    traced = tf.function(
        lambda a, b: suppress(a, b, THRESHOLD, OVERLAP, 9, rule),
        input_signature=[tf.TensorSpec((None, 40, 1, 4)), tf.TensorSpec((None, 40, 3))],
    )
    expected = suppress(boxes, scores, THRESHOLD, OVERLAP, 9, rule)
    for name, value in traced(boxes, scores).items():
        np.testing.assert_allclose(value, expected[name])
