"""Records of rare classes are read more often: how many times each, in each pass over a split.

A record of class c is read r(c) times on average, r(c) >= 1: floor(r) times, and once more with the
probability that is left, drawn anew in each pass from (seed, source_id, pass). Each pass has the
same length, the number of reads that is expected: the little that the draws give beyond is cut,
what lacks comes from the beginning of the pass again. So where a training goes on is known without
reading what it has read.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from convoy.data.as_written import as_written
from convoy.data.augment import draws

_BLOCK = 64  # records whose classes are parsed at once
_LABELS = {
    "image/source_id": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
}
COPY = 1 << 40  # added to a pass's number for each copy, so that copies are augmented differently


@dataclasses.dataclass(frozen=True)
class Repeats:
    """How often the records of a split are read; of each record its most repeated class counts."""

    per_class: tuple[float, ...]  # by class, 1 or more
    reads: int  # length of one pass


def repeated(
    records: tf.data.Dataset, repeats: Repeats, seed: int, number: tf.Tensor
) -> tf.data.Dataset:
    """One pass, `repeats.reads` long: serialized -> (serialized, number + COPY * copy).

    number: of the pass, int64.
    """

    def times(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, _LABELS)
        rates = tf.constant(repeats.per_class, tf.float32)
        labels = parsed["image/class/label"]
        of_labels = tf.ragged.map_flat_values(lambda flat: tf.gather(rates, flat), labels)
        rate = tf.maximum(tf.reduce_max(of_labels, axis=-1), 1.0)
        key = draws.key_for(seed, parsed["image/source_id"], number)
        return serialized, tf.cast(
            tf.floor(rate + draws.uniform(key, "repeats", 1)[:, 0]), tf.int64
        )

    def copies(serialized: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(count).map(as_written(lambda copy: number + COPY * copy))
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(serialized).repeat(), numbers)

    counted = records.batch(_BLOCK).map(as_written(times)).unbatch()
    return counted.flat_map(as_written(copies)).repeat().take(repeats.reads)
