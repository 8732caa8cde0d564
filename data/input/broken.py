"""Records whose picture no decoder takes: found where a training meets them, and stepped over.

The ingest refuses such pictures, but records may come from elsewhere, or lie on a disk that decays.
In the place of each another record is read, always the same one, so that the order of all others,
and with it a resumed training, stays as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import tensorflow as tf

_SOURCE_ID = {"image/source_id": tf.io.FixedLenFeature([], tf.string, "")}
_ENCODED = ("image/encoded", "image/target/encoded", "image/segmentation/class/encoded")
_PICTURES = {key: tf.io.VarLenFeature(tf.string) for key in _ENCODED}


@dataclasses.dataclass(frozen=True)
class Broken:
    """source_ids of the records, and the serialized record that is read for each."""

    source_ids: tuple[bytes, ...]
    instead: bytes


def replaced(serialized: tf.Tensor, broken: Broken | None) -> tf.Tensor:
    """[B] records, those that are broken replaced."""
    if broken is None:
        return serialized
    source_ids = tf.io.parse_example(serialized, _SOURCE_ID)["image/source_id"]
    known = tf.constant(broken.source_ids)
    bad = tf.reduce_any(source_ids[:, None] == known[None], axis=1)
    return tf.where(bad, tf.constant(broken.instead), serialized)


def find(records: Iterable[bytes]) -> dict[bytes, str]:
    """source_id -> the decoder's words, of the records whose pictures it refuses."""
    found = {}
    for record in records:
        why = fault(record)
        if why:
            parsed = tf.io.parse_single_example(record, _SOURCE_ID)
            found[parsed["image/source_id"].numpy()] = why
    return found


def fault(record: bytes) -> str:
    """Why a picture of a serialized record cannot be decoded; "" where all can."""
    parsed = tf.io.parse_single_example(record, _PICTURES)
    for key in _ENCODED:
        for encoded in parsed[key].values.numpy():
            try:
                tf.io.decode_image(encoded, expand_animations=False)
            except tf.errors.InvalidArgumentError as error:
                return error.message.split(" [Op:")[0]
    return ""
