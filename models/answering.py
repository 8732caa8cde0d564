"""From a network's inputs to what is served: the one way, for the server and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from convoy.models.spec import Task


def answering(
    task: Task, network: Callable, labels: Sequence[str], limits: Mapping[str, Any]
) -> Callable:
    """(inputs, matrices, sizes) -> what is served; see `answer` of `models.spec.Task`.

    network: the task's model, or another form of it: inputs -> raw outputs, float32. limits: of the
    task's decoding, as its row in models/tasks.py names them.
    """
    names = tf.constant(list(labels))

    def answer(inputs, matrices=None, sizes=None):
        return task.answer(task.decode(network(inputs), **limits), matrices, sizes, names)

    return answer
