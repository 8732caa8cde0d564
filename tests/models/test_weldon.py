"""WELDON's pooling against NumPy, on any backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from models.classification import weldon
from tests.models.test_parity import assert_close, fill
from tests.parity import formula


def extremes(x, highest, lowest, weight=1.0):
    """[B, H, W, K]: the authors' rule on sorted scores."""
    rows = np.sort(x.reshape(len(x), -1, x.shape[-1]), axis=1)
    n = rows.shape[1]
    high, low = (round(k * n) if 0 < k < 1 else min(int(k), n) for k in (highest, lowest))
    top = rows[:, n - high :].mean(1)
    return (top + weight * rows[:, :low].mean(1)) / 2 if low else top


@pytest.mark.parametrize(
    ("highest", "lowest", "weight"),
    [(1, 1, 1.0), (3, 2, 1.0), (0.2, 0.2, 1.0), (4, 0, 1.0), (0.3, 5, 0.7), (1000, 1000, 1.0)],
)
def test_pooling_is_the_authors_rule(highest, lowest, weight):
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 4)).astype(np.float32)
    found = weldon.ExtremePool(highest, lowest, weight)(x)
    np.testing.assert_allclose(found, extremes(x, highest, lowest, weight), rtol=1e-5, atol=1e-6)


def test_by_hand():
    """Scores 1 to 6: (mean of 6, 5 + mean of 1, 2) / 2 = 3.5; the gradient is 1/4 on each."""
    x = tf.reshape(tf.range(1.0, 7.0), (1, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = weldon.ExtremePool(2)(x)
    np.testing.assert_allclose(score, [[3.5]])
    gradient = np.ravel(tape.gradient(score, x))
    np.testing.assert_allclose(gradient, [0.25, 0.25, 0, 0, 0.25, 0.25])


def test_numbers_of_positions():
    assert weldon.positions(0.2, 196) == 39
    assert weldon.positions(0.001, 196) == 1
    assert weldon.positions(7, 196) == 7
    assert weldon.positions(7, 4) == 4
    with pytest.raises(ValueError, match="highest > 0"):
        weldon.ExtremePool(0)


def test_head_fits_any_backbone():
    backbone = models.build("mobilenet_v1", num_classes=None, input_size=(96, 64), width=0.25)
    logits = weldon.head(backbone.output["s32"], 3, highest=2, lowest=1)
    model = fill(keras.Model(backbone.input, logits))
    images = formula.pictures(2, 96, 64)
    features = np.asarray(backbone(images, training=False)["s32"])
    layer = model.get_layer("scores")
    scores = features @ layer.kernel.numpy()[0, 0] + layer.bias.numpy()
    assert_close(model(images, training=False), extremes(scores, 2, 1))


def test_published_count():
    """torchvision's ResNet-101 without its last layer, and 20 classes of 2048."""
    resnet = models.describe("resnet101").params - 1000 * 2049
    assert models.describe("weldon_resnet101").params == resnet + 20 * 2049 == 42_541_140


def test_saved_settings_come_back():
    layer = weldon.ExtremePool(0.25, 3, 0.5)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    x = np.random.default_rng(1).normal(size=(1, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(twin(x), layer(x))
