"""Blocks of serialized records to padded tensors, no more than is asked for: each feature costs.

Which annotation is read is named by fields, the keys of FIELDS; a task names its own.
"""

from __future__ import annotations

import tensorflow as tf

FRAMES = 4  # two before and two behind
CAPTIONS = 5  # of a picture, at least; COCO's have 5, a few 6 or 7

_STRING = tf.io.FixedLenFeature([], tf.string)
_SIDE = tf.io.FixedLenFeature([], tf.int64)
_FLOATS = tf.io.RaggedFeature(tf.float32, row_splits_dtype=tf.int64)
_NUMBERS = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
_STRINGS = tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64)
_EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
_PROPOSED = tuple(f"image/proposal/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
_POINT = tuple(f"image/object/keypoint/{part}" for part in ("y", "x", "visibility"))
_SOURCE_ID = {"image/source_id": _STRING}
PICTURE = {
    **_SOURCE_ID,
    "image/encoded": _STRING,
    "image/height": _SIDE,
    "image/width": _SIDE,
}
FIELDS = {
    "labels": {"image/class/label": _NUMBERS},
    "boxes": {
        **dict.fromkeys(_EDGES, _FLOATS),
        "image/object/class/label": _NUMBERS,
        "image/object/difficult": _NUMBERS,
        "image/object/is_crowd": _NUMBERS,
    },
    "masks": {"image/object/mask": _STRINGS},
    "segmentation": {"image/segmentation/class/encoded": _STRINGS},
    # What is there without being learnt: outlines of crowds, and of people without keypoints.
    "unlabelled": {"image/object/mask": _STRINGS},
    "keypoints": {**dict.fromkeys(_POINT[:2], _FLOATS), _POINT[2]: _NUMBERS},
    "frames": {"image/frames/encoded": _STRINGS},
    "target": {"image/target/encoded": _STRING},
    "proposals": dict.fromkeys(_PROPOSED, _FLOATS),
    "captions": {"image/caption/string": _STRINGS},
    "sentence": {"text/string": _STRING},
    "signal": {"signal/encoded": _STRING},
}
WITHOUT_PICTURE = {"sentence": "text/string", "signal": "signal/encoded"}


def has_picture(fields) -> bool:
    """Whether these fields go with a picture."""
    return not content_of(fields)


def content_of(fields) -> str:
    """The field that stands in place of a picture, "sentence" or "signal"; "" with a picture."""
    return next((field for field in fields if field in WITHOUT_PICTURE), "")


def block(serialized: tf.Tensor, fields: tuple[str, ...], keypoints: int = 0) -> dict:
    """[B] records -> their tensors; N and M are the most objects and labels in the block.

    source_id [B], encoded [B], height, width [B] int64; labels [B, M] int64 and num_labels [B];
    boxes [B, N, 4] in parts of the sides, classes [B, N], valid and learn [B, N] bool; M, N >= 1
    (valid: no padding, no crowd; learn: nor difficult); masks [B, N] PNGs or ""; segmentation,
    target, sentence, signal [B]; keypoints [B, N, K, (y, x, visibility)] in parts of the sides; of
    "unlabelled" there [B, N] bool, what is no padding, and outlines [B, N] PNGs or ""; proposals
    [B, P, 4] in parts of the sides, by rank, P >= 1 the most in the block, rows of 0 behind a
    picture's last; frames [B, FRAMES] encoded or "", the picture itself; captions [B, C], C the
    most in the block, CAPTIONS or more, "" behind a picture's last.
    """
    features = dict(PICTURE if has_picture(fields) else _SOURCE_ID)
    for field in fields:
        features.update(FIELDS[field])
    columns = tf.io.parse_example(serialized, features)
    parsed = {name.removeprefix("image/"): columns[name] for name in PICTURE if name in columns}
    if "labels" in fields:
        labels = columns["image/class/label"]
        parsed["labels"], parsed["num_labels"] = _at_least_one(labels), labels.row_lengths()
    if "boxes" in fields:
        parsed.update(_objects(columns))
    most = tf.shape(parsed["boxes"])[1] if "boxes" in fields else 0
    if "masks" in fields:
        parsed["masks"] = _padded(columns["image/object/mask"], most)
    if "keypoints" in fields:
        if not keypoints:
            raise ValueError("these records have no keypoints, which the task learns")
        points = [tf.cast(_padded(columns[name], most * keypoints), tf.float32) for name in _POINT]
        shape = [-1, most, keypoints, 3]
        parsed["keypoints"] = tf.reshape(tf.stack(points, -1), shape)
    if "unlabelled" in fields:
        rows = columns["image/object/class/label"].row_lengths()
        parsed["there"] = tf.sequence_mask(rows, most)
        parsed["outlines"] = _padded(columns["image/object/mask"], most)
    if "proposals" in fields:
        most = tf.cast(tf.reduce_max(columns[_PROPOSED[0]].row_lengths()), tf.int32)
        edges = [_padded(columns[edge], tf.maximum(most, 1)) for edge in _PROPOSED]
        parsed["proposals"] = tf.stack(edges, axis=-1)
    if "segmentation" in fields:
        parsed["segmentation"] = _padded(columns["image/segmentation/class/encoded"], 1)[:, 0]
    if "frames" in fields:
        parsed["frames"] = _padded(columns["image/frames/encoded"], FRAMES)
    if "target" in fields:
        parsed["target"] = columns["image/target/encoded"]
    if "captions" in fields:
        captions = columns["image/caption/string"]
        most = tf.cast(tf.reduce_max(captions.row_lengths()), tf.int32)
        parsed["captions"] = _padded(captions, tf.maximum(most, CAPTIONS))
    if content := content_of(fields):
        parsed[content] = columns[WITHOUT_PICTURE[content]]
    return parsed


def _objects(columns: dict) -> dict:
    classes = columns["image/object/class/label"]
    most = tf.maximum(tf.cast(tf.reduce_max(classes.row_lengths()), tf.int32), 1)
    boxes = tf.stack([_padded(columns[edge], most) for edge in _EDGES], axis=-1)
    crowd, difficult = (
        _padded(columns[f"image/object/{flag}"], most) != 0 for flag in ("is_crowd", "difficult")
    )
    valid = tf.sequence_mask(classes.row_lengths(), most) & ~crowd
    return {
        "boxes": boxes,
        "classes": _padded(classes, most),
        "valid": valid,
        "learn": valid & ~difficult,
    }


def random_caption(captions: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """[B] one of each row's captions [B, C] that are not empty; draw [B] in [0, 1)."""
    empty = captions == ""
    counts = tf.reduce_sum(tf.cast(~empty, tf.float32), -1)
    captions = tf.gather(captions, tf.argsort(tf.cast(empty, tf.int32), stable=True), batch_dims=1)
    return tf.gather(captions, tf.cast(draw * counts, tf.int32), batch_dims=1)


def _at_least_one(ragged: tf.RaggedTensor) -> tf.Tensor:
    """[B, M >= 1]: unbatching tensors without elements ends the process (TensorFlow 2.20)."""
    most = tf.cast(tf.reduce_max(ragged.row_lengths()), tf.int32)
    return _padded(ragged, tf.maximum(most, 1))


def _padded(ragged: tf.RaggedTensor, width) -> tf.Tensor:
    """[B, width] of [B, (any)]: cut, or filled up with 0 or ""."""
    dense = ragged.to_tensor()[:, :width]
    missing = width - tf.shape(dense)[1]
    fill = "" if dense.dtype == tf.string else tf.zeros([], dense.dtype)
    return tf.pad(dense, [[0, 0], [0, missing]], constant_values=fill)


def filled_up(values: tf.Tensor, rows: int) -> tf.Tensor:
    """[B, n <= rows, ...] -> [B, rows, ...], with 0, False or ""."""
    missing = rows - tf.shape(values)[1]
    padding = [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2)
    fill = "" if values.dtype == tf.string else tf.zeros([], values.dtype)
    padded = tf.pad(values, padding, constant_values=fill)
    return tf.ensure_shape(padded, [None, rows, *values.shape[2:]])
