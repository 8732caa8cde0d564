"""Faster R-CNN on a pyramid against torchvision's, whose results two_stage_reference.py wrote."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.models.test_weights_torch import write_safetensors
from tests.models.weightless import weightless
from tests.parity import formula

TORCHVISION = np.load(GOLDEN / "two_stage_torchvision.npz")
PYRAMID, CLASSES = "faster_rcnn_resnet50_fpn", 4
SIZES = [(128, 160), pytest.param((96, 96), marks=pytest.mark.slow)]


def stored(size, key: str) -> np.ndarray:
    return TORCHVISION[f"{PYRAMID}_{size[0]}x{size[1]}_{key}"]


@functools.lru_cache(1)
def answered(size):
    """(the task, its outputs for two pictures)."""
    task = models.build_task(PYRAMID, num_classes=CLASSES, input_size=size)
    fill(task.model)
    for name in ("rpn_box", "roi_box"):  # as two_stage_reference.py's CALM
        layer = task.model.get_layer(name)
        layer.set_weights([0.1 * weight for weight in layer.get_weights()])
    return task, task.model(formula.pictures(2, *size), training=False)


@pytest.mark.parametrize("name", ["faster_rcnn_resnet50_fpn"])
@pytest.mark.parametrize("size", SIZES)
def test_proposals_and_both_heads_equal_torchvisions(name, size):
    """Picture by picture: torchvision has no padding."""
    task, outputs = answered(size)
    assert task.info.name == name
    assert_close(outputs["rpn_cls"], stored(size, "logits"))
    first = 0
    for index, count in enumerate(stored(size, "counts")):
        part = slice(first, first + count)
        assert int(np.sum(outputs["objectness"][index] >= 0)) == count
        found = outputs["proposals"][index]
        np.testing.assert_allclose(found[:count], stored(size, "proposals")[part], atol=1e-3)
        assert not np.any(found[count:])
        for key in ("cls", "box"):
            assert_close(outputs[key][index, :count], stored(size, key)[part])
        first += count


@pytest.mark.parametrize("size", SIZES)
def test_detections_equal_torchvisions(size):
    task, outputs = answered(size)
    found = task.decode(outputs, score_threshold=0.05, iou_threshold=0.5, max_detections=100)
    for index in range(2):
        boxes, scores, labels = (stored(size, f"{k}{index}") for k in ("boxes", "scores", "labels"))
        assert int(tf.reduce_sum(tf.cast(found["valid"][index], tf.int32))) == len(boxes)
        np.testing.assert_allclose(found["scores"][index], scores, atol=1e-4)
        np.testing.assert_array_equal(found["classes"][index] + 1, labels)
        np.testing.assert_allclose(found["boxes"][index], boxes[:, [1, 0, 3, 2]], atol=1e-3)


BODY = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
BODY |= {"moving_variance": "running_var", "kernel": "weight", "bias": "bias"}
OWN = {
    "rpn_conv": "rpn.head.conv.0.0",
    "rpn_cls": "rpn.head.cls_logits",
    "rpn_box": "rpn.head.bbox_pred",
    "fc6": "roi_heads.box_head.fc6",
    "fc7": "roi_heads.box_head.fc7",
    "roi_cls": "roi_heads.box_predictor.cls_score",
    "roi_box": "roi_heads.box_predictor.bbox_pred",
}
OWN |= {f"fpn_inner{i}": f"backbone.fpn.inner_blocks.{i - 1}.0" for i in range(1, 5)}
OWN |= {f"fpn_layer{i}": f"backbone.fpn.layer_blocks.{i - 1}.0" for i in range(1, 5)}


def torch_name(layer: str) -> str:
    """Ours as torchvision has it: stage2_block1_conv3 is layer2.0.conv3."""
    if layer in OWN:
        return OWN[layer]
    if layer.startswith("stem"):
        return {"stem_conv": "backbone.body.conv1", "stem_norm": "backbone.body.bn1"}[layer]
    stage, block, part = layer.split("_", 2)
    part = {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}.get(
        part, part.replace("norm", "bn")
    )
    return f"backbone.body.layer{stage[-1]}.{int(block[5:]) - 1}.{part}"


def as_torch(layer: str, value: np.ndarray) -> np.ndarray:
    if layer in ("rpn_box", "roi_box"):
        fours = value.reshape(*value.shape[:-1], -1, 4)
        value = fours[..., [1, 0, 3, 2]].reshape(value.shape)
    if layer == "fc6" and value.ndim == 2:
        value = value.reshape(7, 7, 256, -1).transpose(2, 0, 1, 3).reshape(value.shape)
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    return value.T if value.ndim == 2 else value


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_torchvisions_file_loads(older, tmp_path):
    """Under today's names, and under those of 2019, whose BatchNorm has no epsilon."""
    model = models.build_task(PYRAMID, num_classes=CLASSES, input_size=(64, 64)).model
    values, tensors = {}, {}
    for layer in model.layers:
        for variable in layer.weights if layer.name != "proposals" else []:
            path = f"{layer.name}/{variable.name}"
            values[path] = formula.weight(path, tuple(variable.shape))
            name = f"{torch_name(layer.name)}.{BODY[variable.name]}"
            if older:
                name = name.replace("rpn.head.conv.0.0", "rpn.head.conv")
                name = name.replace(".0.weight", ".weight") if "_blocks." in name else name
                name = name.replace(".0.bias", ".bias") if "_blocks." in name else name
            tensors[name] = as_torch(layer.name, values[path])
    report = load.load(model, PYRAMID, write_safetensors(tmp_path / "n.safetensors", tensors))
    assert not report.missing
    assert not report.mismatched
    for layer in model.layers:
        for variable in layer.weights if layer.name != "proposals" else []:
            expected = values[f"{layer.name}/{variable.name}"]
            if older and variable.name == "moving_variance":
                expected = expected - np.float32(1e-5)
            np.testing.assert_array_equal(variable, expected, err_msg=variable.path)


def test_every_layer_has_a_name_there():
    layers = [layer.name for layer in weightless(PYRAMID).layers if layer.weights]
    named = {torch_name(name) for name in layers if name != "proposals"}
    assert len(named) == 53 * 2 + 8 + 3 + 4
