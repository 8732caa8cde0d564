"""What an exported model answers of a split of records: the pushed one, which must be matched."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sample import Sample
from convoy.pipeline.components.exporter import payload
from convoy.pipeline.evaluation.predict import Answer, one_by_one
from convoy.serving import client


def answers(
    model: pathlib.Path, records: pathlib.Path, split: str, batch_size: int
) -> Iterator[tuple[Sample, Answer]]:
    """Each sample of a split with the model's answer, as `predict.answers` gives a network's."""
    ask = client.load_local(model)
    stored = (record for shard in shards(records, split) for record in tfrecord.read(shard))
    while batch := list(itertools.islice(stored, batch_size)):
        samples = [decode(record) for record in batch]
        yield from one_by_one(samples, ask([payload(sample) for sample in samples]))
