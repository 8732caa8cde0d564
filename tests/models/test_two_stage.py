"""Parts of two-stage detectors by hand and against NumPy: anchors, proposals, samples, losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import anchors, assign, decode, losses, proposals, sampling
from convoy.models.detection import faster_rcnn, two_stage
from convoy.models.keras_internals import without_values
from tests.parity import formula

NONE = {"boxes": np.zeros((0, 4), np.float32), "classes": [], "valid": np.zeros(0, bool)}


def objects(boxes, classes) -> dict:
    boxes = np.asarray(boxes, np.float32)
    return {"boxes": boxes, "classes": np.asarray(classes), "valid": np.ones(len(boxes), bool)}


def test_caffe_anchors_are_the_published_table():
    """Those of generate_anchors.py, which counts pixels from 1 and ends on the last one."""
    published = [
        *((-83, -39, 100, 56), (-175, -87, 192, 104), (-359, -183, 376, 200)),
        *((-55, -55, 72, 72), (-119, -119, 136, 136), (-247, -247, 264, 264)),
        *((-35, -79, 52, 96), (-79, -167, 96, 184), (-167, -343, 184, 360)),
    ]
    level = faster_rcnn.caffe_level(keras.KerasTensor((None, 2, 3, 8)))
    boxes = anchors.priors([level])
    assert len(boxes) == 2 * 3 * 9
    np.testing.assert_array_equal(boxes[:9], [(b - 1, a - 1, d, c) for a, b, c, d in published])
    np.testing.assert_array_equal(boxes[9:18], np.add(boxes[:9], [0, 16, 0, 16]))
    np.testing.assert_array_equal(boxes[27:36], np.add(boxes[:9], [16, 0, 16, 0]))


def test_pyramid_anchors_are_torchvisions():
    """32 / sqrt(2) = 22.6 and 45.3 px: half of them, rounded, are 11 and 23."""
    level = faster_rcnn.pyramid_level(keras.KerasTensor((None, 2, 2, 8)), 32, (9, 8))
    boxes = anchors.priors([level])
    first = [[-11, -23, 11, 23], [-16, -16, 16, 16], [-23, -11, 23, 11]]
    np.testing.assert_array_equal(boxes[:3], first)
    np.testing.assert_array_equal(boxes[9:], np.add(first, [4, 4, 4, 4]))  # 9 // 2 and 8 // 2


def test_matching_by_the_largest_overlap():
    iou = np.float32([[0.8, 0.5, 0.2, 0.0, 0.4], [0.1, 0.6, 0.2, 0.0, 0.6]])
    found = assign.match_best(tf.constant(iou), 0.3, 0.7)
    # 1 and 4 are the best of the second object, both of them, below 0.7.
    np.testing.assert_array_equal(found, [0, 1, -1, -1, 1])
    found = assign.match_best(tf.constant(iou), 0.3, 0.7, forced=False)
    np.testing.assert_array_equal(found, [0, -2, -1, -1, -2])
    np.testing.assert_array_equal(assign.match_best(tf.zeros((0, 3)), 0.3, 0.7), [-1] * 3)
    np.testing.assert_array_equal(assign.match_best(tf.zeros((1, 3)), 0.3, 0.7), [-1] * 3)


def test_samples_are_balanced():
    draw = np.random.default_rng(0)
    labels = draw.integers(-1, 3, (3, 400)).astype(np.int32)
    labels[1] = np.minimum(labels[1], 0)  # no positives
    labels[2, 10:] = -1  # few of all
    noise = draw.uniform(0, 1, labels.shape).astype(np.float32)
    chosen = np.asarray(sampling.balanced(labels, noise, 64, 0.25))
    assert not chosen[labels < 0].any()
    np.testing.assert_array_equal(chosen.sum(1), [64, 64, (labels[2] >= 0).sum()])
    assert (chosen & (labels > 0))[0].sum() == 16
    for kind in (labels[0] > 0, labels[0] == 0):  # those with the least noise
        assert noise[0][kind & chosen[0]].max() < noise[0][kind & ~chosen[0]].min()


def test_the_hardest_are_taken_in_order():
    loss = np.float32([[0.5, 3.0, 2.0, 3.0, 9.0]])
    valid = np.array([[True, True, True, True, False]])
    np.testing.assert_array_equal(
        sampling.hardest(loss, valid, 3), [[False, True, True, True, False]]
    )
    np.testing.assert_array_equal(sampling.hardest(loss, valid, 9), valid)


def test_smooth_l1_by_hand():
    """beta 1/9: 0.05^2 / 2 * 9 = 0.01125 below it, 0.5 - 1/18 beyond."""
    found = losses.smooth_l1(np.zeros(3), np.float32([0.05, 0.5, -2.0]), 1 / 9)
    np.testing.assert_allclose(found, [0.01125, 0.5 - 1 / 18, 2 - 1 / 18], rtol=1e-6)
    np.testing.assert_allclose(losses.smooth_l1(0.0, np.float32([0.5, 2.0])), [0.125, 1.5])


def overlap(box, boxes):
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return shared / np.maximum(np.prod(box[2:] - box[:2]) + areas - shared, 1e-9)


def proposed(logits, codes, boxes, size, before, after):
    """One level's proposals of one picture by loops: what section 3.3 of the paper says."""
    order = np.argsort(-logits, kind="stable")[:before]
    center, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    center = (center + codes[:, :2] * sides)[order]
    half = (sides * np.exp(np.minimum(codes[:, 2:], np.log(62.5))))[order] / 2
    moved = np.clip(np.concatenate([center - half, center + half], axis=1), 0, [*size, *size])
    rest = [i for i in range(len(moved)) if (moved[i, 2:] - moved[i, :2] >= 4).all()]
    kept = []
    while rest and len(kept) < after:
        best = rest.pop(0)
        kept.append(best)
        rest = [i for i in rest if overlap(moved[best], moved[[i]])[0] <= 0.7]
    return moved[kept], 1 / (1 + np.exp(-logits[order][kept]))


@pytest.mark.parametrize("levels", [1, 2])
def test_proposals_equal_loops(levels):
    size = (64, 96)
    made = [
        anchors.Level((4, 6), (16, 16), faster_rcnn.CAFFE_SHAPES[:2]),
        anchors.Level((2, 3), (32, 32), ((20, 30), (30, 20))),
    ][:levels]
    layer = proposals.Proposals(made, size, train=(30, 12), test=(20, 9), min_side=4.0)
    boxes = anchors.priors(made)
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 2, (2, len(boxes))).astype(np.float32)
    codes = draw.normal(0, 0.5, (2, len(boxes), 4)).astype(np.float32)
    for training, (before, after) in ((True, (30, 12)), (False, (20, 9))):
        found, scores = (np.asarray(x) for x in layer(logits, codes, training=training))
        assert found.shape == (2, after, 4)
        for picture in range(2):
            parts, start = [], 0
            for level in made:
                part = slice(start, start + level.count)
                row = (logits[picture, part], codes[picture, part], boxes[part])
                parts.append(proposed(*row, size, before, after))
                start += level.count
            expected, expected_scores = (np.concatenate(p) for p in zip(*parts, strict=True))
            order = np.argsort(-expected_scores)[:after]
            np.testing.assert_allclose(scores[picture, : len(order)], expected_scores[order], 1e-5)
            np.testing.assert_allclose(
                found[picture, : len(order)], expected[order], rtol=1e-4, atol=1e-4
            )
            assert (scores[picture, len(order) :] == -1).all()
            assert not found[picture, len(order) :].any()
    again = proposals.Proposals.from_config(layer.get_config())
    np.testing.assert_array_equal(again(logits, codes)[0], layer(logits, codes)[0])


def test_suppression_without_tensorflow_is_the_same():
    draw = np.random.default_rng(0)
    low = draw.uniform(0, 60, (2, 40, 2))
    boxes = np.concatenate([low, low + draw.uniform(1, 40, low.shape)], -1).astype(np.float32)
    scores = draw.uniform(0, 1, (2, 40)).astype(np.float32)
    scores[1, 5:] = -1
    pairs = zip(
        proposals.suppress(boxes, scores, 25, 0.3),
        proposals._greedy(boxes, scores, 25, 0.3),
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_allclose(one, other)


def test_each_class_is_suppressed_by_its_own_boxes():
    boxes = np.float32([[[[0, 0, 9, 9], [0, 0, 9, 9]], [[0, 0, 9, 9], [20, 20, 40, 40]]]])
    scores = np.float32([[[0.9, 0.8], [0.7, 0.6]]])
    found = decode.suppress(tf.constant(boxes), tf.constant(scores), 0.1, 0.5, 4)
    np.testing.assert_allclose(found["scores"][0], [0.9, 0.8, 0.6, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(found["classes"][0, :3], [0, 1, 1])
    np.testing.assert_array_equal(found["boxes"][0, 2], [20, 20, 40, 40])


@pytest.fixture(scope="module", params=["faster_rcnn", "rfcn"])
def task(request):
    keras.utils.set_random_seed(0)
    return models.build_task(request.param, num_classes=3, input_size=(64, 96), width=0.25)


def step(task, annotations: list):
    """(loss parts, outputs, targets, gradients) of a training step of these pictures."""
    rows = [task.encode(annotation) for annotation in annotations]
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    pictures = formula.pictures(len(rows), 64, 96)
    with tf.GradientTape() as tape:
        outputs = task.forward({"image": pictures, "targets": targets})
        parts = task.loss(targets, outputs)
        total = losses.total(parts)
    weights = [weight.value for weight in task.model.trainable_variables]
    return parts, outputs, targets, tape.gradient(total, weights)


def test_losses_equal_numpy(task):
    """Every sum and normalizer worked out from the outputs alone, region by region."""
    truth, classes = np.float32([[4, 8, 40, 60], [20, 50, 62, 90]]), np.array([2, 0])
    parts, outputs, targets, _ = step(task, [objects(truth, classes)] * 2)
    out = {key: np.asarray(value, np.float64) for key, value in outputs.items()}
    label, used = np.asarray(targets["rpn_label"]), out["rpn_used"] > 0
    assert (label[used] >= 0).all()
    assert used.sum(1).max() <= 256
    p = 1 / (1 + np.exp(-out["rpn_cls"]))
    entropy = -np.log(np.where(label > 0, p, 1 - p))
    d = np.abs(out["rpn_box"] - np.asarray(targets["rpn_box"]))
    smooth = np.where(d < 1 / 9, 4.5 * d * d, d - 1 / 18).sum(-1)
    expected = {
        "rpn_objectness": (entropy[used].sum(), used.sum()),
        "rpn_box": (smooth[used & (label > 0)].sum(), used.sum()),
    }
    roi_label, valid = out["roi_label"].astype(int), out["roi_used"] > 0
    shifted = out["cls"] - out["cls"].max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    cls, box = np.zeros(valid.shape), np.zeros(valid.shape)
    for b, r in zip(*np.nonzero(valid), strict=True):
        k = roi_label[b, r]
        cls[b, r] = -log_p[b, r, k]
        if k:
            slot = k if out["box"].shape[-1] == 16 else 1
            d = np.abs(out["box"][b, r, 4 * slot : 4 * slot + 4] - out["roi_code"][b, r])
            box[b, r] = np.where(d < 1, d * d / 2, d - 0.5).sum()
    if task.info.name == "rfcn":
        for b in range(2):
            worst = np.argsort(-np.where(valid[b], cls[b] + box[b], -1), kind="stable")[:128]
            valid[b] = valid[b] & np.isin(np.arange(len(valid[b])), worst)
    assert (roi_label[valid] > 0).any()
    expected |= {"roi_class": (cls[valid].sum(), valid.sum())}
    expected |= {"roi_box": (box[valid].sum(), valid.sum())}
    assert parts.keys() == expected.keys()
    for name, (value, count) in expected.items():
        np.testing.assert_allclose(parts[name], (value, count), rtol=1e-4, err_msg=name)


def test_regions_are_labelled_by_their_best_object():
    truth = np.float32([[[0, 0, 20, 20], [30, 30, 60, 70], [0, 0, 0, 0]]])
    classes = np.int32([[3, 1, 0]])
    rois = np.float32([[[0, 0, 20, 20], [30, 30, 60, 62], [0, 0, 20, 9], [0, 0, 0, 0]]])
    valid = np.array([[True, True, True, False]])
    label, code = sampling.label_regions(rois, valid, truth, classes, positive=0.5, negative=0.1)
    np.testing.assert_array_equal(label, [[3, 1, 0, -1]])
    # Of the second: centres 46 and 50 of 32 px, / 0.1; log(40 / 32) / 0.2.
    np.testing.assert_allclose(code[0, 1], [0, 1.25, 0, np.log(1.25) / 0.2], rtol=1e-5)
    assert not np.any(np.asarray(code)[0, [0, 2, 3]])


EDGES = {
    "none": NONE,
    "all not valid": {**objects([[4, 4, 30, 30]], [1]), "valid": np.array([False])},
    "border": objects([[0, 0, 64, 96], [-5, -5, 9, 9], [60, 90, 64, 96], [63, 0, 64, 96]], [0] * 4),
    "two hundred": objects(
        [[y, x, y + 9, x + 9] for y in range(0, 50, 5) for x in range(0, 80, 4)], [1] * 200
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_give_finite_losses_and_gradients(task, edge):
    parts, _, _, gradients = step(task, [EDGES[edge]])
    assert all(np.isfinite(value) for part in parts.values() for value in part)
    assert all(gradient is not None for gradient in gradients)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
    if edge in ("none", "all not valid"):
        assert parts["rpn_box"][0] == parts["roi_box"][0] == 0
        assert parts["roi_class"][1] > 0  # background is learnt all the same


def test_a_seed_draws_the_same_samples():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        task = models.build_task("faster_rcnn", num_classes=1, input_size=(64, 96), width=0.25)
        _, outputs, _, _ = step(task, [objects([[4, 8, 40, 60]], [0])])
        found.append(np.asarray(outputs["rpn_used"]))
    np.testing.assert_array_equal(*found)
    _, outputs, _, _ = step(task, [objects([[4, 8, 40, 60]], [0])])
    assert (np.asarray(outputs["rpn_used"]) != found[0]).any()


def test_published_counts_by_layers():
    """Kernels and biases: a full layer of n to m has (n + 1) m, a 3x3 one (9 n + 1) m."""
    rpn = (9 * 512 + 1) * 512 + 513 * 18 + 513 * 36
    full = 4097 * 4096 + 4097 * 21 + 4097 * 84
    vgg = models.describe("vgg16").params - (25089 * 4096 + 4097 * 4096 + 4097 * 1000)
    assert models.describe("faster_rcnn_vgg16").params == vgg + rpn + 25089 * 4096 + full
    zf = (148 * 96) + (2401 * 256) + (2305 * 384) + (3457 * 384) + (3457 * 256)
    rpn_zf = 2305 * 256 + 257 * 18 + 257 * 36
    assert models.describe("faster_rcnn_zf").params == zf + rpn_zf + 9217 * 4096 + full
    rpn_c4 = (9 * 1024 + 1) * 512 + 513 * 18 + 513 * 36
    maps = 2049 * 1024 + 1025 * 49 * 21 + 1025 * 49 * 8
    for depth, published in ((50, 31_809_603 - 64), (101, 50_801_667)):
        body = models.describe(f"resnet{depth}_v1").params - 2049 * 1000
        assert models.describe(f"rfcn_resnet{depth}").params == body + rpn_c4 + maps == published


@pytest.mark.parametrize("name", ["faster_rcnn", "rfcn"])
@pytest.mark.parametrize(
    "backbone",
    [
        *("vgg16", "mobilenet_v1", "inception_v2"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("inception_v3", "resnet101", "inception_resnet_v2")
        ),
    ],
)
def test_huangs_extractors_carry_both(name, backbone):
    with without_values():
        task = models.build_task(name, backbone=backbone, input_size=(128, 160), num_classes=3)
    assert task.model.output["proposals"].shape == (None, 300, 4)
    assert task.model.output["cls"].shape[-1] == 4
    assert set(task.reads) == set(two_stage.READS) < set(task.model.output)


def test_a_backbone_without_the_stride_is_refused():
    with pytest.raises(ValueError, match="expected a backbone with maps of stride s16"):
        models.build_task("rfcn", backbone="lm_resnet20", input_size=(64, 64))
