import numpy as np
import pytest

from convoy.pipeline.evaluation.confusion import detection_confusion, operating_points
from convoy.pipeline.evaluation.matching import match
from tests.evaluation.build import found, random_set, sample

A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [100, 100, 150, 150]
LABELS = ["cat", "dog"]


def test_matrix_by_hand():
    samples = [sample("a", [A, B, C], [0, 0, 1])]
    detections = [
        # A right; B taken for a dog; A again: nothing left to take; noise below the threshold.
        found("a", [A, B, A, C], [0, 1, 0, 1], [0.9, 0.8, 0.7, 0.4])
    ]
    got = detection_confusion(samples, detections, LABELS, iou=0.5, score=0.5)
    assert got.labels == ("cat", "dog", "background")
    # Rows: cat (A right, B called dog), dog (C missed), background (the duplicate).
    assert got.counts.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert "IoU ≥ 0.50, score ≥ 0.50" in got.definition


def test_thresholds_of_each_class():
    samples = [sample("a", [A, C], [0, 1])]
    detections = [found("a", [A, C], [0, 1], [0.6, 0.4])]
    got = detection_confusion(samples, detections, LABELS, score=[0.7, 0.3])
    assert got.counts.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert "own threshold" in got.definition


def test_higher_score_takes_first_and_then_higher_overlap():
    samples = [sample("a", [A, [0, 0, 10, 12]], [0, 1])]
    detections = [found("a", [A, A], [1, 1], [0.8, 0.9])]  # scores out of order on purpose
    got = detection_confusion(samples, detections, LABELS)
    assert got.counts.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_equally_near_objects_prefer_their_own_class():
    samples = [sample("a", [A, A], [0, 1])]
    got = detection_confusion(samples, [found("a", [A, A], [1, 0], [0.9, 0.8])], LABELS)
    assert got.counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_difficult_and_crowd_do_not_count():
    samples = [
        sample("a", [A, [0, 0, 100, 100]], [0, 0], difficult=[1, 0], crowd=[0, 1]),
        sample("b", [C], [1], difficult=[1]),
    ]
    detections = [found("a", [A, A, B], [0, 1, 0], [0.9, 0.8, 0.7])]
    assert detection_confusion(samples, detections, LABELS).counts.sum() == 0


def test_empty_and_perfect():
    assert detection_confusion([], [], LABELS).counts.tolist() == [[0] * 3] * 3
    samples, _ = random_set(1, flags=False)
    detections = [found(s.source_id, s.boxes, s.classes, np.ones(len(s.boxes))) for s in samples]
    got = detection_confusion(samples, detections, "abc").counts
    assert got.tolist() == np.diag(np.diagonal(got)).tolist()
    assert got.sum() == sum(len(s.boxes) for s in samples)


def test_totals_agree_with_the_data():
    samples, detections = random_set(2, flags=False)
    got = detection_confusion(samples, detections, "abc", score=0.3).counts
    truth = np.bincount(np.concatenate([s.classes for s in samples]), minlength=3)
    kept = np.concatenate([d.classes[d.scores >= 0.3] for d in detections])
    assert got[:3].sum(axis=1).tolist() == truth.tolist()
    assert got[:, :3].sum(axis=0).tolist() == np.bincount(kept, minlength=3).tolist()


def test_operating_point_by_hand():
    samples = [sample("a", [A, B, C], [0, 0, 1])]
    detections = [found("a", [A, C, B, B], [0, 0, 0, 0], [0.9, 0.75, 0.5, 0.25])]
    got = operating_points(match(samples, detections, 2), LABELS)
    # F1 after each: 2/3, 1/2, 4/5, 2/3.
    assert got["cat"] == pytest.approx(
        {"threshold": 0.5, "precision": 2 / 3, "recall": 1.0, "F1": 0.8}
    )
    assert got["dog"] is None


def test_operating_point_keeps_equal_scores_together():
    samples = [sample("a", [A], [0])]
    detections = [found("a", [A, B, C], [0, 0, 0], [0.5, 0.5, 0.25])]
    got = operating_points(match(samples, detections, 1), ["cat"])["cat"]
    # A threshold cannot part the first two: precision is 1/2, not 1.
    assert got == pytest.approx({"threshold": 0.5, "precision": 0.5, "recall": 1.0, "F1": 2 / 3})
