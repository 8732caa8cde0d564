"""Our accumulation, picture by picture, against pycocotools' own over the whole set at once."""

from __future__ import annotations

import contextlib
import dataclasses
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convoy.pipeline.evaluation.coco import KEYS, CocoEvaluation, coco_metrics
from tests.evaluation.build import found, random_set, sample

LABELS = ("ant", "bee", "cat", "dog")  # no picture holds a dog


def whole_set(samples, detections) -> COCOeval:
    """pycocotools given the json of the whole set: `area` as annotated, difficult ones of area -1
    (in no range of size), boxes without an annotated area measured."""
    truth, results = [], []
    for number, (item, answered) in enumerate(zip(samples, detections, strict=True), 1):
        for n, (box, k) in enumerate(zip(item.boxes, item.classes, strict=True)):
            y0, x0, y1, x1 = map(float, box)
            area = float(item.areas[n]) if len(item.areas) else (x1 - x0) * (y1 - y0)
            row = {"id": len(truth) + 1, "image_id": number, "category_id": int(k) + 1}
            row |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": int(item.crowd[n])}
            truth.append(row | {"area": -1.0 if item.difficult[n] else area})
        rows = zip(answered.boxes, answered.classes, answered.scores, strict=True)
        for box, k, score in rows:
            y0, x0, y1, x1 = map(float, box)
            row = {"image_id": number, "category_id": int(k) + 1, "score": float(score)}
            results.append(row | {"bbox": [x0, y0, x1 - x0, y1 - y0]})
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": n + 1} for n in range(len(samples))],
        "categories": [{"id": k + 1} for k in range(len(LABELS))],
        "annotations": truth,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluator = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def crowded_set(seed: int):
    """Crowds and difficult objects, empty pictures, equal scores, areas unlike the boxes', and a
    picture of more than 100 detections of one class."""
    rng = np.random.default_rng(seed)
    samples, detections = random_set(seed, pictures=30)
    samples.append(sample("nothing", [], []))
    detections.append(found("nothing", [], [], []))
    for n, item in enumerate(samples):
        areas = np.float32(rng.uniform(10, 20_000, len(item.boxes)))
        samples[n] = dataclasses.replace(item, areas=areas)
    corner = rng.uniform(0, 150, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(8, 130, (40, 2))], axis=1)
    samples.append(sample("many", boxes, np.zeros(40, int)))
    near = np.repeat(boxes, 4, axis=0) + rng.normal(0, 2, (160, 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    detections.append(found("many", near, np.zeros(160, int), rng.random(160)))
    for n, item in enumerate(detections):
        boxes = item.boxes.copy()
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = item.scores.round(1) if n % 2 else item.scores
        detections[n] = dataclasses.replace(item, boxes=boxes, scores=scores)
    return samples, detections


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools_to_the_last_bit(seed):
    samples, detections = crowded_set(seed)
    expected = whole_set(samples, detections)
    evaluation = CocoEvaluation(len(LABELS))
    for pair in zip(samples, detections, strict=True):
        evaluation.update(*pair)
    precision, recall = evaluation.accumulated()
    # Theirs are [T, recalls, K, sizes, most] and [T, K, sizes, most].
    theirs = expected.eval["precision"][..., 2]
    np.testing.assert_array_equal(precision, np.moveaxis(theirs, 3, 0))
    for n, most in enumerate((1, 10, 100)):
        theirs = expected.eval["recall"][..., n]
        np.testing.assert_array_equal(recall[most], np.moveaxis(theirs, 2, 0))
    numbers = evaluation.result(LABELS)
    assert [numbers[key] for key in KEYS] == expected.stats.tolist()
    assert numbers["per_class"]["dog"] == {"AP": None, "AP50": None}
    assert len(set(expected.stats.tolist())) == 12  # so that a mix-up of two would show


def test_the_order_of_detections_changes_nothing():
    samples, detections = crowded_set(0)
    rng = np.random.default_rng(0)
    expected = coco_metrics(samples, detections, LABELS)
    for n, item in enumerate(detections):
        if len(np.unique(item.scores)) == len(item.scores):
            order = rng.permutation(len(item.scores))
            fields = {name: getattr(item, name)[order] for name in ("boxes", "classes", "scores")}
            detections[n] = dataclasses.replace(item, **fields)
    assert coco_metrics(samples, detections, LABELS) == expected


@pytest.mark.parametrize(
    ("areas", "size"),
    [
        ((), "APm"),  # the box: 40 x 40 pixels
        ((900.0,), "APs"),  # a thin object in it
        ((1024.0,), "APs"),  # 32 x 32 is small and medium: both ranges of pycocotools hold it
        ((1025.0,), "APm"),
        ((9216.5,), "APl"),
    ],
)
def test_the_size_is_the_annotations_area(areas, size):
    box = [10, 10, 50, 50]
    truth = dataclasses.replace(sample("a", [box], [0]), areas=np.array(areas, np.float32))
    numbers = coco_metrics([truth], [found("a", [box], [0], [0.9])], ["x"])
    assert numbers[size] == numbers["AP"] == pytest.approx(1)
    others = {"APs", "APm", "APl"} - {size}
    if areas == (1024.0,):
        others.remove("APm")
        assert numbers["APm"] == pytest.approx(1)
    assert all(numbers[other] is None for other in others)


def test_a_wrong_detection_counts_by_its_own_box():
    """The object is small by its area and found; a box of 64 pixels that is on nothing is medium,
    and so wrong among all sizes, but ignored among the small ones."""
    truth = dataclasses.replace(sample("a", [[10, 10, 50, 50]], [0]), areas=np.float32([900]))
    boxes = [[100, 100, 164, 164], [10, 10, 50, 50]]
    numbers = coco_metrics([truth], [found("a", boxes, [0, 0], [0.9, 0.8])], ["x"])
    assert numbers["AP"] == pytest.approx(1 / 2)
    assert numbers["APs"] == pytest.approx(1)
    assert numbers["APm"] is None
