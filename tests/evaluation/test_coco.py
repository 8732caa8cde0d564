"""COCO numbers: by hand, and against a brute-force NumPy evaluation."""

import json

import numpy as np
import pytest

from convoy.pipeline.evaluation.coco import KEYS, coco_metrics
from tests.evaluation.build import found, random_set, sample

A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [100, 100, 150, 150]


def test_one_hit_one_miss_by_hand():
    samples = [sample("a", [A, C], [0, 0])]
    got = coco_metrics(samples, [found("a", [A], [0], [0.9])], ["x"])
    # Recall reaches 1/2 at precision 1: 51 of the 101 recall points 0, .01, .. 1.
    assert got["AP50"] == got["AP"] == pytest.approx(51 / 101)
    assert got["AR1"] == got["AR100"] == pytest.approx(1 / 2)
    assert got["APs"] == pytest.approx(1)  # A is the only small object
    assert got["APm"] == pytest.approx(0)  # C, 50 pixels wide, is medium and missed
    assert got["APl"] is None
    assert got["per_class"]["x"]["AP50"] == pytest.approx(51 / 101)


def test_thresholds_by_hand():
    # IoU 0.8: a hit at 0.50, 0.55, .. 0.80 - seven of the ten thresholds.
    samples = [sample("a", [[0, 0, 10, 10]], [0])]
    got = coco_metrics(samples, [found("a", [[0, 0, 10, 8]], [0], [0.9])], ["x"])
    assert got["AP"] == pytest.approx(0.7)
    assert (got["AP50"], got["AP75"]) == (pytest.approx(1), pytest.approx(1))


def test_difficult_is_ignored():
    samples = [sample("a", [A, B], [0, 0], difficult=[True, False])]
    both = coco_metrics(samples, [found("a", [A, B], [0, 0], [0.9, 0.8])], ["x"])
    missed = coco_metrics(samples, [found("a", [B], [0], [0.8])], ["x"])
    assert both["AP"] == missed["AP"] == pytest.approx(1)
    # The overlap with a difficult object is ordinary IoU: a small box inside one is wrong.
    inside = found("a", [[0, 0, 5, 5], B], [0, 0], [0.9, 0.8])
    assert coco_metrics(samples, [inside], ["x"])["AP50"] == pytest.approx(1 / 2)


def test_inverted_box_is_wrong_not_ignored():
    truth = [sample("a", [A], [0])]
    detections = [found("a", [[50, 50, 40, 60], A], [0, 0], [0.9, 0.8])]
    assert coco_metrics(truth, detections, ["x"])["AP"] == pytest.approx(1 / 2)


def test_crowd_is_ignored_however_often():
    samples = [sample("a", [[0, 0, 100, 100], C], [0, 0], crowd=[True, False])]
    detections = [found("a", [A, B, C], [0, 0, 0], [0.9, 0.8, 0.7])]
    assert coco_metrics(samples, detections, ["x"])["AP"] == pytest.approx(1)


def test_empty_cases(capsys):
    truth = [sample("a", [A], [0])]
    assert coco_metrics(truth, [], ["x"])["AP"] == 0
    assert coco_metrics([], [], ["x"])["AP"] is None
    nothing = coco_metrics([sample("a", [], [])], [found("a", [A], [0], [0.9])], ["x"])
    assert [nothing[key] for key in KEYS] == [None] * 12
    absent = coco_metrics(truth, [found("a", [A, B], [0, 1], [0.9, 0.8])], ["x", "absent"])
    assert absent["AP"] == pytest.approx(1)
    assert absent["per_class"]["absent"] == {"AP": None, "AP50": None}
    assert capsys.readouterr().out == ""


def test_perfect_detections():
    samples, _ = random_set(7)
    detections = [
        found(s.source_id, s.boxes, s.classes, np.full(len(s.boxes), 0.9)) for s in samples
    ]
    got = coco_metrics(samples, detections, ["a", "b", "c"])
    for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100", "ARs", "ARm", "ARl"):
        assert got[key] == pytest.approx(1), key
    json.dumps(got, allow_nan=False)


def _shared(a, b):
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    return height * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def _area(a):
    return max(a[2] - a[0], 0) * max(a[3] - a[1], 0)


def _iou(a, b):
    return _shared(a, b) / (_area(a) + _area(b) - _shared(a, b))


def _inside(a, crowd):
    return _shared(a, crowd) / _area(a) if _area(a) else 0.0


def _ap(samples, detections, k, threshold):
    """AP of one class at one threshold by loops, every size, at most 100 detections a picture."""
    outcomes, total = [], 0
    for truth, said in zip(samples, detections, strict=True):
        objects = [
            (box.astype(float), bool(d), bool(c))
            for box, own, d, c in zip(
                truth.boxes, truth.classes, truth.difficult, truth.crowd, strict=True
            )
            if own == k
        ]
        total += sum(not d and not c for _, d, c in objects)
        taken = set()
        for box, score, own in zip(said.boxes, said.scores, said.classes, strict=True):
            if own != k:
                continue
            box = box.astype(float)
            ious = [_inside(box, o) if c else _iou(box, o) for o, _, c in objects]
            fits = [n for n, iou in enumerate(ious) if iou >= threshold and n not in taken]
            real = [n for n in fits if not objects[n][1] and not objects[n][2]]
            best = max(real or fits, key=lambda n: ious[n], default=None)
            if best is None:
                outcomes.append((-score, 0))
                continue
            if not objects[best][2]:
                taken.add(best)
            if real:
                outcomes.append((-score, 1))
    if not total:
        return None
    hits = np.cumsum([hit for _, hit in sorted(outcomes, key=lambda o: o[0])])
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    points = np.linspace(0, 1, 101)
    return np.mean([precision[recall >= t].max(initial=0) for t in points])


@pytest.mark.parametrize("seed", range(3))
def test_against_brute_force(seed):
    samples, detections = random_set(seed)
    got = coco_metrics(samples, detections, ["a", "b", "c"])
    thresholds = np.linspace(0.5, 0.95, 10)
    table = np.array([[_ap(samples, detections, k, t) for t in thresholds] for k in range(3)])
    assert got["AP50"] == pytest.approx(table[:, 0].mean())
    assert got["AP75"] == pytest.approx(table[:, 5].mean())
    assert got["AP"] == pytest.approx(table.mean())
    for k, name in enumerate("abc"):
        assert got["per_class"][name]["AP"] == pytest.approx(table[k].mean())
        assert got["per_class"][name]["AP50"] == pytest.approx(table[k, 0])
