"""Parts of Mask R-CNN by hand and against NumPy: targets, the loss, decoding, pasting."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import paste
from convoy.models.detection import two_stage
from convoy.models.instance import task
from convoy.models.instance.detections import Detections


def pasted(mask, box, size):
    """`paste` pixel by pixel."""
    rows, columns = mask.shape
    found = np.zeros(size, bool)
    for y in range(size[0]):
        for x in range(size[1]):
            if not (np.floor(box[0]) <= y < np.ceil(box[2])):
                continue
            if not (np.floor(box[1]) <= x < np.ceil(box[3])):
                continue
            v = (y + 0.5 - box[0]) / (box[2] - box[0]) * rows - 0.5
            u = (x + 0.5 - box[1]) / (box[3] - box[1]) * columns - 0.5
            total = 0.0
            for i in range(rows):
                for j in range(columns):
                    total += mask[i, j] * max(0, 1 - abs(v - i)) * max(0, 1 - abs(u - j))
            found[y, x] = total >= 0.5
    return found


def test_pasting_equals_a_loop():
    draw = np.random.default_rng(0)
    for _ in range(12):
        mask = draw.random((5, 4)).astype(np.float32)
        low = draw.uniform(-6, 12, 2)
        box = np.float32([*low, *(low + draw.uniform(0.4, 14, 2))])
        np.testing.assert_array_equal(paste.paste(mask, box, (13, 17)), pasted(mask, box, (13, 17)))


@pytest.mark.parametrize("box", [(3, 3, 3, 9), (5, 2, 1, 9), (np.nan, 0, 4, 4), (20, 20, 30, 30)])
def test_a_box_without_area_or_outside_holds_nothing(box):
    assert not paste.paste(np.ones((28, 28)), np.float32(box), (10, 12)).any()


def test_a_full_mask_fills_its_box():
    """But for the bins' outer halves, which fade to 0 outside: here a pixel is seven bins."""
    found = paste.paste(np.ones((28, 28)), np.float32([2, 4, 6, 8]), (10, 12))
    expected = np.zeros((10, 12), bool)
    expected[2:6, 4:8] = True
    np.testing.assert_array_equal(found, expected)


def test_a_region_s_target_is_its_part_of_the_object():
    """A box of 56 px, its left half the object; regions: the box, its left half, one beyond it."""
    mask = np.zeros((1, 64, 80), np.uint8)
    mask[0, 4:60, 8:36] = 1
    box = tf.constant([[4.0, 8.0, 60.0, 64.0]])
    crops = task.box_masks(tf.constant(mask), box)
    np.testing.assert_array_equal(crops[0, :, :56], 1)
    np.testing.assert_array_equal(crops[0, :, 56:], 0)
    rois = tf.constant([[[4.0, 8.0, 60.0, 64.0], [4.0, 8.0, 60.0, 36.0], [-52.0, 8.0, 60.0, 64.0]]])
    found = task.region_masks(
        tf.tile(crops[None], [1, 3, 1, 1]), tf.tile(box[None], [1, 3, 1]), rois
    )
    left = np.zeros((28, 28))
    left[:, :14] = 1
    np.testing.assert_array_equal(found[0, 0], left)
    np.testing.assert_array_equal(found[0, 1], 1)
    left[:14] = 0
    np.testing.assert_array_equal(found[0, 2], left)


def test_targets_equal_the_picture_s_mask():
    """Of smooth objects: bins that the picture's own pixels fill by half, sampled 16 x 16 times."""
    y, x = np.mgrid[:96, :128]
    mask = (((y - 50) / 30) ** 2 + ((x - 60) / 40) ** 2 <= 1).astype(np.uint8)
    box = tf.constant([[20.0, 20.0, 81.0, 101.0]])
    crops = task.box_masks(tf.constant(mask[None]), box)
    roi = [14.3, 25.1, 77.7, 95.2]
    found = task.region_masks(crops[None], box[None], tf.constant([[roi]]))[0, 0].numpy()
    steps = (np.arange(28 * 16) + 0.5) / (28 * 16)
    rows = np.floor(roi[0] + steps * (roi[2] - roi[0])).astype(int)
    columns = np.floor(roi[1] + steps * (roi[3] - roi[1])).astype(int)
    filled = mask[rows][:, columns].reshape(28, 16, 28, 16).mean((1, 3))
    sure = np.abs(filled - 0.5) > 0.3
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(found[sure], filled[sure] >= 0.5)


def test_only_objects_with_pixels_teach_masks():
    """One region of logits 0 beside two that are not used: ln 2 of one."""
    outputs = {
        "mask_target": tf.ones((1, 3, 28, 28)),
        "mask_logits": tf.constant([[[[0.0]], [[9.0]], [[-9.0]]]]) * tf.ones((1, 3, 28, 28)),
        "mask_used": tf.constant([[True, False, False]]),
        "rpn_cls": tf.zeros((1, 2)),
        "rpn_box": tf.zeros((1, 2, 4)),
        "rpn_used": tf.zeros((1, 2), tf.bool),
        "cls": tf.zeros((1, 3, 3)),
        "box": tf.zeros((1, 3, 12)),
        "roi_used": tf.zeros((1, 3), tf.bool),
        "roi_label": tf.zeros((1, 3), tf.int32),
        "roi_code": tf.zeros((1, 3, 4)),
    }
    targets = {"rpn_label": tf.zeros((1, 2), tf.int32), "rpn_box": tf.zeros((1, 2, 4))}
    total, count = task.loss(targets, outputs, plan=two_stage.Plan())["mask"]
    np.testing.assert_allclose([total, count], [np.log(2), 1], rtol=1e-6)
    outputs["mask_used"] = tf.zeros((1, 3), tf.bool)
    assert [float(x) for x in task.loss(targets, outputs, plan=two_stage.Plan())["mask"]] == [0, 0]


def test_an_object_without_pixels_is_told():
    masks = np.zeros((3, 64, 64), np.uint8)
    masks[0, 10:20, 10:20] = 1
    masks[1, 40, 41] = 1  # of one pixel
    boxes = np.float32([[10, 10, 20, 20], [40, 41, 41, 42], [5, 5, 30, 30]])
    annotation = {"boxes": boxes, "classes": [0, 1, 1], "valid": [True] * 3, "masks": masks}
    priors = np.float32([[0, 0, 32, 32], [32, 32, 64, 64]])
    found = task.encode(annotation, boxes=priors, size=(64, 64), classes=2, plan=two_stage.Plan())
    np.testing.assert_array_equal(found["has_mask"], [True, True, False, False])
    assert found["masks"].shape == (4, task.CROP, task.CROP)
    np.testing.assert_array_equal(found["masks"][1], 1)


def suppressed(layer, *inputs):
    return [np.asarray(x) for x in layer(*inputs)]


def test_detections_of_both_ways_are_one():
    """The kernel's and the one of any backend, of random regions of three classes."""
    draw = np.random.default_rng(2)
    low = draw.uniform(0, 80, (2, 40, 2))
    rois = np.concatenate([low, low + draw.uniform(5, 60, (2, 40, 2))], -1).astype(np.float32)
    objectness = np.where(draw.random((2, 40)) < 0.1, -1, 0.5).astype(np.float32)
    cls = draw.normal(0, 2, (2, 40, 4)).astype(np.float32)
    codes = draw.normal(0, 0.1, (2, 40, 16)).astype(np.float32)
    layer = Detections((100, 120), most=20, name="detections")
    boxes, scores, classes = suppressed(layer, rois, objectness, cls, codes)
    layer._by_kernel = layer._by_offsets
    others = suppressed(layer, rois, objectness, cls, codes)
    np.testing.assert_allclose(boxes, others[0], atol=1e-3)
    np.testing.assert_allclose(scores, others[1], atol=1e-6)
    np.testing.assert_array_equal(classes[scores >= 0], others[2][scores >= 0])
    assert (scores >= 0).all()
    assert (boxes[..., 2:] <= [100, 120]).all()


def test_limits_narrow_what_was_found():
    """Two boxes of one class with IoU 0.45, one of another class in the same place."""
    outputs = {
        "found": tf.constant([[[0, 0, 10, 10], [0, 0, 10, 4.5], [0, 0, 10, 10.0], [0, 0, 0, 0]]]),
        "found_scores": tf.constant([[0.9, 0.8, 0.7, -1.0]]),
        "found_classes": tf.constant([[1, 1, 0, 0]]),
    }
    size = (32, 32)

    def scores(**limits):
        found = task.decode(outputs, **limits, size=size)
        assert found["valid"].shape[1] == limits.get("max_detections", task.MOST)
        count = int(tf.reduce_sum(tf.cast(found["valid"], tf.int32)))
        assert np.all(found["masks"][0, :count, 0, 0] == 10 * (0.9 - found["scores"][0, :count]))
        return [round(float(x), 4) for x in found["scores"][0, :count]]

    outputs["masks"] = 10 * (0.9 - outputs["found_scores"])[..., None, None] * tf.ones((28, 28))
    assert scores(score_threshold=0.0) == [0.9, 0.8, 0.7]
    assert scores(score_threshold=0.75) == [0.9, 0.8]
    assert scores(score_threshold=0.0, max_detections=1) == [0.9]
    assert scores(score_threshold=0.0, iou_threshold=0.4, max_detections=6) == [0.9, 0.7]


def test_the_mask_of_a_cut_box_is_of_what_is_left():
    """A letterboxed picture whose right half lies outside: the mask's left half is stretched."""
    ramp = tf.tile(tf.range(28.0)[None, None, None], [1, 1, 28, 1])
    decoded = {
        "boxes": tf.constant([[[0.0, 0.0, 20.0, 40.0]]]),
        "scores": tf.constant([[0.5]]),
        "classes": tf.constant([[0]], tf.int64),
        "valid": tf.constant([[True]]),
        "masks": ramp,
    }
    found = task.answer(decoded, tf.eye(3)[None], tf.constant([[20, 20]]), tf.constant(["a"]))
    np.testing.assert_allclose(found["boxes"][0, 0], [0, 0, 20, 20])
    at = np.clip((np.arange(28) + 0.5) / 2 - 0.5, 0, None)
    values = 1 / (1 + np.exp(-np.arange(28.0)))
    expected = np.interp(at, np.arange(28), values)
    np.testing.assert_allclose(found["masks"][0, 0, 5], expected, atol=1e-5)


def test_its_counts_are_faster_rcnn_s_and_the_mask_head_s():
    """Four 3x3 convolutions and a deconvolution of 256, 21 masks; of one region of 14x14 bins."""
    ours, boxes = models.describe("mask_rcnn"), models.describe("faster_rcnn")
    convs, deconv, logits = 4 * 9 * 256 * 256, 4 * 256 * 256, 256 * 21
    assert ours.params - boxes.params == convs + deconv + logits + 5 * 256 + 21
    assert ours.macs - boxes.macs == 14 * 14 * (convs + deconv) + 28 * 28 * logits
