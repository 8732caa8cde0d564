"""The paper's SSD: numbers and places of its priors by hand, the choice of sizes, its loss."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convoy import models
from convoy.models import losses
from convoy.models.keras_internals import without_values


def built(name: str, **options):
    with without_values():
        return models.build_task(name, **options)


@pytest.mark.parametrize(
    ("name", "priors", "cells", "counts", "first"),
    [
        ("ssd300_vgg16", "voc", (38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), (30, 60)),
        ("ssd300_vgg16", "coco", (38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), (21, 45)),
        ("ssd512_vgg16", "voc", (64, 32, 16, 8, 4, 2, 1), (4, 6, 6, 6, 6, 4, 4), (35.84, 76.8)),
        ("ssd512_vgg16", "coco", (64, 32, 16, 8, 4, 2, 1), (4, 6, 6, 6, 6, 4, 4), (20.48, 51.2)),
    ],
)
def test_priors_by_hand(name, priors, cells, counts, first):
    """38^2 4 + 19^2 6 + 10^2 6 + 5^2 6 + 3^2 4 + 4 = 8732; of 512 px 24,564."""
    task = built(name, num_classes=1, priors=priors)
    boxes = task.priors.boxes
    assert len(boxes) == sum(n * n * count for n, count in zip(cells, counts, strict=True))
    assert len(boxes) == {"ssd300_vgg16": 8732, "ssd512_vgg16": 24_564}[name]
    smallest, next_one = first
    sides = boxes[:4, 2:] - boxes[:4, :2]
    middle, long, short = math.sqrt(smallest * next_one), smallest * 2**0.5, smallest / 2**0.5
    expected = [[smallest] * 2, [middle] * 2, [short, long], [long, short]]
    np.testing.assert_allclose(sides, expected, rtol=1e-5)
    np.testing.assert_allclose((boxes[0, :2] + boxes[0, 2:]) / 2, [4, 4], atol=1e-5)
    last = (boxes[-1, :2] + boxes[-1, 2:]) / 2  # one cell: the middle of the picture
    np.testing.assert_allclose(last, [150 if "300" in name else 256] * 2, atol=1e-4)


def test_the_largest_priors_by_hand():
    """512 px, VOC: 460.8 and sqrt(460.8 * 537.6) = 497.72; COCO: 460.8 and sqrt(460.8 * 542.72)."""
    for priors, largest in (("voc", 537.6), ("coco", 542.72)):
        boxes = built("ssd512_vgg16", num_classes=1, priors=priors).priors.boxes[-4:]
        sides = boxes[:, 2] - boxes[:, 0]
        expected = [460.8, math.sqrt(460.8 * largest), 460.8 / 2**0.5, 460.8 * 2**0.5]
        np.testing.assert_allclose(sides, expected, rtol=1e-5)


def test_what_is_no_set_of_priors():
    with pytest.raises(ValueError, match="ssd512_vgg16: priors: expected voc or coco, got 'kitti'"):
        built("ssd512_vgg16", priors="kitti")
    with pytest.raises(ValueError, match="ssd_mobilenet_v1 has no priors"):
        built("ssd_mobilenet_v1", priors="coco")
    with pytest.raises(ValueError, match="512x512 px, got 300x300"):
        built("ssd512_vgg16", input_size=(300, 300))


def test_counts_at_coco_s_classes():
    for name, params in (("ssd300_vgg16", 34_305_206), ("ssd512_vgg16", 36_038_196)):
        assert built(name, num_classes=80).info.params == params


def test_loss_equals_loops():
    """Two pictures of twelve priors, one without objects; three negatives for each positive."""
    draw = np.random.default_rng(5)
    cls = np.zeros((2, 12), int)
    cls[0, [2, 7]] = 1, 3
    box = np.where(cls[..., None] > 0, draw.normal(0, 1.5, (2, 12, 4)), 0).astype(np.float32)
    outputs = {
        "cls": draw.normal(0, 2, (2, 12, 4)).astype(np.float32),
        "box": draw.normal(0, 1.5, (2, 12, 4)).astype(np.float32),
    }
    sums = {"cls": 0.0, "box": 0.0}
    for b in range(2):
        entropies = []
        for n in range(12):
            powers = [math.exp(float(x)) for x in outputs["cls"][b, n]]
            entropy = -math.log(powers[cls[b, n]] / sum(powers))
            if cls[b, n]:
                sums["cls"] += entropy
                for d in np.abs(outputs["box"][b, n] - box[b, n]).astype(float):
                    sums["box"] += d * d / 2 if d < 1 else d - 0.5
            else:
                entropies.append(entropy)
        sums["cls"] += sum(sorted(entropies)[::-1][: 3 * np.count_nonzero(cls[b])])
    found = losses.multibox({"cls": cls, "box": box}, outputs)
    for name, (value, count) in found.items():
        assert float(count) == 2
        np.testing.assert_allclose(value, sums[name], rtol=1e-5)
