import json

import numpy as np
import pytest

from convoy.pipeline.evaluation.classification import classification_metrics

NAMES = ["cat", "dog", "emu"]


def test_by_hand():
    labels = [0, 0, 1, 2]
    scores = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]]
    got = classification_metrics(labels, scores, NAMES)
    assert got["top1"] == 0.5
    assert got["top5"] == 1.0  # three classes: every class is among the best five
    assert got["confusion"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert got["per_class"]["cat"] == {
        "accuracy": 0.5, "precision": 0.5, "recall": 0.5, "F1": 0.5, "pictures": 2,
    }  # fmt: skip
    assert got["per_class"]["dog"]["precision"] == 0.5
    assert got["per_class"]["dog"]["F1"] == pytest.approx(2 / 3)
    assert got["per_class"]["emu"] == {
        "accuracy": 0.0, "precision": None, "recall": 0.0, "F1": 0.0, "pictures": 1,
    }  # fmt: skip


def test_top5_by_hand():
    scores = np.array([[9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4]])
    got = classification_metrics([4, 5], scores, list("abcdef"))
    assert (got["top1"], got["top5"]) == (0.0, 0.5)


def test_equal_scores_rank_the_lower_class_first():
    got = classification_metrics([0, 1, 5], np.zeros((3, 6)), list("abcdef"))
    assert got["top1"] == pytest.approx(1 / 3)
    assert got["top5"] == pytest.approx(2 / 3)


def test_top1_agrees_with_argmax():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 7, 500), rng.normal(size=(500, 7)).round(1)
    got = classification_metrics(labels, scores, list("abcdefg"))
    assert got["top1"] == pytest.approx((scores.argmax(1) == labels).mean())
    assert got["top1"] == pytest.approx(np.trace(got["confusion"]) / 500)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    assert got["top5"] == pytest.approx((best == labels[:, None]).any(1).mean())


def test_perfect_and_empty():
    labels = [0, 1, 2, 1]
    got = classification_metrics(labels, np.eye(3)[labels], NAMES)
    assert got["top1"] == got["top5"] == 1.0
    assert all(
        row[key] == 1.0
        for row in got["per_class"].values()
        for key in ("precision", "recall", "F1")
    )
    empty = classification_metrics(np.zeros(0, int), np.zeros((0, 3)), NAMES)
    assert empty["top1"] is None
    assert empty["confusion"] == [[0] * 3] * 3
    json.dumps([got, empty], allow_nan=False)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0], [[1.0, 2.0]], r"scores \[N, 3\]"),
        ([3], [[1.0, 2.0, 3.0]], "0..2"),
        ([0], [[1.0, np.nan, 3.0]], "scores of 1 pictures not finite"),
    ],
)
def test_wrong_input_is_refused(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(labels, scores, NAMES)
