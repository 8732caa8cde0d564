"""Fast R-CNN: its regions, loss and decoding by NumPy."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.detection import fast_rcnn
from tests.models.test_parity import fill
from tests.models.test_parity_fast_rcnn import CLASSES, regions
from tests.parity import formula


def small(**options):
    keras.utils.set_random_seed(0)
    options = {"backbone": "mobilenet_v1", "width": 0.25, "num_classes": CLASSES, **options}
    return models.build_task("fast_rcnn_caffenet", input_size=(64, 96), **options)


def truth(boxes=(), classes=(), slots: int = 4) -> dict:
    """One picture's encoded objects, filled up to `slots`."""
    rows = np.zeros((slots, 4), np.float32)
    rows[: len(boxes)] = np.reshape(boxes, (-1, 4))
    labels = np.zeros(slots, np.int64)
    labels[: len(classes)] = classes
    encoded = fast_rcnn.two_stage.objects_of(
        {"boxes": rows, "classes": labels, "valid": np.arange(slots) < len(boxes)}, CLASSES
    )
    return {key: value.numpy() for key, value in encoded.items()}


def batch_of(*pictures) -> dict:
    """pictures: (objects, classes, proposals [R, 4])."""
    encoded = [truth(boxes, classes) for boxes, classes, _ in pictures]
    targets = {key: np.stack([row[key] for row in encoded]) for key in encoded[0]}
    return {
        "image": formula.pictures(len(pictures), 64, 96),
        "proposals": np.float32([rows for _, _, rows in pictures]),
        "targets": targets,
    }


def overlap(a, b) -> float:
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def around(box, count: int, least: float, most: float) -> np.ndarray:
    """[count, 4] boxes of the input whose overlap with `box` lies between the two numbers."""
    rng, found = np.random.default_rng(3), []
    while len(found) < count:
        low = rng.uniform(0, [50, 80])
        other = [*low, *np.minimum(low + rng.uniform(4, 60, 2), [64, 96])]
        if least <= overlap(box, other) < most:
            found.append(other)
    return np.float32(found)


BOX = (10, 20, 50, 70)


def test_a_quarter_are_objects_and_the_others_hard_background():
    """40 near and 200 hard regions: 16 and 48; what hardly overlaps the object is not looked at."""
    rows = np.concatenate(
        [around(BOX, 40, 0.5, 1), around(BOX, 200, 0.1, 0.5), around(BOX, 60, 0, 0.1)]
    )
    found = fast_rcnn.chosen_regions(
        batch_of(([BOX], [1], np.random.default_rng(0).permutation(rows))), fast_rcnn.PLAN
    )
    labels, used = np.array(found["roi_label"][0]), np.array(found["roi_used"][0])
    assert used.all()
    assert labels.shape == (64,)
    assert (labels == 2).sum() == 16
    assert (labels == 0).sum() == 48
    for box, label in zip(np.array(found["rois"][0]), labels, strict=True):
        least, most = (0.5, 1.01) if label else (0.1, 0.5)
        assert least <= overlap(BOX, box) < most


def test_another_order_of_proposals_is_another_sample():
    """Which makes it random, as the pipeline draws a new order in every epoch."""
    rows = np.concatenate([around(BOX, 40, 0.5, 1), around(BOX, 200, 0.1, 0.5)])
    chosen = []
    for seed in (0, 1, 1):
        order = np.random.default_rng(seed).permutation(rows)
        found = fast_rcnn.chosen_regions(batch_of(([BOX], [1], order)), fast_rcnn.PLAN)
        chosen.append({tuple(box) for box in np.array(found["rois"][0]).tolist()})
    assert chosen[1] == chosen[2]
    assert len(chosen[0] & chosen[1]) < 40


@pytest.mark.parametrize("hard", [3, 0])
def test_few_candidates_leave_rows_unused(hard):
    rows = np.zeros((70, 4), np.float32)  # rows without area are no proposals
    rows[:hard] = around(BOX, hard, 0.1, 0.5).reshape(-1, 4)
    found = fast_rcnn.chosen_regions(batch_of(([BOX], [1], rows)), fast_rcnn.PLAN)
    assert np.array(found["roi_used"]).sum() == hard + 1  # the object's own box
    assert np.array(found["roi_label"]).sum() == 2


def test_the_box_of_an_object_is_among_its_regions():
    found = fast_rcnn.chosen_regions(
        batch_of(([BOX], [1], around(BOX, 70, 0.0, 0.1))), fast_rcnn.PLAN
    )
    (index,) = np.flatnonzero(np.array(found["roi_label"][0]))
    np.testing.assert_allclose(found["rois"][0][index], BOX)
    np.testing.assert_allclose(found["roi_code"][0][index], 0, atol=1e-6)


def numpy_loss(outputs: dict, boxes, classes) -> dict:
    """Cross entropy and smooth L1 of each region, by loops over the regions that were used."""
    sums, used = {"roi_class": 0.0, "roi_box": 0.0}, 0
    for logits, codes, box, take in zip(
        outputs["cls"], outputs["box"], outputs["proposals"], outputs["roi_used"], strict=True
    ):
        if not take:
            continue
        used += 1
        overlaps = [overlap(box, other) for other in boxes]
        best = int(np.argmax(overlaps)) if overlaps else -1
        label = classes[best] + 1 if overlaps and overlaps[best] >= 0.5 else 0
        logits = logits.astype(np.float64)
        sums["roi_class"] += math.log(np.exp(logits - logits.max()).sum()) + logits.max()
        sums["roi_class"] -= logits[label]
        if label:
            (y0, x0, y1, x1), (a0, b0, a1, b1) = boxes[best], (float(v) for v in box)
            h, w = a1 - a0, b1 - b0
            wanted = [
                ((y0 + y1) / 2 - (a0 + a1) / 2) / h / 0.1,
                ((x0 + x1) / 2 - (b0 + b1) / 2) / w / 0.1,
                math.log((y1 - y0) / h) / 0.2,
                math.log((x1 - x0) / w) / 0.2,
            ]
            for code, want in zip(codes[4 * label : 4 * label + 4], wanted, strict=True):
                d = abs(float(code) - want)
                sums["roi_box"] += 0.5 * d * d if d < 1 else d - 0.5
    return {name: (value, used) for name, value in sums.items()}


def test_a_step_s_loss_is_numpy_s():
    objects, classes = [BOX, (2, 60, 30, 94)], [1, 2]
    rows = np.concatenate(
        [around(box, n, *part) for box in objects for n, part in ((9, (0.5, 1)), (30, (0.1, 0.5)))]
    )
    batch = batch_of((objects, classes, rows))
    task = small()
    outputs = task.forward(batch)
    found = task.loss(batch["targets"], outputs)
    plain = {key: np.array(value[0]) for key, value in outputs.items()}
    assert plain["roi_used"].sum() == 64
    expected = numpy_loss(plain, objects, classes)
    assert set(found) == set(expected)
    for name, (value, count) in expected.items():
        assert value > 0
        np.testing.assert_allclose(found[name][0], value, rtol=1e-4)
        assert float(found[name][1]) == count


def test_nothing_to_learn_is_no_nan():
    """No objects, no proposals: a loss of 0 and gradients of 0, for a batch of such pictures."""
    task = small()
    batch = batch_of(([], [], np.zeros((5, 4))), ([], [], around(BOX, 5, 0, 1)))
    with tf.GradientTape() as tape:
        total = losses.total(task.loss(batch["targets"], task.forward(batch)))
    grads = tape.gradient(total, [weight.value for weight in task.model.trainable_variables])
    assert float(total) == 0.0
    assert all(np.isfinite(tf.convert_to_tensor(grad)).all() for grad in grads)


def test_decoding_undoes_the_codes_and_leaves_out_rows_without_area():
    """Two regions of one object and one without area: the better answer is kept, at the object."""
    regions = np.float32([[12, 22, 48, 66], [8, 18, 52, 75], [5, 5, 5, 40]])
    task = small()
    cls, box = np.zeros((1, 3, CLASSES + 1)), np.zeros((1, 3, 4 * (CLASSES + 1)))
    cls[0, :, 2] = (5.0, 4.0, 9.0)
    for row, region in enumerate(regions[:2]):
        box[0, row, 8:12] = fast_rcnn.two_stage.coding.encode(np.float32([BOX]), region[None])[0]
    outputs = {"cls": np.float32(cls), "box": np.float32(box), "proposals": regions[None]}
    found = task.decode(outputs, score_threshold=0.3, iou_threshold=0.3, max_detections=5)
    assert found["valid"].numpy().tolist() == [[True, False, False, False, False]]
    np.testing.assert_allclose(found["boxes"][0, 0], BOX, atol=1e-3)
    np.testing.assert_allclose(found["scores"][0, 0], math.exp(5) / (math.exp(5) + 3), rtol=1e-5)
    assert int(found["classes"][0, 0]) == 1


def test_truncated_layers_are_near_and_exact_at_full_rank():
    """Against NumPy's own product of the first singular values; the paper's count of weights."""
    task = small(width=0.125)
    fill(task.model)
    picture, rois = formula.pictures(1, 64, 96), regions(64, 96)[None]
    before = task.model([picture, rois])
    rank = min(task.model.get_layer("fc7").kernel.shape)
    whole = fast_rcnn.truncated(task, {"fc7": rank})
    np.testing.assert_allclose(whole.model([picture, rois])["cls"], before["cls"], rtol=1e-3)
    fewer = fast_rcnn.truncated(task, {"fc6": 20, "fc7": 10})
    kernel, bias = task.model.get_layer("fc7").get_weights()
    u, s, v = np.linalg.svd(kernel)
    expected = (u[:, :10] * s[:10]) @ v[:10]
    low, high, kept = fewer.model.get_layer("fc7").get_weights()
    np.testing.assert_allclose(low @ high, expected, atol=1e-4)
    np.testing.assert_array_equal(kept, bias)
    sides = task.model.get_layer("fc6").kernel.shape, kernel.shape
    removed = sum(a * b - r * (a + b) for (a, b), r in zip(sides, (20, 10), strict=True))
    assert fewer.info.params == task.info.params - removed
