"""Run a network over a split of records; trainer, evaluator and pruning share this.

ask = predict.predictor(task, labels, limits)
numbers = predict.measure(tasks.of(name).Metrics(labels), predict.answers(ask, stream))
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from convoy.data.example import decode
from convoy.data.input import damage
from convoy.data.input.input import Stream, evaluation_batches
from convoy.data.input.parse import content_of
from convoy.data.input.proposed import given_of
from convoy.data.sample import Sample
from convoy.models import tasks
from convoy.models.answering import answering
from convoy.models.spec import Task, seen

Answer = dict[str, np.ndarray]


def limits_of(task: str, export) -> dict[str, Any]:
    """What of a recipe's `export` the decoding of a task takes."""
    return {name: getattr(export, name) for name in tasks.row(task).limits}


def stream_of(task: Task, records: pathlib.Path, split: str, batch_size: int) -> Stream:
    """A split as the network sees it when it is evaluated: nothing of it is changed at random."""
    return Stream(
        records=records,
        split=split,
        fields=(*tasks.row(task.info.task).fields, *task.takes),
        preprocess=task.info.preprocess,
        encode=task.encode,
        batch_size=1 if whole(task) else batch_size,
        **given_of(records, task.takes),
    )


def whole(task: Task) -> bool:
    """Whether its pictures keep their sizes, so that no two of them make a batch."""
    return getattr(task.info.preprocess, "whole", False)


def predictor(
    task: Task, labels: Sequence[str], limits: Mapping[str, Any]
) -> Callable[[dict], dict]:
    """A tf.function around network, decoding and answer: a batch -> what is served of it [B, ...].

    It is traced at its first call: make one for all evaluations of a network.
    """
    served = answering(task, lambda x: task.model(x, training=False), labels, limits)

    @tf.function(autograph=False, reduce_retracing=True)
    def answer(batch):
        if task.opened:
            inputs = task.opened(batch[content_of(tasks.row(task.info.task).fields)])
        else:
            inputs = seen(batch["image"], batch, task.takes)
        return served(inputs, batch.get("matrix"), batch.get("size"))

    return answer


def answers(predict: Callable[[dict], dict], stream: Stream) -> Iterator[tuple[Sample, Answer]]:
    """Each sample of a split with what a `predictor` answers of it, in the order of the records."""
    for batch in _batches(stream):
        serialized = batch.pop("serialized").numpy()
        answered = {name: value.numpy() for name, value in predict(batch).items()}
        yield from one_by_one(map(decode, serialized), answered)


def _batches(stream: Stream) -> Iterator[dict]:
    """Of evaluation_batches. Raises CorruptRecord for a damaged record file."""
    try:
        yield from evaluation_batches(stream)
    except tf.errors.DataLossError:
        damage.check(stream.records, stream.split)
        raise


def one_by_one(
    samples: Iterable[Sample], answered: Mapping[str, np.ndarray]
) -> Iterator[tuple[Sample, Answer]]:
    """The answers of a batch [B, ...], each beside its sample."""
    for index, sample in enumerate(samples):
        yield sample, {name: values[index] for name, values in answered.items()}


def measure(metrics, answers: Iterable[tuple[Sample, Answer]]) -> dict[str, Any]:
    """The numbers of a task's `Metrics` over all answers."""
    for sample, answer in answers:
        metrics.update(sample, answer)
    return metrics.result()
