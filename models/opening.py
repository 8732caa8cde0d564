"""Classes of what is no picture: strings that become a network's input in the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from convoy.models.spec import Task


def opening(task: Task, opened: Callable | None, field: str, name: str) -> Task:
    """The task of a classifier that sees `opened` of a field of strings instead of pictures.

    opened: strings [B] -> the model's input, as models.spec.Task has it; None where TensorFlow is
    not installed: network, loss and decoding do without. name: of the input among the targets.
    """

    def encode(annotation):
        return {**task.encode(annotation), name: opened(annotation[field][None])[0]}

    def wiring(model, batch):
        return model(batch["targets"][name], training=True)

    return dataclasses.replace(task, encode=encode, wiring=wiring, opened=opened)
