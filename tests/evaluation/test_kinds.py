"""Errors by kind: a picture made by hand for each, costs worked out on paper, sums that agree."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.pipeline.evaluation import kinds
from convoy.pipeline.evaluation.kinds import KINDS, Kinds, errors_by_kind
from convoy.pipeline.evaluation.matching import FALSE, match
from convoy.pipeline.evaluation.voc import voc_metrics
from tests.evaluation.build import found, random_set, sample

LABELS = ("ant", "bee")
OBJECT = [0, 0, 100, 100]
# Overlaps with OBJECT: 0.8, 0.3 and 0.05 of its area, all inside it.
NEAR, HALF, FAR = [0, 0, 100, 80], [0, 0, 100, 30], [0, 0, 50, 10]


def errors(samples, detections) -> dict:
    return errors_by_kind(samples, detections, LABELS)


def one(boxes, classes, scores, truth=(OBJECT,), truth_classes=(0,), **flags) -> dict:
    """{kind: count over all classes}, without the zeros, of one picture."""
    result = errors(
        [sample("p", list(truth), list(truth_classes), **flags)],
        [found("p", boxes, classes, scores)],
    )
    rows = result["per_class"].values()
    total = {kind: sum(row[kind] for row in rows) for kind in KINDS}
    return {kind: count for kind, count in total.items() if count}


@pytest.mark.parametrize(
    ("box", "label", "expected"),
    [
        (NEAR, 0, {}),
        (NEAR, 1, {"class": 1}),  # with its class put right it finds the object: not missed
        (HALF, 0, {"place": 1}),
        (HALF, 1, {"both": 1, "missed": 1}),
        (FAR, 0, {"background": 1, "missed": 1}),
        (FAR, 1, {"background": 1, "missed": 1}),
        ([0, 0, 100, 50], 0, {}),  # t_f itself is foreground
        ([0, 0, 100, 10], 0, {"place": 1}),  # and t_b no background
        ([100, 100, 120, 120], 0, {"background": 1, "missed": 1}),
    ],
)
def test_one_detection_of_one_object(box, label, expected):
    assert one([box], [label], [0.9]) == expected


def test_nothing_found_and_nothing_there():
    assert one([], [], []) == {"missed": 1}
    assert one([NEAR], [0], [0.9], truth=(), truth_classes=()) == {"background": 1}
    assert one([], [], [], truth=(), truth_classes=()) == {}


def test_the_second_detection_of_an_object_is_the_duplicate():
    assert one([NEAR, OBJECT], [0, 0], [0.8, 0.9]) == {"duplicate": 1}
    assert one([NEAR, OBJECT, NEAR], [0, 0, 0], [0.8, 0.9, 0.7]) == {"duplicate": 2}


def test_where_two_kinds_fit():
    """A bee beside the ant: what is near explains before what is far."""
    both = {"truth": (OBJECT, [0, 60, 100, 160]), "truth_classes": (0, 1)}
    ant = [0, 0, 100, 100]
    # 0.25 with its own class, 1.0 with the other.
    assert one([ant, ant], [0, 1], [0.9, 0.8], **both) == {"class": 1, "missed": 1}
    # An ant found twice; the second overlaps the bee by 72/128, the ant by 68/132.
    second = [0, 32, 100, 132]
    assert one([ant, second], [0, 0], [0.9, 0.8], **both) == {"class": 1}
    # The second overlaps the ant by 80/120 and the bee by 60/140.
    second = [0, 20, 100, 120]
    assert one([ant, second], [0, 0], [0.9, 0.8], **both) == {"duplicate": 1, "missed": 1}
    # 0.3 with its own class and 0.3 with the other: a matter of place.
    twice = {"truth": (OBJECT, OBJECT), "truth_classes": (0, 1)}
    assert one([HALF], [0], [0.9], **twice) == {"place": 1, "missed": 1}


@pytest.mark.parametrize("flag", ["difficult", "crowd"])
def test_difficult_and_crowd_objects_explain_nothing_and_are_never_missed(flag):
    hard = {flag: [True]}
    assert one([], [], [], **hard) == {}
    assert one([NEAR, NEAR], [0, 0], [0.9, 0.8], **hard) == {}  # ignored, however often
    assert one([NEAR], [1], [0.9], **hard) == {"background": 1}
    inside_the_crowd = {"place": 0} if flag == "crowd" else {"background": 1}
    expected = {kind: count for kind, count in inside_the_crowd.items() if count}
    assert one([HALF], [0], [0.9], **hard) == expected


def test_costs_by_hand():
    """Four ants and a bee; by falling score: an ant found, nothing, a place, a bee called ant.

    Ants: right at 1 of 4 objects, then three wrong: AP = 1/4. The bee: 0. The mean is 1/8.
    """
    samples = [sample(f"p{n}", [OBJECT], [0]) for n in range(4)] + [sample("b", [OBJECT], [1])]
    detections = [
        found("p0", [OBJECT, [150, 150, 170, 170]], [0, 0], [0.9, 0.8]),
        found("p1", [HALF], [0], [0.7]),
        found("b", [OBJECT], [0], [0.6]),
    ]
    assert voc_metrics(samples, detections, LABELS)["voc_mAP"] == pytest.approx(1 / 8)
    result = errors(samples, detections)
    assert result["per_class"] == {
        "ant": {**dict.fromkeys(KINDS, 0), "class": 1, "place": 1, "background": 1, "missed": 2},
        "bee": dict.fromkeys(KINDS, 0),
    }
    ants = {
        "class": (1 / 4 + 1) / 2,  # the bee is found alone: AP 1
        "place": (1 / 4 + 1 / 4 * 2 / 3) / 2,  # the second right one is the third of three
        "both": 1 / 8,
        "duplicate": 1 / 8,
        "background": 1 / 8,  # it comes after the only right one
        "missed": 1 / 2 / 2,  # one right of two
    }
    expected = {kind: value - 1 / 8 for kind, value in ants.items()}
    assert result["AP50_cost"] == pytest.approx(expected)


def test_leaving_out_costs_by_hand():
    """By falling score: a false one, a right one, its duplicate, a right one: 2 ants of 2.

    Precisions 1/2 and 2/4: AP 1/2. Without the false one 1 and 2/3; without the duplicate 1/2 and
    2/3, whose envelope is 2/3.
    """
    samples = [sample("p0", [OBJECT], [0]), sample("p1", [OBJECT], [0])]
    detections = [
        found("p0", [[150, 150, 190, 190], OBJECT, NEAR], [0, 0, 0], [0.9, 0.8, 0.7]),
        found("p1", [NEAR], [0], [0.6]),
    ]
    costs = errors(samples, detections)["AP50_cost"]
    expected = {"background": (1 + 2 / 3) / 2 - 1 / 2, "duplicate": 2 / 3 - 1 / 2}
    assert costs == pytest.approx({**dict.fromkeys(KINDS, 0.0), **expected})


def test_an_object_is_put_right_once():
    """Two detections of another class on one object: mended, the second would be a duplicate.

    The object that another one found is not found again.
    """
    samples = [sample("p", [OBJECT], [0])]
    wrong = [found("p", [NEAR, OBJECT], [1, 1], [0.9, 0.8])]
    result = errors(samples, wrong)
    assert result["per_class"]["bee"]["class"] == 2
    assert result["AP50_cost"]["class"] == 1.0
    right_too = [found("p", [NEAR, OBJECT], [1, 0], [0.9, 0.8])]
    assert errors(samples, right_too)["AP50_cost"]["class"] == 0.0


def test_what_was_never_found_costs_all():
    samples = [sample("p", [OBJECT], [0])]
    costs = errors(samples, [found("p", [], [], [])])["AP50_cost"]
    assert costs == {**dict.fromkeys(KINDS, 0.0), "missed": 1.0}
    assert errors([sample("p", [], [])], [])["AP50_cost"] == dict.fromkeys(KINDS)


def test_a_threshold_hides_detections_and_uncovers_objects():
    told = Kinds(2)
    told.update(sample("p", [OBJECT], [0]), found("p", [NEAR, FAR], [0, 1], [0.4, 0.6]))
    row = dict.fromkeys(KINDS, 0)
    as_rows = [dict(zip(KINDS, r, strict=True)) for r in told.counts([0.5, 0.5]).tolist()]
    assert as_rows == [{**row, "missed": 1}, {**row, "background": 1}]
    assert told.counts([0.4, 0.7]).sum() == 0
    assert told.counts(0.0)[0].sum() == 0


@pytest.mark.parametrize("seed", range(5))
def test_kinds_are_all_the_false_detections(seed):
    """As VOC's rule counts them; each kind is at least as good to mend as to leave."""
    samples, detections = random_set(seed)
    labels = ("a", "b", "c")
    told = Kinds(3)
    for item, answered in zip(samples, detections, strict=True):
        told.update(item, answered)
    matches = match(samples, detections, 3)
    false = [
        np.count_nonzero((matches.outcomes == FALSE) & (matches.classes == k)) for k in (0, 1, 2)
    ]
    assert told.counts()[:, : kinds.MISSED].sum(axis=1).tolist() == false
    assert min(told.costs().values()) >= 0
    assert {kind for kind in KINDS if told.counts()[:, KINDS.index(kind)].sum()} == set(KINDS)
    # A threshold later is the same as detections that were never made.
    least = 0.4
    fewer = [
        found(d.source_id, d.boxes[s], d.classes[s], d.scores[s])
        for d in detections
        for s in [d.scores >= least]
    ]
    alone = errors_by_kind(samples, fewer, labels)["per_class"]
    assert [list(row.values()) for row in alone.values()] == told.counts(least).tolist()
