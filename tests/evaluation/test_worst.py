"""Which pictures are worst: by hand, and against the numbers that the evaluation itself counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convoy.data.sample import Sample
from convoy.models.tasks import TASKS
from convoy.pipeline import tasks
from convoy.pipeline.evaluation import operating, worst
from convoy.pipeline.evaluation.kinds import Kinds
from convoy.pipeline.evaluation.records import Detections
from convoy.pipeline.tools import worst as drawing
from tests.evaluation.answers import ANSWERS, LABELS, PROPERTIES, sample

DETECTOR = next(name for name, row in TASKS.items() if row.tiles == "boxes")


def picture(name: str, boxes, classes) -> Sample:
    flags = np.zeros(len(boxes), bool)
    boxes, classes = np.float32(boxes).reshape(-1, 4), np.int64(classes)
    return Sample(
        name, "val", b"", 100, 100, boxes=boxes, classes=classes, difficult=flags, crowd=flags
    )


def judge(samples, lines, labels=LABELS, task=DETECTOR) -> worst.Judged:
    stated = [(7 * n, {"source_id": s.source_id, **row})
              for n, (s, row) in enumerate(zip(samples, lines, strict=True))]  # fmt: skip
    return worst.judge(task, labels, stated, samples)


def line(*found) -> dict:
    boxes, scores, classes = zip(*found, strict=True) if found else ((), (), ())
    return {"boxes": boxes, "scores": scores, "classes": classes}


BOX, FAR, SHIFTED = [10, 10, 50, 50], [60, 60, 90, 90], [30, 10, 70, 50]
SAMPLES = [picture("a", [BOX], [1]), picture("b", [BOX, FAR], [0, 2]), picture("c", [], [])]
# a: right at 0.8, again at 0.3. b: its first object taken for class 1 at 0.9, the second by
# nothing, and at 0.4 a box of class 0 that shares a third with the first. c: of nothing at 0.6.
LINES = [
    line((BOX, 0.8, 1), (BOX, 0.3, 1)),
    line((BOX, 0.9, 1), (SHIFTED, 0.4, 0)),
    line((BOX, 0.6, 2)),
]


def test_by_hand():
    judged = judge(SAMPLES, LINES)
    assert judged.counts(0.5) == {
        **{"class": 1, "place": 0, "both": 0, "duplicate": 0, "background": 1, "missed": 1}
    }
    assert judged.counts(0.2)["duplicate"] == 1
    # The object of b that was taken for another class is nearly found: the other one is missed.
    bad = worst.ranked(judged, 0.5)
    assert [(one.source_id, one.index) for one in bad] == [("b", 1), ("c", 2)]
    assert bad[0].by_kind == pytest.approx({"class": 0.9, "missed": 1.0})
    assert [one.amount for one in bad] == pytest.approx([1.9, 0.6])
    assert [one.source_id for one in worst.ranked(judged, 0.85)] == ["b", "a"]
    assert [one.amount for one in worst.ranked(judged, 0.85)] == pytest.approx([1.9, 1.0])
    assert [one.source_id for one in worst.ranked(judged, 0.2, "duplicate")] == ["a"]
    assert worst.ranked(judged, 0.2, most=1)[0].source_id == "b"
    assert judged.lines.tolist() == [0, 7, 14]
    with pytest.raises(ValueError, match="no kind of error is called 'blur'"):
        worst.ranked(judged, 0.5, "blur")


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.75])
def test_as_the_evaluation_counts(threshold):
    """Of random boxes, errors by kind are those of evaluation/kinds.py, at any threshold."""
    rng = np.random.default_rng(0)
    samples, lines, kinds = [], [], Kinds(len(LABELS))
    for n in range(40):
        near, count = rng.uniform(0, 50, (6, 2)), rng.integers(0, 4)
        boxes = np.hstack([near, near + rng.uniform(20, 50, (6, 2))]).round()
        classes = rng.integers(0, 3, 6)
        samples.append(picture(str(n), boxes[:count], classes[:count]))
        moved = boxes + rng.uniform(-8, 8, (6, 4)).round()
        lines.append(line(*zip(moved.tolist(), rng.uniform(0, 1, 6).round(3).tolist(),
                               rng.integers(0, 3, 6).tolist(), strict=True)))  # fmt: skip
        found = [np.array(lines[-1][key]) for key in ("boxes", "scores", "classes")]
        kinds.update(samples[-1], Detections("", found[0], np.float32(found[1]), found[2]))
    total = dict(zip(tasks.of(DETECTOR).ERRORS, kinds.counts(threshold).sum(0).tolist(),
                     strict=True))  # fmt: skip
    assert judge(samples, lines).counts(threshold) == total
    assert sum(total.values()) > 40


def test_a_class_by_hand():
    samples = [sample("a", 1), sample("b", 0)]
    lines = [{"scores": [0.1, 0.7, 0.2]}, {"scores": [0.05, 0.35, 0.6]}]
    judged = judge(samples, lines, task="classification")
    assert judged.counts(0.0) == {"class": 1, "unsure": 0}
    assert judged.counts(0.65) == {"class": 0, "unsure": 1}
    (bad,) = worst.ranked(judged, 0.0)
    assert (bad.source_id, bad.amount) == ("b", pytest.approx(0.6))
    assert judged.verdicts["truth"].tolist() == [1, 1, 0, 0]


def test_a_label_map_by_hand():
    """An answer that says class 0 of everything, where a quarter less a column is class 2."""
    module = tasks.of("segmentation")
    answer = ANSWERS["segmentation"]
    right = module.judged(sample(), module.row(answer), LABELS)
    assert right["kind"].tolist() == [tasks.RIGHT] * 2
    np.testing.assert_allclose(right["amount"].sum(), 1, rtol=1e-6)


def test_persons_by_hand():
    """Keypoints of `answers.sample`: the labelled ones found 3 and 4 pixels off; a box of 40."""
    module = tasks.of("pose")
    found = {"keypoints": [[[12, 23, 1], [34, 11, 1], [0, 0, 0]]], "scores": [0.7]}
    told = module.judged(sample(), found, LABELS)
    place, missed = told
    assert place["kind"] == tasks.RIGHT
    assert place["amount"] == pytest.approx((3 + 4) / 2 / 40)
    assert (missed["below"], missed["score"]) == (True, np.float32(0.7))


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_is_judged_and_drawn_or_says_that_it_is_not(task):
    module = tasks.of(task)
    row = json.loads(json.dumps(module.row(ANSWERS[task])))
    labels = PROPERTIES if task == "attributes" else LABELS
    assert hasattr(module, "judged") == hasattr(module, "ERRORS") == hasattr(module, "shapes")
    if not hasattr(module, "judged"):
        with pytest.raises(ValueError, match="not judged"):
            judge([sample()], [row], task=task)
        return
    judged = judge([sample()], [row], labels, task)
    assert judged.verdicts["kind"].max(initial=-1) < len(module.ERRORS)
    json.dumps(module.shapes(row, labels))
    worst.ranked(judged, 0.5)


def test_the_score_to_begin_with_is_one_that_the_slider_has(tmp_path):
    """The mean of 0.3346 and 0.3431 is 0.33885."""
    (tmp_path / operating.FILE).write_text(json.dumps({"ant": 0.3346, "bee": 0.3431}))
    assert worst.threshold_of(tmp_path, "detection") == 0.34


def test_of_an_earlier_call_only_what_it_drew_is_removed(tmp_path):
    (tmp_path / "missed").mkdir()
    for name in ("001_a.png", "mine.png"):
        (tmp_path / "missed" / name).touch()
    told = {"kinds": {"missed": [{"picture": "elsewhere/missed/001_a.png"}], "class": [{}]}}
    (tmp_path / drawing.RESULT).write_text(json.dumps(told))
    drawing._remove_drawn(tmp_path)
    assert [path.name for path in (tmp_path / "missed").iterdir()] == ["mine.png"]
    drawing._remove_drawn(tmp_path / "missed")  # nothing was drawn there


def test_records_that_are_gone_are_named(tmp_path):
    folder = tmp_path / "artifacts/evaluator/k1"
    folder.mkdir(parents=True)
    told = {"params": {"task": "detection", "split": "val"}, "inputs": {"examples": "gone"}}
    (folder / "run.json").write_text(json.dumps(told))
    with pytest.raises(FileNotFoundError, match="example_gen/gone: the records that were"):
        worst.of_evaluation(folder)


def test_other_records_are_refused():
    stated = [(0, {"source_id": "x", **line()})]
    with pytest.raises(ValueError, match="prediction 0 is of 'x', the record of 'a'"):
        worst.judge(DETECTOR, LABELS, stated, SAMPLES[:1])
    with pytest.raises(ValueError, match="prediction 0 is of None, the record of 'a'"):
        worst.judge(DETECTOR, LABELS, [], SAMPLES[:1])
    with pytest.raises(ValueError, match="prediction 0 is of 'x', the record of None"):
        worst.judge(DETECTOR, LABELS, stated, [])
    assert not len(worst.judge(DETECTOR, LABELS, [], []).verdicts)


def test_records_of_a_newer_version_are_refused(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(ValueError, match="99"):
        list(worst.samples_of(tmp_path, "val"))
