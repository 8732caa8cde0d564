"""What a recipe makes of a network, beside its weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy.pipeline.config import Model, Train
from convoy.pipeline.networks import network


@pytest.fixture(autouse=True)
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("precision", "depthwise", "others"),
    [
        ("float32", "float32", "float32"),
        ("mixed_bfloat16", "float32", "bfloat16"),
        ("mixed_float16", "float16", "float16"),
    ],
)
def test_depthwise_convolutions_of_a_processor(precision, depthwise, others):
    model = Model(name="mobilenet_v1", input_size=(32, 32), width=0.25)
    built = network.build(model, ("a", "b"), Train(precision=precision)).model
    kinds: dict[bool, set] = {True: set(), False: set()}
    for layer in built.layers:
        if layer.name == "logits":  # float32 everywhere
            continue
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kinds[isinstance(layer, keras.layers.DepthwiseConv2D)].add(layer.compute_dtype)
    assert kinds == {True: {depthwise}, False: {others}}
    assert {variable.dtype for variable in built.variables} == {"float32"}
    assert np.isfinite(built(np.ones((1, 32, 32, 3)), training=True)).all()
