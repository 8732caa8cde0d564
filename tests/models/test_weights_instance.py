"""Mask R-CNN's counts and files are torchvision's."""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity_two_stage import BODY, as_torch, torch_name
from tests.models.test_weights_torch import write_safetensors
from tests.models.weightless import weightless
from tests.parity import formula

CLASSES = 4

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
