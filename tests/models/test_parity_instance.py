"""Mask R-CNN against torchvision's, whose results instance_reference.py wrote."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models.keras_internals import train_part
from convoy.models.weights import load
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.models.test_parity_two_stage import BODY, as_torch, torch_name
from tests.models.test_weights_torch import write_safetensors
from tests.models.weightless import weightless
from tests.parity import formula

TORCHVISION = np.load(GOLDEN / "instance_torchvision.npz")
CLASSES = 4
GIVEN = np.float32([[3.5, 10.25, 60.0, 41.0], [0.0, 0.0, 96.0, 96.0], [40.0, 50.0, 44.0, 95.5]])


def stored(name: str, size, key: str) -> np.ndarray:
    return TORCHVISION[f"{name}_{size[0]}x{size[1]}_{key}"]


@functools.lru_cache(1)
def answered(name: str, size):
    """(the task, its outputs for two pictures)."""
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    fill(task.model)
    for part in ("rpn_box", "roi_box"):  # as two_stage_reference.py's CALM
        layer = task.model.get_layer(part)
        layer.set_weights([0.1 * weight for weight in layer.get_weights()])
    return task, task.model(formula.pictures(2, *size), training=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn_resnet50_fpn", "mask_rcnn_resnet101_fpn"])
@pytest.mark.parametrize("size", [(96, 96), (128, 160)])
def test_boxes_and_then_masks_equal_torchvisions(name, size):
    """What was found, its masks, and all classes' masks of given boxes."""
    task, outputs = answered(name, size)
    found = task.decode(outputs, score_threshold=0.05, iou_threshold=0.5, max_detections=100)
    for index in range(2):
        boxes, scores, labels, masks = (
            stored(name, size, f"{key}{index}") for key in ("boxes", "scores", "labels", "masks")
        )
        assert len(boxes) >= 6
        assert int(tf.reduce_sum(tf.cast(found["valid"][index], tf.int32))) == len(boxes)
        count = len(boxes)
        np.testing.assert_allclose(found["scores"][index, :count], scores, atol=1e-4)
        np.testing.assert_array_equal(found["classes"][index, :count] + 1, labels)
        np.testing.assert_allclose(found["boxes"][index, :count], boxes[:, [1, 0, 3, 2]], atol=1e-3)
        ours = tf.sigmoid(found["masks"][index, : len(masks)])
        np.testing.assert_allclose(ours, masks, atol=1e-4)
    pool = task.model.get_layer("mask_pool")
    maps, boxes = list(pool.input[0]), pool.input[1]
    inside = train_part([task.model.input], maps, [formula.pictures(2, *size)[:1]])
    logits = train_part(
        [*maps, boxes], task.model.get_layer("mask_apart").output, [*inside, GIVEN[None]]
    )
    assert_close(logits[0], stored(name, size, "given"))


OWN = {
    **{f"mask_conv{i}": f"roi_heads.mask_head.{i - 1}.0" for i in range(1, 5)},
    "mask_deconv": "roi_heads.mask_predictor.conv5_mask",
    "mask_logits": "roi_heads.mask_predictor.mask_fcn_logits",
}


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_torchvisions_file_loads(older, tmp_path):
    """Under today's names, and under those of 2019, whose BatchNorm has no epsilon."""
    model = models.build_task(
        "mask_rcnn_resnet50_fpn", num_classes=CLASSES, input_size=(64, 64)
    ).model
    values, tensors = {}, {}
    for layer in model.layers:
        for variable in layer.weights if layer.name != "proposals" else []:
            path = f"{layer.name}/{variable.name}"
            values[path] = formula.weight(path, tuple(variable.shape))
            torch = OWN.get(layer.name) or torch_name(layer.name)
            name = f"{torch}.{BODY[variable.name]}"
            if older:
                name = name.replace("rpn.head.conv.0.0", "rpn.head.conv")
                for part in ("inner", "layer"):
                    for i in range(4):
                        name = name.replace(f"{part}_blocks.{i}.0", f"{part}_blocks.{i}")
                for i in range(4):
                    name = name.replace(f"mask_head.{i}.0", f"mask_head.mask_fcn{i + 1}")
            tensors[name] = as_torch(layer.name, values[path])
    file = write_safetensors(tmp_path / "n.safetensors", tensors)
    report = load.load(model, "mask_rcnn_resnet50_fpn", file)
    assert not report.missing
    assert not report.mismatched
    for layer in model.layers:
        for variable in layer.weights if layer.name != "proposals" else []:
            expected = values[f"{layer.name}/{variable.name}"]
            if older and variable.name == "moving_variance":
                expected = expected - np.float32(1e-5)
            np.testing.assert_array_equal(variable, expected, err_msg=variable.path)


def test_counts_are_torchvision_s():
    """44,401,393 and 63,341,297 with BatchNorm as buffers, two of each of its channels."""
    for name, published in (("50", 44_401_393), ("101", 63_341_297)):
        model = weightless(f"mask_rcnn_resnet{name}_fpn")
        norms = sum(
            int(np.prod(weight.shape))
            for layer in model.layers
            for weight in layer.weights
            if weight.name in ("gamma", "beta")
        )
        assert models.describe(model.name).params - norms == published
