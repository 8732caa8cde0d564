"""Which record file is damaged: TensorFlow's own error says only at which byte of some file."""

from __future__ import annotations

import pathlib

from convoy.data import tfrecord
from convoy.data.input.input import shards


def check(records: pathlib.Path, split: str) -> None:
    """Reads all records of a split. Raises CorruptRecord: which file, which byte, what to do."""
    for shard in shards(records, split):
        try:
            for _ in tfrecord.read(shard):
                pass
        except tfrecord.CorruptRecord as error:
            raise tfrecord.CorruptRecord(
                f"{error}. The disk or a copy has damaged it: remove the folder {records} and run "
                "again, which ingests anew"
            ) from None
