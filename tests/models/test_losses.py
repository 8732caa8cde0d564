"""Losses: numbers worked out by hand, and what happens without positives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import losses
from convoy.models.classification import task

LN2, LN4 = np.log(2), np.log(4)


def test_cross_entropy_by_hand():
    logits = np.float32([[0, 0, 0, 0], [0, LN2, 0, 0]])  # the second: 1/5, 2/5, 1/5, 1/5
    found = losses.cross_entropy(np.array([2, 1]), logits)
    np.testing.assert_allclose(found, [LN4, np.log(2.5)], rtol=1e-6)


def test_label_smoothing_by_hand():
    """s = 0.4, K = 4: 0.6 * -ln(2/5) + 0.1 * (-ln(2/5) - 3 ln(1/5))."""
    expected = 0.7 * np.log(2.5) + 0.3 * np.log(5)
    found = losses.classification(np.array([1]), np.float32([[0, LN2, 0, 0]]), 0.4)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_classification_equals_keras():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(6, 5)).astype("float32"), draw.integers(0, 5, 6)
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1, reduction=None
    )
    expected = keras_loss(np.eye(5)[labels], logits)
    np.testing.assert_allclose(losses.classification(labels, logits, 0.1), expected, rtol=1e-5)


def test_extreme_logits_stay_finite():
    logits = tf.constant([[1e4, -1e4]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = losses.classification(np.array([1]), logits, 0.1)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, logits)).all()


def test_half_precision_is_computed_in_float32():
    found = losses.cross_entropy(np.array([0]), tf.constant([[0.0, 0.0]], tf.bfloat16))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, [LN2], rtol=1e-6)


def test_smooth_l1_by_hand():
    found = losses.smooth_l1(np.float32([0, 0, 0, 0]), np.float32([0.5, -1.0, 3.0, 0]))
    np.testing.assert_allclose(found, [0.125, 0.5, 2.5, 0.0])


def test_hard_negatives_by_hand():
    """Picture 1: one positive, so its three worst of four negatives; picture 2: no positive."""
    loss = np.float32([[9.0, 0.1, 0.4, 0.2, 0.3], [1.0, 2.0, 3.0, 4.0, 5.0]])
    positive = np.array([[True, False, False, False, False], [False] * 5])
    expected = [[1, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(losses.hard_negative_weights(loss, positive), expected)


def test_hard_negatives_with_ties_and_few_negatives():
    loss = np.float32([[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]])
    positive = np.array([[False, True, False, False, False, False], [True] * 4 + [False] * 2])
    expected = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(losses.hard_negative_weights(loss, positive), expected)


def multibox_case():
    """One picture, five priors, two classes; prior 0 is positive of class 1."""
    logits = np.zeros((1, 5, 3), np.float32)
    logits[0, 1, 0] = LN2  # background 1/2: the easiest negative, left out
    codes = np.zeros((1, 5, 4), np.float32)
    codes[0, 0] = [0.5, 0, 0, 2.0]
    codes[0, 3] = 7.0  # a background prior's box does not count
    targets = {
        "cls": np.array([[2, 0, 0, 0, 0]], np.int32),
        "box": np.zeros((1, 5, 4), np.float32),
    }
    return targets, {"cls": logits, "box": codes}


def test_multibox_by_hand():
    found = losses.multibox(*multibox_case())
    np.testing.assert_allclose(found["cls"][0], 4 * np.log(3), rtol=1e-6)  # 1 + 3 uniform rows
    np.testing.assert_allclose(found["box"][0], 0.125 + 1.5, rtol=1e-6)
    assert [float(normalizer) for _, normalizer in found.values()] == [1.0, 1.0]
    assert all(value.dtype == tf.float32 for part in found.values() for value in part)


def test_multibox_without_positives_is_zero_with_zero_gradient():
    targets, outputs = multibox_case()
    targets["cls"] = np.zeros_like(targets["cls"])
    outputs = {key: tf.constant(value) for key, value in outputs.items()}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        found = losses.multibox(targets, outputs)
        total = found["cls"][0] + found["box"][0]
    assert float(total) == 0.0
    assert [float(normalizer) for _, normalizer in found.values()] == [0.0, 0.0]
    for gradient in tape.gradient(total, outputs).values():
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


def test_classifier_encode_takes_the_first_label():
    dataset = tf.data.Dataset.from_tensors({"labels": np.array([4, 1, -1])}).map(task.encode)
    assert int(next(iter(dataset))["label"]) == 4


def test_classifier_encode_refuses_a_picture_without_label():
    dataset = tf.data.Dataset.from_tensors({"labels": np.array([-1, -1])})  # all is filling
    with pytest.raises(tf.errors.InvalidArgumentError, match="without a label"):
        next(iter(dataset.map(task.encode)))


def test_classifier_decode_by_hand():
    found = task.decode(np.float32([[0, LN2, 0]]))
    np.testing.assert_allclose(found["scores"], [[0.25, 0.5, 0.25]], rtol=1e-6)
    assert int(found["classes"][0]) == 1
