"""Several classes per picture, and a class with its box: metrics by hand numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.sample import Sample
from convoy.models.boxes import in_picture
from convoy.pipeline.evaluation import localization, multilabel

NAMES = ("ant", "bee", "cat")


def sample(name="a", labels=(), boxes=(), classes=(), difficult=(), crowd=(), size=(100, 200)):
    return Sample(
        source_id=name,
        split="val",
        image=b"",
        height=size[0],
        width=size[1],
        labels=np.array(labels, np.int64),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int64),
        difficult=np.array(difficult, bool),
        crowd=np.array(crowd, bool),
    )


def test_truth_is_of_the_picture_and_its_objects():
    boxes = [[0, 0, 5, 5]] * 4
    found = multilabel.truth(sample(labels=[3], boxes=boxes, classes=[0, 1, 1, 2]), 5)
    assert found.tolist() == [1, 1, 1, 1, 0]
    hard = {"difficult": [False, True, False, False], "crowd": [False, False, False, True]}
    found = multilabel.truth(sample(boxes=boxes, classes=[0, 1, 1, 2], **hard), 5)
    assert found.tolist() == [1, 1, -1, 0, 0]


def test_multilabel_by_hand():
    """ant: ranks 1 and 3 of 4 are right: 1/2 + 1/2 * 2/3. bee: one is unknown, right comes last of
    3: 1/3. cat: no picture. Decisions: 3 said of which 2 are right, 3 true."""
    truth = np.array([[1, 0, 0], [0, -1, 0], [1, 0, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.8, 0.1], [0.8, 0.9, 0.1], [0.7, 0.3, 0.1], [0.1, 0.2, 0.1]])
    chosen = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = multilabel.multilabel_metrics(truth, scores, chosen, NAMES)
    assert found["per_class"]["ant"]["voc_AP"] == pytest.approx(1 / 2 + 1 / 3)
    assert found["per_class"]["bee"]["voc_AP"] == pytest.approx(1 / 3)
    assert found["per_class"]["cat"]["voc_AP"] is None
    assert found["voc_mAP"] == pytest.approx((5 / 6 + 1 / 3) / 2)
    # 11 points: recall 0 to 0.5 at precision 1, 0.6 to 1 at 2/3.
    assert found["per_class"]["ant"]["voc07_AP"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert found["exact_match"] == 0.5  # the first and the third; of the second only bee is unknown
    assert found["F1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["macro_F1"] == pytest.approx((2 * 2 / (3 + 2) + 0) / 2)
    assert found["per_class"]["ant"]["precision"] == pytest.approx(2 / 3)


def test_chance_of_many_pictures_is_the_part_that_holds_the_class():
    truth = np.zeros((4000, 1), np.int64)
    truth[::4] = multilabel.YES
    found = multilabel.multilabel_metrics(truth, np.zeros(truth.shape), truth == 2, ("ant",))
    assert found["chance_mAP"] == pytest.approx(0.25, abs=0.02)


def test_one_of_two_pictures_by_chance():
    """The one right picture comes first or second: (1 + 1/2) / 2."""
    truth = np.array([[1], [0]])
    found = multilabel.multilabel_metrics(truth, np.zeros((2, 1)), truth == 1, ("ant",))
    assert found["chance_mAP"] == pytest.approx(0.75, abs=0.15)
    assert found["exact_match"] == found["F1"] == 1.0


def test_localization_by_hand():
    """Right class and box; right box of the wrong class; right class, IoU 1/3; no object."""
    box = [10, 20, 50, 100]
    samples = [
        sample("a", boxes=[box, [0, 0, 1, 1]], classes=[0, 2]),
        sample("b", boxes=[[0, 0, 90, 90], box], classes=[2, 1], crowd=[True, False]),
        sample("c", boxes=[box], classes=[1]),
        sample("d"),
    ]
    said = [
        {"scores": np.array([0.8, 0.1, 0.1]), "box": np.array([10.0, 20, 50, 100])},
        {"scores": np.array([0.8, 0.1, 0.1]), "box": np.array([10.0, 20, 50, 60])},
        {"scores": np.array([0.1, 0.8, 0.1]), "box": np.array([10.0, 60, 50, 140])},
        {"scores": np.array([0.1, 0.8, 0.1]), "box": np.array([0.0, 0, 1, 1])},
    ]
    found = localization.localization_metrics(samples, said, NAMES)
    assert (found["pictures"], found["without_object"]) == (3, 1)
    assert found["top1"] == found["iou50"] == pytest.approx(2 / 3)
    assert found["loc_top1"] == pytest.approx(1 / 3)
    assert found["loc_top5"] == pytest.approx(2 / 3)
    assert found["mean_iou"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    # 40 of 200 px in one of four coordinates, then in two of four.
    assert found["box_error"] == pytest.approx((0 + 0.2 / 4 + 0.4 / 4) / 3)
    assert found["per_class"]["bee"]["loc_top1"] == 0.0
    assert found["per_class"]["cat"]["iou50"] is None


def test_no_pictures():
    nowhere = {"scores": np.zeros(3), "box": np.zeros(4)}
    found = localization.localization_metrics([sample()], [nowhere], NAMES)
    assert found["loc_top1"] is None
    empty = np.zeros((0, 3))
    found = multilabel.multilabel_metrics(empty, empty, empty.astype(bool), NAMES)
    assert found["voc_mAP"] is found["exact_match"] is found["F1"] is None


def test_boxes_come_back_to_the_picture():
    """The input is the picture halved and moved by (4, 6); what lies outside is cut."""
    matrix = np.array([[0.5, 0, 6], [0, 0.5, 4], [0, 0, 1]])
    boxes = np.array([[[4, 6, 14, 26], [0, 0, 400, 400]]], np.float32)
    found = in_picture(boxes, np.float32(matrix[None]), np.array([[100, 200]], np.int32))
    assert found[0].numpy().tolist() == [[0, 0, 20, 40], [0, 0, 100, 200]]
