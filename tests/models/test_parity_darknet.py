"""Darknet's classification networks against OpenCV reading the authors' cfg files.

tests/golden/darknet.npz is written by tests/parity/darknet_reference.py.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import activations
from convoy.models.classification import darknet
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula


@pytest.mark.parametrize(
    "name", ["darknet19", pytest.param("darknet53", marks=pytest.mark.slow), "cspdarknet53"]
)
def test_equals_opencv(name):
    golden = np.load(GOLDEN / "darknet.npz")
    model = fill(models.build(name, num_classes=10, input_size=(64, 64)))
    for layer in model.layers:
        if hasattr(layer, "kernel"):  # as the script does, so that logits depend on the picture
            layer.kernel.assign(layer.kernel * np.float32(2**0.5))
    assert_close(model(formula.pictures(2, 64, 64), training=False), golden[f"{name}_64x64"], 1e-5)
    odd = models.build(name, num_classes=10, input_size=(75, 97))
    odd.set_weights(model.get_weights())
    assert_close(odd(formula.pictures(2, 75, 97), training=False), golden[f"{name}_75x97"], 1e-5)


@pytest.mark.parametrize("variance", [1e-4, 0.03, 2.0])
def test_darknets_norm_by_another_variance(variance):
    """darknet.py: (x - mean) / (sqrt(v) + 1e-6) is BatchNorm with (sqrt(v) + 1e-6)^2 - 1e-5."""
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, darknet.conv(image, 3, 1, name="conv", activation="linear"))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4, 3)).astype(np.float32)
    model.get_layer("conv").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    stored = (np.sqrt(variance) + 1e-6) ** 2 - 1e-5
    ones = np.ones(3, np.float32)
    model.get_layer("conv_norm").set_weights([ones, 0 * ones, 0.1 * ones, stored * ones])
    expected = (x - 0.1) / (np.sqrt(variance) + 1e-6)
    assert_close(model(x), expected, 1e-5)


def test_mish_and_its_gradient():
    x = np.concatenate([np.linspace(-120, 120, 4801), [0.0, -0.0, 1e-30, -1e-30]])
    softplus = np.logaddexp(x, 0)
    inputs = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = activations.Mish()(inputs)
    np.testing.assert_allclose(outputs, x * np.tanh(softplus), rtol=2e-6, atol=1e-30)
    gradient = np.tanh(softplus) + x * (1 - np.tanh(softplus) ** 2) / (1 + np.exp(-x))
    np.testing.assert_allclose(tape.gradient(outputs, inputs), gradient, atol=1e-6)


def test_mish_after_convolution_and_norm_runs_in_a_graph():
    """Keras' own mish fails here on CPUs: TensorFlow joins the three and lacks the kernel."""
    image = keras.Input((8, 8, 3))
    model = fill(keras.Model(image, darknet.conv(image, 4, 3, name="conv", activation="mish")))
    x = formula.pictures(2, 8, 8) / 255
    graph = tf.function(lambda x: model(x, training=False))
    assert_close(graph(x), model(x, training=False), 1e-6)
