"""Numbers of label maps: by hand, against loops over pixels, and streamed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from convoy.pipeline.evaluation.segmentation import IGNORE, Pixels, boundary_f1, from_confusion

NAMES = ("sky", "road", "car")


def measured(pairs, names=NAMES) -> dict:
    pixels = Pixels(len(names))
    for truth, found in pairs:
        pixels.update(np.uint8(truth), np.uint8(found))
    return pixels.result(names)


def test_by_hand():
    """Of 5 labelled pixels: sky 2 of 3 right, in a union of 4; road 1 of 2, in a union of 3."""
    found = measured([([[0, 0, 0], [1, 1, IGNORE]], [[0, 0, 1], [1, 0, 2]])])
    assert found["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert found["pixel_accuracy"] == pytest.approx(3 / 5)
    assert found["mean_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["mIoU"] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert found["fwIoU"] == pytest.approx((3 * 2 / 4 + 2 * 1 / 3) / 5)
    assert found["ignored_pixels"] == 1
    assert found["per_class"]["car"] == {
        "IoU": None,
        "accuracy": None,
        "boundary_F1": None,
        "share": 0.0,
    }
    assert found["per_class"]["road"]["IoU"] == pytest.approx(1 / 3)
    assert found["per_class"]["road"]["share"] == pytest.approx(2 / 5)


def test_a_class_that_is_found_in_vain_counts_in_miou_alone():
    found = measured([([[0, 0]], [[0, 2]])])
    assert found["mIoU"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["mean_accuracy"] == pytest.approx(1 / 2)
    assert found["per_class"]["car"]["IoU"] == 0.0


def test_nothing_labelled_is_no_number():
    found = measured([([[IGNORE, IGNORE]], [[0, 1]])])
    names = ("mIoU", "pixel_accuracy", "mean_accuracy", "fwIoU", "boundary_F1")
    assert [found[name] for name in names] == [None] * 5
    assert found["ignored_pixels"] == 2
    assert measured([])["mIoU"] is None


def test_against_loops_over_pixels():
    draw = np.random.default_rng(0)
    truth, found = draw.integers(0, 5, (2, 17, 23)).astype(np.uint8)
    truth[draw.random(truth.shape) < 0.1] = IGNORE
    counted = [(t, f) for t, f in zip(truth.flat, found.flat, strict=True) if t != IGNORE]
    iou, accuracy, sizes = [], [], []
    for k in range(5):
        both = sum(t == k and f == k for t, f in counted)
        either = sum(t == k or f == k for t, f in counted)
        sizes.append(sum(t == k for t, _ in counted))
        iou.append(both / either)
        accuracy.append(both / sizes[-1])
    numbers = measured([(truth, found)], "abcde")
    assert numbers["mIoU"] == pytest.approx(np.mean(iou))
    assert numbers["mean_accuracy"] == pytest.approx(np.mean(accuracy))
    assert numbers["pixel_accuracy"] == pytest.approx(np.mean([t == f for t, f in counted]))
    assert numbers["fwIoU"] == pytest.approx(np.dot(sizes, iou) / sum(sizes))


def test_pictures_of_any_sizes_add_up():
    draw = np.random.default_rng(1)
    pairs = [draw.integers(0, 3, (2, *size)) for size in ((5, 9), (31, 4), (1, 1))]
    counts = np.zeros((3, 3), int)
    for truth, found in pairs:
        np.add.at(counts, (truth.ravel(), found.ravel()), 1)
    numbers = measured(pairs)
    assert numbers["confusion"] == counts.tolist()
    assert numbers["mIoU"] == pytest.approx(from_confusion(counts)["mIoU"])


def border(values: np.ndarray, label: int) -> list[tuple[int, int]]:
    """Pixels of a class with a neighbour of another, by its definition."""
    height, width = values.shape
    found = []
    for y, x in itertools.product(range(height), range(width)):
        sides = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        around = [values[a, b] for a, b in sides if 0 <= a < height and 0 <= b < width]
        if values[y, x] == label and any(v not in (label, IGNORE) for v in around):
            found.append((y, x))
    return found


def loops(truth: np.ndarray, found: np.ndarray, reach: float) -> dict[int, float]:
    found = np.where(truth == IGNORE, IGNORE, found)
    limit, scores = reach * math.hypot(*truth.shape), {}
    for label in range(4):
        one, other = border(truth, label), border(found, label)
        if not one and not other:
            continue

        def near(points, others):
            if not points or not others:
                return 0.0
            hits = [any(math.dist(p, q) <= limit for q in others) for p in points]
            return sum(hits) / len(hits)

        p, r = near(other, one), near(one, other)
        scores[label] = 2 * p * r / (p + r) if p + r else 0.0
    return scores


@pytest.mark.parametrize("reach", [0.0075, 0.06, 0.1])
def test_boundary_f1_against_loops(reach):
    draw = np.random.default_rng(2)
    coarse = draw.integers(0, 4, (2, 4, 5)).astype(np.uint8)
    truth, found = (np.kron(c, np.ones((6, 6), np.uint8)) for c in coarse)
    found[:, 1:] = found[:, :-1].copy()
    truth[3:8, 10:14] = IGNORE
    expected = loops(truth, found, reach)
    received = boundary_f1(truth, found, reach)
    assert received.keys() == expected.keys()
    for label, score in expected.items():
        assert received[label] == pytest.approx(score, abs=1e-6)
    assert 0 < np.mean(list(expected.values())) < 1


def test_borders_a_pixel_apart_need_a_picture_of_134_pixels():
    """0.75 % of a diagonal of 134 is a pixel: the border of an edge that is moved by one agrees."""
    truth = np.zeros((90, 100), np.uint8)
    truth[:, 50:] = 1
    found = np.roll(truth, 1, axis=1)
    found[:, 0] = 0
    assert boundary_f1(truth, found) == {0: 1.0, 1: 1.0}
    assert boundary_f1(truth[:30, 30:70], found[:30, 30:70]) == {0: 0.0, 1: 0.0}
    assert boundary_f1(truth, truth) == {0: 1.0, 1: 1.0}
    assert boundary_f1(truth * 0, truth * 0) == {}


def test_values_beyond_the_classes_are_named():
    with pytest.raises(ValueError, match=r"a pixel has class 3; expected 0\.\.2 or 255"):
        measured([([[0]], [[3]])])
    with pytest.raises(ValueError, match="the label map has 2x1 pixels, the answer 1x2"):
        measured([([[0, 0]], [[0], [0]])])


def test_what_is_kept_does_not_grow():
    pixels = Pixels(3)
    before = {name: np.asarray(value).size for name, value in vars(pixels).items()}
    for _ in range(20):
        pixels.update(np.zeros((50, 60), np.uint8), np.ones((50, 60), np.uint8))
    assert {name: np.asarray(value).size for name, value in vars(pixels).items()} == before
