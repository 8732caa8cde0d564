"""Optimizers and learning-rate schedules from a recipe's `train` section."""

from __future__ import annotations

import math

import keras
from keras import ops

from convoy.models import keras_internals
from convoy.pipeline.config import Train


@keras.saving.register_keras_serializable("convoy")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to the peak, then constant, steps, or half a cosine down to 0.

    Cosine: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, one period, no restart.
    All lengths are in optimizer steps.
    """

    def __init__(self, peak, kind, warmup_steps, total_steps, boundaries=(), factor=0.1):
        super().__init__()
        self.peak = peak
        self.kind = kind
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.boundaries = tuple(boundaries)
        self.factor = factor

    def __call__(self, step):
        step = ops.cast(step, "float32")
        if self.kind == "constant":
            rate = ops.ones(())
        elif self.kind == "step":
            passed = sum(ops.cast(step >= boundary, "float32") for boundary in self.boundaries)
            rate = ops.power(self.factor, passed) if self.boundaries else ops.ones(())
        else:
            span = max(self.total_steps - self.warmup_steps, 1)
            part = ops.clip((step - self.warmup_steps) / span, 0.0, 1.0)
            rate = 0.5 * (1.0 + ops.cos(math.pi * part))
        if self.warmup_steps:
            warm = (step + 1.0) / self.warmup_steps
            rate = ops.where(step < self.warmup_steps, warm, rate)
        return self.peak * rate

    def get_config(self):
        return {
            "peak": self.peak,
            "kind": self.kind,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "boundaries": list(self.boundaries),
            "factor": self.factor,
        }


def build(train: Train, *, total_steps: int, steps_per_epoch: float) -> keras.optimizers.Optimizer:
    """The optimizer; for mixed_float16 inside a LossScaleOptimizer.

    L2 weight decay and gradient clipping belong to the training step (they must see the gradient
    summed over replicas); adamw's decoupled decay is the optimizer's own.
    """
    rate = WarmupSchedule(
        train.learning_rate,
        train.schedule,
        round(train.warmup_epochs * steps_per_epoch),
        total_steps,
        tuple(round(epoch * steps_per_epoch) for epoch in train.step_epochs),
        train.step_factor,
    )
    # One name for all: Keras would number optimizers by process, and checkpoints hold the names.
    common = {"name": "optimizer", "use_ema": train.ema is not None}
    if train.ema is not None:
        common["ema_momentum"] = train.ema
    makers = {
        "sgd": lambda: keras.optimizers.SGD(rate, **common),
        "momentum": lambda: keras.optimizers.SGD(rate, momentum=train.momentum, **common),
        "adam": lambda: keras.optimizers.Adam(rate, **common),
        "adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=train.weight_decay, **common),
        # Kim 2014 and its author's code: rho 0.95, epsilon 1e-6
        "adadelta": lambda: keras.optimizers.Adadelta(rate, rho=0.95, epsilon=1e-6, **common),
        "rmsprop": lambda: keras.optimizers.RMSprop(
            rate, rho=0.9, momentum=train.momentum, epsilon=1e-3, **common
        ),
    }
    optimizer = makers[train.optimizer]()
    if train.optimizer == "adamw":
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "scale"])
    if train.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def slow_down(optimizer: keras.optimizers.Optimizer, factors: list[float]) -> None:
    """Gives each variable that the built optimizer updates its own part of the learning rate.

    factors: in the order of the variables it was built for. What is momentum or a running mean of
    gradients stays as it is; adamw's decay keeps the whole rate.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    update = inner.update_step

    def slower(gradient, variable, learning_rate):
        factor = factors[keras_internals.variable_index(inner, variable)]
        return update(gradient, variable, learning_rate * factor)

    inner.update_step = slower


def rate_of(optimizer: keras.optimizers.Optimizer):
    """The learning rate as a function of the step."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    schedule = keras_internals.learning_rate(inner)
    return lambda at: float(ops.convert_to_numpy(schedule(at)))
