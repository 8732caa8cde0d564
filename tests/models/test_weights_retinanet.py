"""torchvision's files of RetinaNet: their names of now and then, the body's, other classes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity import GOLDEN, assert_close
from tests.models.test_weights_torch import true_tensors, write_safetensors
from tests.parity import formula


def published(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A detector's under the names of torchvision before 0.13, as its published files have them."""
    found = {}
    for name, value in tensors.items():
        name = re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name)
        name = re.sub(r"(_head\.conv\.)(\d)\.0\.", lambda m: f"{m[1]}{2 * int(m[2])}.", name)
        # Batch normalisation there divides by the root of the variance alone.
        found[name] = value + np.float32(1e-5) if name.endswith("running_var") else value
    return found


@pytest.mark.parametrize("names", ["now", "published"])
def test_retinanet_s_outputs_are_the_reference_s(names, tmp_path):
    network, size = "retinanet_resnet50_fpn", (96, 128)
    tensors = true_tensors(network)
    if names == "published":
        tensors = published(tensors)
        assert "head.regression_head.conv.6.weight" in tensors
        assert "backbone.fpn.layer_blocks.2.weight" in tensors
    path = write_safetensors(tmp_path / "true.safetensors", tensors)
    model = models.build(network, num_classes=10, input_size=size)
    report = load.load(model, network, path)
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    outputs = model(formula.pictures(2, *size), training=False)
    with np.load(GOLDEN / "weights_torch.npz") as golden:
        for part in ("cls", "box"):
            assert_close(outputs[part][:, ::149], golden[f"{network}_{part}"])


def test_retinanet_takes_the_body_s_file_and_a_file_of_other_classes(tmp_path):
    network = "retinanet_resnet50_fpn"
    model = models.build(network, num_classes=3, input_size=(64, 64))
    path = write_safetensors(tmp_path / "body.safetensors", true_tensors("resnet50"))
    report = load.load(model, network, path)
    assert report.mismatched == []
    assert {entry.split("_")[0].rstrip("/") for entry in report.missing} == {"fpn", "cls", "box"}
    whole = write_safetensors(tmp_path / "whole.safetensors", true_tensors(network))
    report = load.load(model, network, whole)
    assert {entry.split(" ")[0] for entry in report.mismatched} == {
        "cls_logits/kernel",
        "cls_logits/bias",
    }
    assert len(report.matched) == len(model.weights) - 2
    with pytest.raises(ValueError, match="does not hold the weights of resnet50"):
        load.load(model, network, write_safetensors(path, true_tensors("resnet18")))
