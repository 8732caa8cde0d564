"""The order of training records: a function of (seed, epoch), and readable from any record on."""

from __future__ import annotations

import tensorflow as tf

from convoy.data.as_written import as_written
from convoy.data.input.balance import Repeats, repeated

READ_AT_ONCE = 8  # shards


def endless(
    shards: list[str],
    first_epoch: int,
    skip: int,
    *,
    seed: int,
    buffer: int,
    repeats: Repeats | None = None,
) -> tf.data.Dataset:
    """(serialized, epoch) for ever, from record `skip` of `first_epoch`; shuffled by `buffer`.

    With `repeats` an epoch is a pass of that length, and each copy of a record has an epoch of its
    own, see data/input/balance.py.
    """
    files = tf.constant(shards)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.random.stateless_uniform(
            [2], tf.stack([tf.constant(seed, tf.int64), epoch]), 0, 2**31 - 1, tf.int64
        )
        order = tf.random.experimental.stateless_shuffle(files, seed=seeds)
        records = tf.data.Dataset.from_tensor_slices(order).interleave(
            tf.data.TFRecordDataset,
            cycle_length=READ_AT_ONCE,
            num_parallel_calls=2,
            deterministic=True,
        )
        if repeats:
            return _shuffled(repeated(records, repeats, seed, epoch), seeds, buffer)
        shuffled = _shuffled(records, seeds, buffer)
        return tf.data.Dataset.zip(shuffled, tf.data.Dataset.from_tensors(epoch).repeat())

    first = tf.data.Dataset.from_tensors(tf.constant(first_epoch, tf.int64)).flat_map(
        as_written(one_epoch)
    )
    later = tf.data.Dataset.range(first_epoch + 1, tf.int64.max).flat_map(as_written(one_epoch))
    return first.skip(skip).concatenate(later)


def _shuffled(records: tf.data.Dataset, seeds: tf.Tensor, buffer: int) -> tf.data.Dataset:
    """The plain op, as Dataset.shuffle would also depend on the process's global seed."""
    specs = tf.nest.flatten(records.element_spec)
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=buffer,
        seed=seeds[0],
        seed2=seeds[1],
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)
