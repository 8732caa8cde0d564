"""The batches of a training, over records whose pictures cannot be decoded.

Such a record is named with the decoder's words, once, and counted in WORKDIR/undecodable.json;
another is read in its place, see data/input/broken.py. A damaged record file is named, and ends the
training. Any other failure of reading stays one.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import tensorflow as tf

from convoy.data import tfrecord
from convoy.data.input import broken, damage
from convoy.data.input.input import Stream, raw_records, shards, training_batches
from convoy.pipeline.artifacts import write_json

UNDECODABLE = "undecodable.json"  # source_id -> why


class Batches:
    """`next` gives the batch of one step after the other."""

    def __init__(
        self,
        stream: Stream,
        strategy: tf.distribute.Strategy,
        step: int,
        workdir: pathlib.Path,
        say: Callable[[str], None],
    ):
        self._stream, self._strategy, self._step = stream, strategy, step
        self._path, self._say = workdir / UNDECODABLE, say
        self._known = read(workdir)
        self._begin()

    def __iter__(self) -> Batches:
        return self

    def __next__(self):
        try:
            batch = next(self._iterator)
        except tf.errors.InvalidArgumentError as error:
            self._step_over(error)
            return next(self)
        except tf.errors.DataLossError as error:
            damage.check(self._stream.records, self._stream.split)
            raise error
        self._step += 1
        return batch

    def _begin(self) -> None:
        stream, strategy, step = self._stream, self._strategy, self._step
        if self._known:
            ids = tuple(name.encode() for name in self._known)
            stream = dataclasses.replace(stream, broken=broken.Broken(ids, _sound(stream)))
        if strategy.num_replicas_in_sync == 1:
            self._iterator = iter(training_batches(stream, start_step=step))
            return
        self._iterator = iter(
            strategy.distribute_datasets_from_function(
                lambda context: training_batches(stream, start_step=step, context=context)
            )
        )

    def _step_over(self, error: tf.errors.InvalidArgumentError) -> None:
        """Finds what is broken in this step's records. Raises the error where nothing is."""
        rows = raw_records(self._stream, self._step).take(self._stream.batch_size)
        found = broken.find(serialized.numpy() for serialized, _ in rows)
        new = {
            name.decode(): why for name, why in found.items() if name.decode() not in self._known
        }
        if not new:
            raise error
        for name, why in sorted(new.items()):
            self._say(f"{name}: its picture cannot be decoded, another is read instead: {why}")
        self._known |= new
        write_json(self._path, self._known)
        self._begin()


def read(workdir: pathlib.Path) -> dict[str, str]:
    """What a training has stepped over so far: source_id -> why."""
    path = workdir / UNDECODABLE
    return json.loads(path.read_text()) if path.exists() else {}


def _sound(stream: Stream) -> bytes:
    """The first record that decodes. Raises ValueError where none does."""
    for shard in shards(stream.records, stream.split):
        for record in tfrecord.read(shard):
            if not broken.fault(record):
                return record
    raise ValueError(f"{stream.records}: no picture of split {stream.split!r} can be decoded")
