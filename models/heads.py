"""Outputs that serve training alone: auxiliary heads."""

from __future__ import annotations

import dataclasses

import keras

from convoy.models import count
from convoy.models.spec import Task


def without_heads(task: Task) -> Task:
    """The task by the part of its network that answers; one output that is left is a tensor."""
    outputs = task.model.output
    if not task.reads or not isinstance(outputs, dict) or set(outputs) == set(task.reads):
        return task
    kept = {name: outputs[name] for name in task.reads}
    if len(kept) == 1:
        (kept,) = kept.values()
    model = keras.Model(task.model.input, kept, name=task.model.name)
    return with_model(task, model)


def with_model(task: Task, model: keras.Model) -> Task:
    """The same task by another network."""
    info = dataclasses.replace(task.info, params=count.params(model), macs=count.macs(model))
    return dataclasses.replace(task, model=model, info=info)
