"""Learning rates by hand, and what the optimizers are made of."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from convoy.pipeline.config import Train
from convoy.pipeline.training import optimizers
from convoy.pipeline.training.optimizers import WarmupSchedule


def rates(steps, **train) -> list[float]:
    optimizer = optimizers.build(
        Train(learning_rate=0.1, **train), total_steps=100, steps_per_epoch=10
    )
    rate = optimizers.rate_of(optimizer)
    return [rate(step) for step in steps]


def test_warmup_is_linear_and_reaches_the_peak():
    """Two epochs are 20 steps: the first runs at a twentieth of the peak, the twentieth at it."""
    got = rates([0, 9, 19, 20, 99], schedule="constant", warmup_epochs=2)
    np.testing.assert_allclose(got, [0.005, 0.05, 0.1, 0.1, 0.1], rtol=1e-5)


def test_cosine_falls_to_zero():
    """After 20 warm-up steps 80 are left: a quarter, the middle and the end of half a cosine."""
    got = rates([20, 40, 60, 100, 130], schedule="cosine", warmup_epochs=2)
    quarter = 0.05 * (1 + math.cos(math.pi / 4))
    np.testing.assert_allclose(got, [0.1, quarter, 0.05, 0, 0], atol=1e-7)
    np.testing.assert_allclose(rates([0, 50, 99], schedule="cosine")[:2], [0.1, 0.05], rtol=1e-5)
    assert 0 < rates([99], schedule="cosine")[0] < 1e-4


def test_steps_multiply_at_their_epochs():
    got = rates([0, 29, 30, 79, 80, 99], schedule="step", step_epochs=(3, 8), step_factor=0.5)
    np.testing.assert_allclose(got, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025], rtol=1e-5)
    np.testing.assert_allclose(rates([0, 99], schedule="step"), [0.1, 0.1], rtol=1e-6)


def test_a_warmup_longer_than_the_training():
    got = rates([0, 99], schedule="cosine", warmup_epochs=20)
    np.testing.assert_allclose(got, [0.0005, 0.05], rtol=1e-5)


def test_schedule_survives_serialization():
    schedule = WarmupSchedule(0.2, "step", 5, 50, (10, 20), 0.3)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    steps = [0, 4, 10, 25]
    np.testing.assert_array_equal(
        [float(schedule(s)) for s in steps], [float(again(s)) for s in steps]
    )
    np.testing.assert_allclose(
        [float(again(s)) for s in steps], [0.04, 0.2, 0.06, 0.018], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", keras.optimizers.SGD),
        ("momentum", keras.optimizers.SGD),
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("rmsprop", keras.optimizers.RMSprop),
    ],
)
def test_kinds(name, kind):
    optimizer = optimizers.build(
        Train(optimizer=name, momentum=0.7, ema=0.9), total_steps=10, steps_per_epoch=1
    )
    assert type(optimizer) is kind
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    if name in ("sgd", "momentum"):
        assert optimizer.momentum == (0.7 if name == "momentum" else 0.0)


def test_sgd_steps_by_hand():
    """v = 0.9 v - lr g; w += v. With g = 1 and lr = 0.1: 1 - 0.1 - (0.09 + 0.1) = 0.71."""
    weight = keras.Variable([1.0])
    optimizer = optimizers.build(
        Train(learning_rate=0.1, schedule="constant"), total_steps=10, steps_per_epoch=1
    )
    optimizer.build([weight])
    for _ in range(2):
        optimizer.apply([np.ones(1, np.float32)], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.71], rtol=1e-6)


def test_adamw_decays_kernels_alone():
    """Without a gradient a kernel shrinks by lr * decay, names of vectors stay as they are."""
    kernel, gamma = keras.Variable([2.0], name="kernel"), keras.Variable([2.0], name="gamma")
    optimizer = optimizers.build(
        Train(optimizer="adamw", learning_rate=0.1, weight_decay=0.5, schedule="constant"),
        total_steps=10,
        steps_per_epoch=1,
    )
    optimizer.build([kernel, gamma])
    optimizer.apply([np.zeros(1, np.float32)] * 2, [kernel, gamma])
    np.testing.assert_allclose([kernel.numpy()[0], gamma.numpy()[0]], [1.9, 2.0], rtol=1e-6)


def test_float16_scales_the_loss():
    optimizer = optimizers.build(
        Train(precision="mixed_float16", learning_rate=0.3), total_steps=10, steps_per_epoch=1
    )
    assert type(optimizer) is keras.optimizers.LossScaleOptimizer
    assert optimizers.rate_of(optimizer)(0) == pytest.approx(0.3)
