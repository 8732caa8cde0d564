"""Records as they are, one dict of tensors each: for programs of one's own."""

from __future__ import annotations

import json
import pathlib

import tensorflow as tf

from convoy.data.as_written import as_written
from convoy.data.input.pictures import values
from convoy.data.input.stored import count, shards

_STRING = tf.io.FixedLenFeature([], tf.string, "")
_SIDE = tf.io.FixedLenFeature([], tf.int64, 0)
_EDGES = [f"image/object/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax")]
_PROPOSED = [f"image/proposal/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax")]
_FEATURES = {
    **dict.fromkeys((*_EDGES, *_PROPOSED), tf.io.VarLenFeature(tf.float32)),
    "image/encoded": _STRING,
    "image/source_id": _STRING,
    "image/height": _SIDE,
    "image/width": _SIDE,
    "image/class/label": tf.io.VarLenFeature(tf.int64),
    "image/object/class/label": tf.io.VarLenFeature(tf.int64),
    "image/object/difficult": tf.io.VarLenFeature(tf.int64),
    "image/object/is_crowd": tf.io.VarLenFeature(tf.int64),
    "image/caption/string": tf.io.VarLenFeature(tf.string),
    "text/string": _STRING,
    "signal/encoded": _STRING,
}


def dataset(records: pathlib.Path, split: str, channels: int | None = None) -> tf.data.Dataset:
    """See `convoy.records`. Raises FileNotFoundError and ValueError."""
    count(records, split)  # a split that is not there is named
    own = json.loads((records / "manifest.json").read_text()).get("channels", {})
    known, bits = own.get("count", 3), own.get("bits", 8)
    channels = channels or known
    if channels != known and not {channels, known} <= {1, 3}:
        raise ValueError(f"{records}: its pictures have {known} channels, asked for are {channels}")
    files = shards(records, split)
    first = next(iter(tf.data.TFRecordDataset(files[:1])), None)
    parsed = None if first is None else tf.io.parse_single_example(first, _FEATURES)
    has_picture = parsed is None or bool(tf.strings.length(parsed["image/encoded"]) > 0)
    return tf.data.TFRecordDataset(files).map(
        as_written(lambda record: _example(record, channels, bits, has_picture)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _example(record: tf.Tensor, channels: int, bits: int, has_picture: bool) -> dict:
    parsed = tf.io.parse_single_example(record, _FEATURES)
    dense = {
        name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
        for name, value in parsed.items()
    }
    example = {
        "source_id": dense["image/source_id"],
        "labels": dense["image/class/label"],
    }
    if not has_picture:
        return {
            **example,
            "sentence": dense["text/string"],
            "signal": dense["signal/encoded"],
        }
    height, width = dense["image/height"], dense["image/width"]
    sides = tf.cast(tf.stack([height, width] * 2), tf.float32)
    return {
        **example,
        "image": values(dense["image/encoded"], channels, bits),
        "height": height,
        "width": width,
        "boxes": tf.stack([dense[edge] for edge in _EDGES], axis=-1) * sides,
        "classes": dense["image/object/class/label"],
        "difficult": _flags(dense, "difficult"),
        "crowd": _flags(dense, "is_crowd"),
        "proposals": tf.stack([dense[edge] for edge in _PROPOSED], axis=-1) * sides,
        "captions": dense["image/caption/string"],
    }


def _flags(dense: dict, name: str) -> tf.Tensor:
    """[N] bool; a list that is not written is False throughout."""
    flags = dense[f"image/object/{name}"]
    missing = tf.size(dense["image/object/class/label"]) - tf.size(flags)
    return tf.pad(flags, [[0, missing]]) != 0
