"""From a network's inputs to what is served: the one way, for the server and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from convoy.models.spec import Task


def answering(
    task: Task,
    network: Callable,
    labels: Sequence[str],
    limits: Mapping[str, Any],
    *,
    stacked: bool = False,
) -> Callable:
    """(inputs, matrices, sizes) -> what is served; see `answer` of `models.spec.Task`.

    network: the task's model, or another form of it: inputs -> raw outputs, float32. limits: of the
    task's decoding, as its row in models/tasks.py names them. stacked: of pictures of one size.
    """
    names = tf.constant(list(labels))
    answer_of = (task.stacked if stacked else None) or task.answer

    def answer(inputs, matrices=None, sizes=None):
        return answer_of(task.decode(network(inputs), **limits), matrices, sizes, names)

    return answer
