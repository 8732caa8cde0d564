"""The classifier's loss on class weights of mixed pictures: by hand, and beside plain labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import losses
from convoy.models.classification import task

LN2, LN4 = np.log(2), np.log(4)
LOGITS = np.float32([[0, LN2, 0, 0]])  # 1/5, 2/5, 1/5, 1/5


def classifier(label_smoothing: float = 0.0):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    return task.build(model, None, label_smoothing)


def test_weights_by_hand():
    """A quarter of the first class, three of the second: ln(5) / 4 + 3 ln(5/2) / 4."""
    found = task.soft_classification(np.float32([[0.25, 0.75, 0, 0]]), LOGITS)
    np.testing.assert_allclose(found, [0.25 * np.log(5) + 0.75 * np.log(2.5)], rtol=1e-6)


def test_smoothing_comes_on_top():
    """s = 0.4, K = 4: the weights become 0.6 * (1/4, 3/4, 0, 0) + 0.1 = 0.25, 0.55, 0.1, 0.1."""
    found = task.soft_classification(np.float32([[0.25, 0.75, 0, 0]]), LOGITS, 0.4)
    np.testing.assert_allclose(found, [0.45 * np.log(5) + 0.55 * np.log(2.5)], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_weights_equal_labels(smoothing):
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(6, 4)).astype("float32"), draw.integers(0, 4, 6)
    loss = classifier(smoothing).loss
    hard, count = loss({"label": labels}, logits)["cls"]
    soft, same = loss({"distribution": np.eye(4, dtype="float32")[labels]}, logits)["cls"]
    assert count == same == 6
    np.testing.assert_allclose(soft, hard, rtol=1e-6)
    expected = losses.classification(labels, logits, smoothing)
    np.testing.assert_allclose(soft, np.sum(expected), rtol=1e-6)


def test_the_sum_over_a_batch():
    logits = np.concatenate([LOGITS, np.zeros((1, 4), np.float32)])
    weights = np.float32([[0, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]])
    found, count = classifier().loss({"distribution": weights}, logits)["cls"]
    np.testing.assert_allclose(found, np.log(2.5) + LN4, rtol=1e-6)
    assert count == 2


def test_the_gradient_is_softmax_minus_weights():
    logits, weights = tf.constant(LOGITS), np.float32([[0.25, 0.75, 0, 0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = task.soft_classification(weights, logits)
    expected = np.array([[0.2, 0.4, 0.2, 0.2]]) - weights
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


def test_half_precision_is_computed_in_float32():
    half = tf.cast([[0.5, 0.5]], tf.bfloat16)
    found = task.soft_classification(half, tf.zeros([1, 2], tf.bfloat16))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, [LN2], rtol=1e-6)
