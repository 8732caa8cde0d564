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
    if task.around:
        network = task.around(network)
    if task.at_once:
        network = in_pieces(network, task.at_once)

    def answer(inputs, matrices=None, sizes=None):
        if task.windows is not None:
            pictures = tf.shape(inputs)[0]
            inputs = [inputs, tf.tile(tf.constant(task.windows)[None], [pictures, 1, 1])]
        return answer_of(task.decode(network(inputs), **limits), matrices, sizes, names)

    return answer


def in_pieces(network: Callable, rows: int) -> Callable:
    """A network of [pictures, boxes [B, R, 4]] that sees `rows` boxes of each picture at a time.

    Its outputs are dicts of tensors [B, R, ...], box by box: R becomes a multiple of `rows`, by
    boxes of 0.
    """

    def call(inputs):
        image, boxes = inputs
        pictures, missing = tf.shape(boxes)[0], -tf.shape(boxes)[1] % rows
        padded = tf.pad(boxes, [[0, 0], [0, missing], [0, 0]])
        pieces = tf.transpose(tf.reshape(padded, [pictures, -1, rows, 4]), [1, 0, 2, 3])
        like = network([image, pieces[0]])  # for its structure alone: nothing reads the values
        specs = {name: tf.TensorSpec([None, rows, *x.shape[2:]]) for name, x in like.items()}
        found = tf.map_fn(
            lambda piece: network([image, piece]),
            pieces,
            fn_output_signature=specs,
            parallel_iterations=1,
        )
        return {name: _joined(x, pictures) for name, x in found.items()}

    return call


def _joined(x: tf.Tensor, pictures) -> tf.Tensor:
    """[pieces, B, rows, ...] -> [B, pieces * rows, ...]."""
    rest = x.shape[3:]
    order = [1, 0, *range(2, 3 + len(rest))]
    return tf.reshape(tf.transpose(x, order), [pictures, -1, *rest])
