"""Numbers of keypoints: by hand, and OKS against formulas and pycocotools over a whole set."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convoy.data.sample import Sample
from convoy.models.pose import skeleton
from convoy.pipeline.evaluation import poses
from convoy.pipeline.evaluation.poses import KEYS, Poses

FACE = ("left_eye", "right_eye", "nose")
EYES = [[10, 10, 2], [10, 30, 2], [25, 20, 1]]  # 20 pixels apart


def sample(people, boxes=None, name="p", **more) -> Sample:
    people = np.asarray(people, np.float32)
    if boxes is None:
        boxes = [np.concatenate([p[:, :2].min(0), p[:, :2].max(0)]) for p in people]
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    flags = {"classes": np.zeros(len(boxes), int), "difficult": np.zeros(len(boxes), bool)}
    flags |= {"crowd": np.zeros(len(boxes), bool)}
    return Sample(name, "val", b"", 300, 400, boxes=boxes, keypoints=people, **{**flags, **more})


def answer(people, scores=None) -> dict:
    people = np.asarray(people, np.float32)
    scores = np.ones(len(people)) if scores is None else np.asarray(scores)
    return {"keypoints": people, "scores": scores, "num_people": np.int32(len(people))}


def moved(people, y=0.0, x=0.0):
    return np.asarray(people, np.float32) + np.float32([y, x, 0])


def numbers(*pairs, names=FACE) -> dict:
    evaluation = Poses(names)
    for truth, found in pairs:
        evaluation.update(truth, found)
    return evaluation.result()


def test_a_face_by_hand():
    """4 pixels off: 0.2 of the eyes' 20; within 0.2 of the box's longer side of 20, just."""
    got = numbers((sample([EYES], [[5, 10, 25, 30]]), answer([moved(EYES, x=4)])))
    assert got["NME"] == pytest.approx(0.2)
    assert got["nme_by"] == "distance of the eyes"
    assert got["PCK"] == 1.0
    assert got["PCKh"] is None
    assert got["per_class"]["nose"] == {"PCK": 1.0, "NME": pytest.approx(0.2), "labelled": 1}
    # OKS: exp(-16 / (2 * 400 * 0.1^2)) = exp(-2): below 0.5.
    assert got["AP50"] == 0.0
    # A pixel off, exp(-1 / 8) = 0.8825: right at 0.50 ... 0.85, eight of ten thresholds.
    near = numbers((sample([EYES], [[5, 10, 25, 30]]), answer([moved(EYES, x=1)])))
    assert (near["AP"], near["AR"]) == (pytest.approx(0.8), pytest.approx(0.8))
    assert (near["AP50"], near["AP75"]) == (pytest.approx(1.0), pytest.approx(1.0))


def test_what_is_not_labelled_and_what_is_not_found():
    truth = np.float32([[10, 10, 2], [10, 30, 2], [0, 0, 0]])
    found = np.float32([[10, 12, 0.9], [0, 0, 0], [77, 77, 0.9]])
    got = numbers((sample([truth], [[5, 10, 25, 30]]), answer([found])))
    assert got["PCK"] == 0.5  # the left eye is near, the right one is missing, no nose is known
    assert got["NME"] == pytest.approx(2 / 20)  # of the keypoints that were found
    assert got["per_class"]["nose"] == {"PCK": None, "NME": None, "labelled": 0}
    assert got["people"] == 1
    assert got["not_found"] == 0


def test_a_person_that_nobody_answers():
    far = answer([moved(EYES, x=200)])  # farther than the longer side of the box
    for found in (answer(np.zeros((0, 3, 3))), far):
        got = numbers((sample([EYES]), found))
        assert got["PCK"] == 0.0
        assert got["NME"] is None
        assert (got["people"], got["not_found"]) == (1, 1)


def test_each_answer_has_one_person_the_surest_first():
    """The surer one, between the two, takes the nearer left one; the other is left with the right.

    At 18 pixels of the left and 22 of the right; the second at 10 of the left.
    """
    truth = sample([EYES, moved(EYES, x=40)], [[0, 0, 50, 50], [0, 40, 50, 90]])
    found = answer([moved(EYES, x=10), moved(EYES, x=18)], [0.5, 0.9])
    evaluation = Poses(FACE)
    evaluation.update(truth, found)
    errors = evaluation.errors()
    np.testing.assert_allclose(errors, [18 / 20, 30 / 20])
    assert evaluation.result()["NME"] == pytest.approx(24 / 20)


def test_heads_of_mpii():
    """Half of the 16 pixels from the neck to the top: 8 is near, 9 is not."""
    names = skeleton.MPII
    person = np.zeros((16, 3), np.float32)
    person[:] = [100, 100, 2]
    person[9] = [84, 100, 2]
    found = person.copy()
    found[0, 1] += 8
    found[1, 1] += 9
    got = numbers((sample([person], [[80, 90, 110, 110]]), answer([found])), names=names)
    assert got["PCKh"] == pytest.approx(15 / 16)
    assert got["PCK"] == pytest.approx(14 / 16)  # 0.2 of 30 pixels
    assert got["nme_by"] == "diagonal of the box"
    assert got["NME"] == pytest.approx(17 / 16 / np.hypot(30, 20))


def test_crowds_and_people_without_keypoints_are_ignored():
    """Neither missed nor, where an answer lies on them, wrong; they are counted."""
    blank = np.zeros((3, 3), np.float32)
    truth = sample(
        [EYES, blank, blank],
        [[5, 10, 25, 30], [100, 100, 140, 140], [200, 200, 300, 300]],
        crowd=np.array([False, False, True]),
    )
    on_others = [moved(EYES, 100, 100), moved(EYES, 230, 230)]
    got = numbers((truth, answer([EYES, *on_others], [0.5, 0.9, 0.8])))
    assert (got["AP"], got["PCK"]) == (pytest.approx(1.0), 1.0)
    assert got["without_keypoints"] == 1
    assert got["people"] == 1
    elsewhere = numbers((truth, answer([EYES, moved(EYES, 5, 350)], [0.5, 0.9])))
    assert elsewhere["AP50"] == pytest.approx(0.5)


def test_a_record_without_keypoints_and_one_with_others():
    empty = sample(np.zeros((0, 3, 3)))
    none = Sample("p", "val", b"", 9, 9, boxes=np.float32([[0, 0, 5, 5]]), classes=np.zeros(1, int))
    got = numbers((empty, answer(np.zeros((0, 3, 3)))), (none, answer([EYES])))
    assert got["AP"] is got["PCK"] is got["NME"] is None
    assert got["without_keypoints"] == 1
    with pytest.raises(ValueError, match=r"p: expected 2 keypoints of each of 1 objects.* has 3"):
        numbers((sample([EYES]), answer([EYES])), names=("a", "b"))


def test_sigmas_are_cocos_by_name_alone():
    assert poses.sigmas_of(skeleton.COCO).tolist() == poses.PARAMS.kpt_oks_sigmas.tolist()
    turned = poses.sigmas_of(skeleton.COCO[::-1])
    assert turned.tolist() == poses.PARAMS.kpt_oks_sigmas[::-1].tolist()
    assert set(poses.sigmas_of([f"p{n}" for n in range(17)])) == {0.05}


def random_set(seed: int):
    """[(sample, answer)]: people of all sizes, some unlabelled or crowds, and wrong answers."""
    rng, pairs = np.random.default_rng(seed), []
    for index in range(12):
        count = int(rng.integers(0, 5))
        people, boxes = np.zeros((count, 17, 3)), np.zeros((count, 4))
        for n in range(count):
            side = rng.uniform(15, 150)
            low = rng.uniform(0, 140, 2)
            people[n, :, :2] = low + rng.uniform(0, side, (17, 2))
            people[n, :, 2] = rng.choice([0, 1, 2], 17, p=[0.3, 0.2, 0.5])
            people[n, people[n, :, 2] == 0] = 0
            boxes[n] = [*low, *(low + side)]
        if count > 2:
            people[0] = 0
        crowd = np.arange(count) == 1 if count > 3 else np.zeros(count, bool)
        found = [p + rng.normal(0, 4, p.shape) for p in people if rng.random() < 0.8]
        found += [np.c_[rng.uniform(0, 300, (17, 2)), np.ones(17)] for _ in range(rng.integers(3))]
        found = np.array(found).reshape(-1, 17, 3)
        found[..., 2] = 1
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * 0.6
        truth = sample(people, boxes, f"{index}", crowd=crowd, areas=np.float32(areas))
        pairs.append((truth, answer(found, rng.random(len(found)))))
    return pairs


@pytest.mark.parametrize("seed", range(3))
def test_oks_is_pycocotools_s_over_a_whole_set(seed):
    """Their accumulate and summarize, of one COCO object that holds all pictures."""
    pairs = random_set(seed)
    got = numbers(*pairs, names=skeleton.COCO)
    truth, found = [], []
    for image, (one, answered) in enumerate(pairs):
        for n in range(len(one.boxes)):
            ymin, xmin, ymax, xmax = map(float, one.boxes[n])
            rows = one.keypoints[n][:, [1, 0, 2]].astype(float)
            truth.append(
                {
                    "id": len(truth) + 1, "image_id": image, "category_id": 1,
                    "iscrowd": int(one.crowd[n]), "area": float(one.areas[n]),
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "keypoints": rows.ravel().tolist(),
                    "num_keypoints": int((rows[:, 2] > 0).sum()),
                }
            )  # fmt: skip
        for person, score in zip(answered["keypoints"], answered["scores"], strict=True):
            found.append(
                {
                    "image_id": image, "category_id": 1, "score": float(score),
                    "keypoints": person[:, [1, 0, 2]].astype(float).ravel().tolist(),
                }
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(pairs))],
            "categories": [{"id": 1}],
            "annotations": truth,
        }
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(found), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    expected = [None if value == -1 else value for value in evaluator.stats]
    assert [got[key] for key in KEYS] == pytest.approx(expected, abs=1e-6)
    assert got["AP"] not in (None, 0.0, 1.0)
