"""Random numbers of a sample: a function of (seed, source_id, copy or epoch) alone.

A hash of a counter, for a whole block of samples in a few operations; TensorFlow's stateless ops
take one seed per call. The hash is SplitMix64, https://doi.org/10.1145/2660193.2660195.
"""

from __future__ import annotations

import tensorflow as tf

STREAMS = (
    "geometry",
    "window",
    "elastic",
    "color",
    "noise",
    "caption",
    "search",
    "mix",
    "proposals",
    "part",
    "repeats",
    "words",
)  # independent numbers
_GOLDEN = 0x9E3779B97F4A7C15


def key_for(seed, source_id, copy) -> tf.Tensor:
    """[...] uint64 of source_id [...] and copy [...]: the number of the copy, or the epoch."""
    name = tf.cast(tf.strings.to_hash_bucket_fast(source_id, 2**62), tf.uint64)
    return _mix(_mix(name + _mix(_spread(seed))) + _spread(copy))


def uniform(key: tf.Tensor, stream: str, count: int) -> tf.Tensor:
    """[..., count] float32 in [0, 1); the first numbers do not depend on `count`."""
    first = STREAMS.index(stream) << 32
    counter = tf.range(first + 1, first + 1 + count, dtype=tf.int64)
    bits = _mix(key[..., None] + _spread(counter))
    return tf.cast(_right(bits, 40), tf.float32) * 2.0**-24


def normal(key: tf.Tensor, stream: str, count: int) -> tf.Tensor:
    """[..., count] float32, standard normal within about 5 sigma."""
    return to_normal(uniform(key, stream, count))


def to_normal(numbers: tf.Tensor) -> tf.Tensor:
    """Uniform numbers of [0, 1) to standard normal ones; a half becomes 0."""
    return tf.math.ndtri(tf.clip_by_value(numbers, 2.0**-22, 1 - 2.0**-22))


def _spread(number) -> tf.Tensor:
    return tf.cast(tf.cast(number, tf.int64), tf.uint64) * tf.constant(_GOLDEN, tf.uint64)


def _mix(z: tf.Tensor) -> tf.Tensor:
    z = (z ^ _right(z, 30)) * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = (z ^ _right(z, 27)) * tf.constant(0x94D049BB133111EB, tf.uint64)
    return z ^ _right(z, 31)


def _right(z: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(z, tf.constant(bits, tf.uint64))
