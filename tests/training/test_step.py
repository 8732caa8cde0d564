"""The training step against numbers worked out by hand, and its guard against bad numbers."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.classification import task as classification
from convoy.models.spec import Task
from convoy.pipeline.components import trainer
from convoy.pipeline.config import Train
from convoy.pipeline.training import loop, optimizers, step
from tests.training import train_once


def _linear(dtype: str = "float32") -> Task:
    """Two inputs, two classes, no bias, all weights 0."""
    image = keras.Input((2,))
    outputs = keras.layers.Dense(
        2, use_bias=False, kernel_initializer="zeros", dtype=dtype, name="logits"
    )(image)
    outputs = keras.layers.Activation("linear", dtype="float32")(outputs)

    def loss(targets, logits):
        each = losses.classification(targets["label"], logits)
        return {"cls": (tf.reduce_sum(each), tf.cast(tf.size(each), tf.float32))}

    info = models.describe("lenet5")
    common = classification.build(keras.Model(image, outputs), info)
    return dataclasses.replace(common, loss=loss)


# One row x = (2, 4) of class 0 at W = 0: softmax = (.5, .5), dL/dlogits = (-.5, .5), so
# dL/dW = x (outer) (-.5, .5) = [[-1, 1], [-2, 2]]; its norm is sqrt(10).
BATCH = {"image": tf.constant([[2.0, 4.0]]), "targets": {"label": tf.constant([0])}}
GRADIENT = np.array([[-1.0, 1.0], [-2.0, 2.0]])


def _one_step(batch=BATCH, start=0.0, dtype="float32", **train) -> tuple[np.ndarray, dict]:
    params = Train(**{"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.1, **train})
    task = _linear(dtype)
    task.model.set_weights([np.full((2, 2), start, np.float32)])
    optimizer = optimizers.build(params, total_steps=10, steps_per_epoch=5)
    optimizer.build(task.model.trainable_variables)
    run = step.build(task, optimizer, params, tf.distribute.get_strategy())
    result = {name: float(value) for name, value in run(batch).items()}
    return task.model.get_weights()[0], result


def test_sgd_step_by_hand():
    weights, result = _one_step()
    np.testing.assert_allclose(weights, -0.1 * GRADIENT, rtol=1e-6)
    assert result["cls"] == pytest.approx(np.log(2))


def test_loss_is_divided_by_the_normalizer():
    double = {"image": tf.constant([[2.0, 4.0]] * 2), "targets": {"label": tf.constant([0, 0])}}
    weights, result = _one_step(double)
    np.testing.assert_allclose(weights, -0.1 * GRADIENT, rtol=1e-6)
    assert result["loss"] == pytest.approx(np.log(2))


def test_each_loss_has_its_own_normalizer():
    """ln 2 over 1; 4 over 8, as W = 0; and one of nothing, which is divided by 1."""
    task = _linear()

    def loss(targets, logits):
        rows = losses.classification(targets["label"], logits)
        return {
            "cls": (tf.reduce_sum(rows), tf.constant(1.0)),
            "far": (4.0 + tf.reduce_sum(logits[:, 0]), tf.constant(8.0)),
            "none": (0.0 * tf.reduce_sum(logits), tf.constant(0.0)),
        }

    params = Train(optimizer="sgd", schedule="constant", learning_rate=0.1)
    optimizer = optimizers.build(params, total_steps=10, steps_per_epoch=5)
    optimizer.build(task.model.trainable_variables)
    task = dataclasses.replace(task, loss=loss)
    run = step.build(task, optimizer, params, tf.distribute.get_strategy())
    result = {name: float(value) for name, value in run(BATCH).items()}
    assert result == pytest.approx(
        {"cls": np.log(2), "far": 0.5, "none": 0.0, "loss": np.log(2) + 0.5}
    )
    # The second loss adds x / 8 to the gradient of the first column.
    expected = GRADIENT + np.array([[2.0, 0], [4.0, 0]]) / 8
    np.testing.assert_allclose(task.model.get_weights()[0], -0.1 * expected, rtol=1e-6)


def test_forward_sees_the_whole_batch():
    """A network that looks at the truth: of class 0 it doubles the picture, so the gradient too."""
    task = _linear()

    def wiring(model, batch):
        factor = tf.where(batch["targets"]["label"] == 0, 2.0, 1.0)
        return model(batch["image"] * factor[:, None], training=True)

    params = Train(optimizer="sgd", schedule="constant", learning_rate=0.1)
    optimizer = optimizers.build(params, total_steps=10, steps_per_epoch=5)
    optimizer.build(task.model.trainable_variables)
    task = dataclasses.replace(task, wiring=wiring)
    step.build(task, optimizer, params, tf.distribute.get_strategy())(BATCH)
    np.testing.assert_allclose(task.model.get_weights()[0], -0.2 * GRADIENT, rtol=1e-6)


def test_weight_decay_is_l2_of_the_kernels():
    # Equal weights keep softmax at (.5, .5): W - 0.1 * (gradient + 0.5 * W), L2 = 0.5/2 * 4 * 3^2.
    weights, result = _one_step(start=3.0, weight_decay=0.5)
    np.testing.assert_allclose(weights, 3.0 - 0.1 * (GRADIENT + 1.5), rtol=1e-5)
    assert result["l2"] == pytest.approx(9.0)


def test_gradient_is_clipped_to_the_norm():
    weights, _ = _one_step(clip_norm=1.0)
    np.testing.assert_allclose(weights, -0.1 * GRADIENT / np.sqrt(10.0), rtol=1e-6)
    weights, _ = _one_step(clip_norm=4.0)  # sqrt(10) is below
    np.testing.assert_allclose(weights, -0.1 * GRADIENT, rtol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_float16_scales_the_loss_and_gives_the_same_step(clip_norm):
    # A tenth of the row, so that 2^15 times its gradient still fits into float16.
    small = {**BATCH, "image": BATCH["image"] / 10}
    weights, result = _one_step(
        small, dtype="mixed_float16", precision="mixed_float16", clip_norm=clip_norm
    )
    # Clipped to 0.1, the gradient of norm sqrt(10) / 10 becomes 0.1 / sqrt(10) of GRADIENT.
    expected = -0.1 * GRADIENT * (0.1 / np.sqrt(10.0) if clip_norm else 0.1)
    np.testing.assert_allclose(weights, expected, rtol=1e-3)
    assert result["loss"] == pytest.approx(np.log(2), rel=1e-3)


def test_float16_overflow_skips_the_step():
    # 2^15 * 2 does not fit into float16.
    weights, result = _one_step(dtype="mixed_float16", precision="mixed_float16", clip_norm=1.0)
    np.testing.assert_array_equal(weights, np.zeros((2, 2)))
    assert result["loss"] == pytest.approx(np.log(2), rel=1e-3)


def test_averaged_weights_are_swapped_in_and_out():
    params = Train(optimizer="sgd", schedule="constant", learning_rate=0.1, ema=0.75)
    task = _linear()
    optimizer = optimizers.build(params, total_steps=10, steps_per_epoch=5)
    optimizer.build(task.model.trainable_variables)
    run = step.build(task, optimizer, params, tf.distribute.get_strategy())
    history = []
    for _ in range(2):
        run(BATCH)
        history.append(task.model.get_weights()[0])
    # The first step starts the average at the weights; then 0.75 of it and 0.25 of the new ones.
    with loop.averaged_weights(task.model, optimizer):
        np.testing.assert_allclose(
            task.model.get_weights()[0], 0.75 * history[0] + 0.25 * history[1], rtol=1e-6
        )
    np.testing.assert_array_equal(task.model.get_weights()[0], history[1])


def test_a_loss_that_is_not_finite_stops_and_names_the_pictures(class_records, tmp_path):
    params = train_once.params(
        model={"name": "lenet5"}, learning_rate=1e30, clip_norm=None, schedule="constant"
    )
    with pytest.raises(loop.NonFiniteLoss, match=r"step [2-6].*Pictures of the batch: .*\d\d"):
        trainer.run({"examples": class_records}, params, tmp_path)
