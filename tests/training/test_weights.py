"""A training that begins with published weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convoy.pipeline.components import trainer
from convoy.pipeline.networks import network
from tests.models.test_weights_torch import true_tensors, write_safetensors
from tests.training import train_once


@pytest.mark.slow
def test_training_begins_with_the_file_s_weights(class_records, tmp_path):
    """With a rate of almost nothing what was learnt is what was loaded."""
    path = write_safetensors(tmp_path / "resnet18.safetensors", true_tensors("resnet18"))
    model = {"name": "resnet18", "input_size": [32, 32], "weights": str(path)}
    workdir = tmp_path / "trainer"
    workdir.mkdir()
    params = train_once.params(model=model, steps=1, learning_rate=1e-12, ema=None)
    trainer.run({"examples": class_records}, params, workdir)
    report = json.loads((workdir / "weights.json").read_text())
    assert len(report["matched"]) == 100
    assert report["mismatched"][0].startswith("logits/kernel (512, 10) -> (512, ")
    task, _ = network.load(workdir)
    kernel = task.model.get_layer("stage4_block2_conv2").kernel
    expected = true_tensors("resnet18")["layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(kernel, expected, atol=1e-6)
