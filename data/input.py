"""TFRecords to batches.

Training reads in this order, and why: list shards -> shuffle shards -> interleave -> shuffle
records (all by (seed, epoch), so the order is known) -> skip to the step to resume at (still
undecoded, so it is cheap) -> this worker's rows of each global batch -> parse, decode, augment,
encode targets (in parallel, order kept) -> batch -> prefetch.

Epochs follow each other without a seam: batch k holds records k*B .. (k+1)*B - 1 of that endless
stream, whatever the number of workers or replicas.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import tensorflow as tf

from data.augment import color, geometry, window
from data.augment.offline import FILL, draws_for
from data.augment.policy import Augment
from models.resize import fit, fit_matrix, warp
from models.spec import Preprocess

READ_AT_ONCE = 8  # shards
_PICTURE = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/source_id": tf.io.FixedLenFeature([], tf.string),
    "image/height": tf.io.FixedLenFeature([], tf.int64),
    "image/width": tf.io.FixedLenFeature([], tf.int64),
}
_PARSED = {  # by task, no more than it needs: each ragged feature costs time
    "classification": {
        **_PICTURE,
        "image/class/label": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
    },
    "detection": {
        **_PICTURE,
        "image/object/bbox/ymin": tf.io.RaggedFeature(tf.float32),
        "image/object/bbox/xmin": tf.io.RaggedFeature(tf.float32),
        "image/object/bbox/ymax": tf.io.RaggedFeature(tf.float32),
        "image/object/bbox/xmax": tf.io.RaggedFeature(tf.float32),
        "image/object/class/label": tf.io.RaggedFeature(tf.int64),
        "image/object/difficult": tf.io.RaggedFeature(tf.int64),
        "image/object/is_crowd": tf.io.RaggedFeature(tf.int64),
    },
}


@dataclasses.dataclass(frozen=True)
class Stream:
    """One split of ingested records and how to turn it into a network's batches."""

    records: pathlib.Path  # folder with manifest.json and SPLIT-*.tfrecord
    split: str
    task: str  # "classification" | "detection"
    preprocess: Preprocess  # its `size` is the network's input
    encode: Callable  # of the Classifier or Detector
    augment: Augment = Augment()
    seed: int = 0
    batch_size: int = 32  # global
    max_boxes: int = 100
    shuffle_buffer: int = 2048


def count(records: pathlib.Path, split: str) -> int:
    """Records of a split, by the manifest."""
    manifest = json.loads((pathlib.Path(records) / "manifest.json").read_text())
    if split not in manifest["splits"]:
        raise ValueError(
            f"split {split!r} is not in {records}: it holds {', '.join(sorted(manifest['splits']))}"
        )
    return int(manifest["splits"][split]["records"])


def shards(records: pathlib.Path, split: str) -> list[str]:
    """Record files of a split, sorted."""
    found = sorted(str(path) for path in pathlib.Path(records).glob(f"{split}-*.tfrecord"))
    if not found:
        raise FileNotFoundError(f"no {split}-*.tfrecord in {records}: run `convoy ingest` first")
    return found


def training_batches(
    stream: Stream, *, start_step: int = 0, context: tf.distribute.InputContext | None = None
) -> tf.data.Dataset:
    """Endless batches from `start_step` on: {"image", "targets", "source_id"}.

    Under tf.distribute this is one input pipeline's part: batches of batch_size / replicas rows.
    """
    pipelines = context.num_input_pipelines if context else 1
    pipeline = context.input_pipeline_id if context else 0
    replicas = context.num_replicas_in_sync if context else 1
    if stream.batch_size % replicas:
        raise ValueError(
            f"train.batch_size {stream.batch_size} does not divide by the {replicas} replicas"
        )
    rows = stream.batch_size // pipelines
    size = count(stream.records, stream.split)
    first = start_step * stream.batch_size
    raw = _endless(stream, first // size, first % size)
    if pipelines > 1:
        raw = raw.batch(stream.batch_size, drop_remainder=True)
        raw = raw.map(
            lambda serialized, epoch: (
                serialized[pipeline * rows : (pipeline + 1) * rows],
                epoch[pipeline * rows : (pipeline + 1) * rows],
            )
        ).unbatch()
    examples = raw.map(
        lambda serialized, epoch: training_example(stream, serialized, epoch),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    batches = examples.batch(stream.batch_size // replicas, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(2).with_options(options)


def evaluation_batches(stream: Stream) -> tf.data.Dataset:
    """Every record once, in file order: {"image", "matrix", "serialized"}; the last batch is short.

    matrix [B, 3, 3] maps pixels of the picture to pixels of the network input.
    """
    files = tf.data.TFRecordDataset(shards(stream.records, stream.split))

    def prepare(serialized):
        parsed = tf.io.parse_single_example(serialized, _PICTURE)
        image = decode(parsed["image/encoded"], stream.preprocess.channels)
        image, matrix = fit(image, stream.preprocess, stream.preprocess.size)
        return {"image": image, "matrix": matrix, "serialized": serialized}

    return (
        files.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).batch(stream.batch_size).prefetch(2)
    )


def training_example(stream: Stream, serialized: tf.Tensor, epoch: tf.Tensor) -> dict:
    """One record decoded, augmented, encoded; random by (seed, source_id, epoch)."""
    parsed = tf.io.parse_single_example(serialized, _PARSED[stream.task])
    source_id = parsed["image/source_id"]
    draws = draws_for(stream.seed, source_id, epoch)
    size, channels = stream.preprocess.size, stream.preprocess.channels
    shape = parsed["image/height"], parsed["image/width"]
    matrix = fit_matrix(*shape, stream.preprocess, size) @ geometry.random_matrix(
        *shape, stream.augment, draws[: geometry.DRAWS]
    )
    if stream.augment.rotate_deg:
        image = decode(parsed["image/encoded"], channels)
        image = warp(tf.cast(image, tf.float32), matrix, size, FILL)
    else:
        seen = window.snap(matrix, *shape, size)
        image, matrix = (
            window.draw(parsed["image/encoded"], channels, seen, size, FILL),
            seen.matrix,
        )
    if color.active(stream.augment):
        image = color.recolor(image, stream.augment, draws[geometry.DRAWS :])
    if stream.task == "classification":
        targets = stream.encode(parsed["image/class/label"])
    else:
        boxes, classes, valid = _objects(parsed, shape, matrix, stream)
        targets = stream.encode(boxes, classes, valid)
    return {"image": image, "targets": targets, "source_id": source_id}


def decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 [H, W, channels] from JPEG, PNG, BMP or the first frame of a GIF."""
    image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])
    return image


def _objects(parsed: dict, shape, matrix: tf.Tensor, stream: Stream):
    """Boxes to learn in input pixels, padded to max_boxes: no crowds, none difficult."""
    sides = ("ymin", "xmin", "ymax", "xmax")
    scale = tf.cast(tf.stack([shape[0], shape[1], shape[0], shape[1]]), tf.float32)
    boxes = tf.stack([parsed[f"image/object/bbox/{side}"] for side in sides], axis=-1) * scale
    classes = parsed["image/object/class/label"]
    boxes, keep = geometry.transform_boxes(
        boxes, matrix, stream.preprocess.size, stream.augment.min_visible
    )
    for flag in ("image/object/is_crowd", "image/object/difficult"):
        flags = parsed[flag]
        missing = tf.zeros(tf.shape(classes)[0] - tf.shape(flags)[0], tf.int64)
        keep &= tf.concat([flags, missing], 0) == 0
    boxes = tf.boolean_mask(boxes, keep)[: stream.max_boxes]
    classes = tf.boolean_mask(classes, keep)[: stream.max_boxes]
    padding = stream.max_boxes - tf.shape(classes)[0]
    valid = tf.range(stream.max_boxes) < tf.shape(classes)[0]
    boxes = tf.ensure_shape(tf.pad(boxes, [[0, padding], [0, 0]]), [stream.max_boxes, 4])
    classes = tf.ensure_shape(tf.pad(classes, [[0, padding]]), [stream.max_boxes])
    return boxes, classes, valid


def _endless(stream: Stream, first_epoch: int, skip: int) -> tf.data.Dataset:
    """(serialized, epoch) for ever, from record `skip` of `first_epoch`."""
    files = tf.constant(shards(stream.records, stream.split))

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.random.stateless_uniform(
            [2], tf.stack([tf.constant(stream.seed, tf.int64), epoch]), 0, 2**31 - 1, tf.int64
        )
        order = tf.random.experimental.stateless_shuffle(files, seed=seeds)
        records = tf.data.Dataset.from_tensor_slices(order).interleave(
            tf.data.TFRecordDataset,
            cycle_length=READ_AT_ONCE,
            num_parallel_calls=2,
            deterministic=True,
        )
        # Shuffled a block at a time with stateless seeds: Dataset.shuffle would also depend on the
        # process's global seed.
        blocks = records.batch(stream.shuffle_buffer).enumerate()
        shuffled = blocks.map(
            lambda i, block: tf.random.experimental.stateless_shuffle(
                block, seed=seeds + tf.stack([i, i])
            )
        )
        return shuffled.unbatch().map(lambda serialized: (serialized, epoch))

    first = tf.data.Dataset.from_tensors(tf.constant(first_epoch, tf.int64)).flat_map(one_epoch)
    later = tf.data.Dataset.range(first_epoch + 1, tf.int64.max).flat_map(one_epoch)
    return first.skip(skip).concatenate(later)
