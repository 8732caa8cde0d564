"""VOC AP: hand numbers, and a plain loop written after VOCevaldet.m as second implementation."""

import json

import numpy as np
import pytest

from convoy.pipeline.evaluation.matching import FALSE, IGNORED, TRUE, match, overlap, pair
from convoy.pipeline.evaluation.voc import ap_11_point, ap_area, pr_curve, voc_metrics
from tests.evaluation.build import found, random_set, sample

A, B, C = [0, 0, 10, 10], [20, 20, 40, 40], [100, 100, 150, 150]


def test_overlap_by_hand():
    # 10x10 and the same moved by 5: 50 shared, 150 together.
    got = overlap([[0, 0, 10, 10], [0, 0, 0, 0]], [[0, 5, 10, 15], [0, 0, 5, 10], [20, 0, 30, 10]])
    np.testing.assert_allclose(got, [[1 / 3, 1 / 2, 0], [0, 0, 0]])
    # Against a crowd: the part of the detection that lies inside it.
    np.testing.assert_allclose(overlap([[0, 0, 10, 10]], [[0, 5, 100, 100]], [True]), [[0.5]])


def test_inclusive_corners_are_in_the_boxes():
    # VOC's inclusive corners (1, 1, 10, 10) and (1, 6, 10, 15): width 10, shared 5 -> 50 / 150.
    # The readers make them [0, 0, 10, 10] and [0, 5, 10, 15].
    assert overlap([[0, 0, 10, 10]], [[0, 5, 10, 15]])[0, 0] == pytest.approx(1 / 3)


def test_aps_by_hand():
    # Outcomes T F T F T of 4 objects.
    precision = np.array([1, 1 / 2, 2 / 3, 2 / 4, 3 / 5])
    recall = np.array([1, 1, 2, 2, 3]) / 4
    # Recall 0, .1, .2 -> 1; .3, .4, .5 -> 2/3; .6, .7 -> 3/5; .8, .9, 1 -> 0.
    assert ap_11_point(recall, precision) == pytest.approx((3 + 2 + 1.2) / 11)
    # 1/4 each at 1, 2/3 and 3/5.
    assert ap_area(recall, precision) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)


def test_11_points_count_a_recall_of_exactly_three_tenths():
    recall = np.array([1, 2, 3]) / 10
    assert ap_11_point(recall, np.ones(3)) == pytest.approx(4 / 11)


def test_curve_of_hits_duplicate_and_noise():
    samples = [sample("a", [A, B], [0, 0]), sample("b", [C], [0])]
    detections = [
        found("a", [A, A, B], [0, 0, 0], [0.9, 0.8, 0.5]),
        found("b", [A, C], [0, 0], [0.7, 0.6]),
    ]
    matches = match(samples, detections, 1)
    assert matches.outcomes.tolist() == [TRUE, FALSE, FALSE, TRUE, TRUE]
    curve = pr_curve(matches, 0)
    np.testing.assert_allclose(curve.scores, [0.9, 0.8, 0.7, 0.6, 0.5], rtol=1e-6)
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 1 / 3, 2 / 4, 3 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 3, 1 / 3, 1 / 3, 2 / 3, 1])


def test_difficult_is_neither_right_nor_wrong_nor_missed():
    samples = [sample("a", [A, B], [0, 0], difficult=[True, False])]
    detections = [found("a", [A, A, B], [0, 0, 0], [0.9, 0.8, 0.7])]
    matches = match(samples, detections, 1)
    assert matches.outcomes.tolist() == [IGNORED, IGNORED, TRUE]
    assert matches.num_truth.tolist() == [1]
    assert voc_metrics(samples, detections, ["x"])["voc_mAP"] == 1.0


def test_duplicate_takes_the_nearest_object_even_if_another_is_free():
    # The second detection is nearer to A, which is taken: VOC counts it as wrong although it
    # overlaps the free object by more than one half as well.
    near = [0, 0, 10, 12]
    samples = [sample("a", [A, [0, 0, 10, 14]], [0, 0])]
    detections = [found("a", [A, [0, 0, 10, 11]], [0, 0], [0.9, 0.8])]
    assert overlap([near], [[0, 0, 10, 14]])[0, 0] > 0.5
    assert match(samples, detections, 1).outcomes.tolist() == [TRUE, FALSE]


def test_crowd_swallows_what_lies_inside():
    samples = [sample("a", [[0, 0, 100, 100], C], [0, 0], crowd=[True, False])]
    detections = [found("a", [A, B, C, [95, 0, 115, 10]], [0] * 4, [0.9, 0.8, 0.7, 0.6])]
    # The last has only a quarter of its area inside the crowd.
    assert match(samples, detections, 1).outcomes.tolist() == [IGNORED, IGNORED, TRUE, FALSE]


def test_overlap_of_exactly_one_half_is_a_hit():
    samples = [sample("a", [[0, 0, 10, 20]], [0])]
    assert match(samples, [found("a", [A], [0], [0.9])], 1).outcomes.tolist() == [TRUE]


def test_empty_cases():
    truth = [sample("a", [A], [0])]
    assert voc_metrics(truth, [], ["x"])["voc_mAP"] == 0.0
    assert voc_metrics([], [], ["x"])["voc_mAP"] is None
    assert voc_metrics([sample("a", [], [])], [found("a", [A], [0], [0.9])], ["x"]) == {
        "voc07_mAP": None,
        "voc_mAP": None,
        "per_class": {"x": {"voc07_AP": None, "voc_AP": None, "objects": 0, "detections": 1}},
    }
    # An absent class does not enter the mean.
    got = voc_metrics(truth, [found("a", [A, B], [0, 1], [0.9, 0.8])], ["x", "absent"])
    assert got["voc_mAP"] == 1.0
    assert got["per_class"]["absent"]["voc_AP"] is None


def test_wrong_input_is_refused():
    truth = [sample("a", [A], [0])]
    with pytest.raises(ValueError, match="without truth, as 'b'"):
        pair(truth, [found("b", [A], [0], [1])], 1)
    with pytest.raises(ValueError, match=r"a: a detection has class 3; expected 0\.\.0"):
        pair(truth, [found("a", [A], [3], [1])], 1)
    with pytest.raises(ValueError, match="sample 'a' came twice"):
        pair(truth * 2, [], 1)
    with pytest.raises(ValueError, match="detections of 'a' came twice"):
        pair(truth, [found("a", [], [], [])] * 2, 1)


def _devkit_ap(samples, detections, k, year):
    """VOCevaldet.m and VOCap.m as loops; without crowds."""
    lines = [
        (-float(score), number, n, box)
        for number, d in enumerate(detections)
        for n, (box, score, c) in enumerate(zip(d.boxes, d.scores, d.classes, strict=True))
        if c == k
    ]
    lines.sort(key=lambda line: line[:3])
    total = sum(
        int(c == k and not d) for s in samples for c, d in zip(s.classes, s.difficult, strict=True)
    )
    if not total:
        return None
    taken, true, false, points = set(), 0, 0, []
    for _, number, _, box in lines:
        best, best_object = -1.0, None
        for n, (other, c) in enumerate(
            zip(samples[number].boxes, samples[number].classes, strict=True)
        ):
            if c != k:
                continue
            height = min(box[2], other[2]) - max(box[0], other[0])
            width = min(box[3], other[3]) - max(box[1], other[1])
            if height > 0 and width > 0:
                area = (box[2] - box[0]) * (box[3] - box[1])
                other_area = (other[2] - other[0]) * (other[3] - other[1])
                iou = height * width / (area + other_area - height * width)
                if iou > best:
                    best, best_object = iou, n
        if best >= 0.5:
            if samples[number].difficult[best_object]:
                continue
            if (number, best_object) in taken:
                false += 1
            else:
                taken.add((number, best_object))
                true += 1
        else:
            false += 1
        points.append((true / total, true / (true + false)))
    if year == 2007:
        return sum(max([p for r, p in points if r >= t / 10], default=0) for t in range(11)) / 11
    area, last = 0.0, 0.0
    for i, (r, _) in enumerate(points):
        area += (r - last) * max(p for _, p in points[i:])
        last = r
    return area


@pytest.mark.parametrize("seed", range(5))
def test_against_a_plain_loop(seed):
    samples, detections = random_set(seed)
    samples = [sample(s.source_id, s.boxes, s.classes, s.difficult) for s in samples]
    got = voc_metrics(samples, detections, ["a", "b", "c"])["per_class"]
    for k, name in enumerate("abc"):
        assert got[name]["voc07_AP"] == pytest.approx(_devkit_ap(samples, detections, k, 2007))
        assert got[name]["voc_AP"] == pytest.approx(_devkit_ap(samples, detections, k, 2010))


def test_perfect_detections():
    samples, _ = random_set(7)
    detections = [
        found(s.source_id, s.boxes, s.classes, np.linspace(1, 0.5, len(s.boxes))) for s in samples
    ]
    got = voc_metrics(samples, detections, ["a", "b", "c"])
    assert (got["voc07_mAP"], got["voc_mAP"]) == (pytest.approx(1), pytest.approx(1))
    json.dumps(got, allow_nan=False)
