"""Faster R-CNN on a pyramid against torchvision's, whose results two_stage_reference.py wrote."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula

TORCHVISION = np.load(GOLDEN / "two_stage_torchvision.npz")
SIZE, CLASSES = (128, 160), 4


@pytest.fixture(scope="module")
def pyramid():
    """(the task, its outputs for the two pictures)."""
    task = models.build_task("faster_rcnn_resnet50_fpn", num_classes=CLASSES, input_size=SIZE)
    fill(task.model)
    for name in ("rpn_box", "roi_box"):  # as two_stage_reference.py's CALM
        layer = task.model.get_layer(name)
        layer.set_weights([0.1 * weight for weight in layer.get_weights()])
    return task, task.model(formula.pictures(2, *SIZE), training=False)


def test_objectness_of_every_anchor_equals_torchvisions(pyramid):
    _, outputs = pyramid
    assert_close(outputs["rpn_cls"], TORCHVISION["logits"])


def test_proposals_and_both_heads_equal_torchvisions(pyramid):
    """Picture by picture: torchvision has no padding."""
    _, outputs = pyramid
    first = 0
    for index, count in enumerate(TORCHVISION["counts"]):
        part = slice(first, first + count)
        assert int(np.sum(outputs["objectness"][index] >= 0)) == count
        found = outputs["proposals"][index]
        np.testing.assert_allclose(found[:count], TORCHVISION["proposals"][part], atol=1e-3)
        assert not np.any(found[count:])
        for key in ("cls", "box"):
            assert_close(outputs[key][index, :count], TORCHVISION[key][part])
        first += count


def test_detections_equal_torchvisions(pyramid):
    task, outputs = pyramid
    found = task.decode(outputs, score_threshold=0.05, iou_threshold=0.5, max_detections=100)
    for index in range(2):
        expected = {k: TORCHVISION[f"answer{index}_{k}"] for k in ("boxes", "scores", "labels")}
        assert int(tf.reduce_sum(tf.cast(found["valid"][index], tf.int32))) == len(
            expected["boxes"]
        )
        np.testing.assert_allclose(found["scores"][index], expected["scores"], atol=1e-4)
        np.testing.assert_array_equal(found["classes"][index] + 1, expected["labels"])
        boxes = expected["boxes"][:, [1, 0, 3, 2]]
        np.testing.assert_allclose(found["boxes"][index], boxes, atol=1e-3)
