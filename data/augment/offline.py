"""Augmented copies for ExampleGen: the online geometry and colour, at the picture's own size."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from data.augment import color, geometry
from data.augment.policy import Augment
from data.sample import Sample
from models.resize import warp

FILL = 127.5  # what is drawn outside the picture
JPEG_QUALITY = 95


def draws_for(seed, source_id, copy) -> tf.Tensor:
    """Uniform numbers for one sample, a function of (seed, source_id, copy) alone.

    copy: the number of the copy offline, the epoch online. Returns [geometry.DRAWS + color.DRAWS].
    """
    key = tf.strings.to_hash_bucket_fast(source_id, 2**62)
    first = tf.cast(key, tf.int64) ^ tf.cast(seed, tf.int64)
    return tf.random.stateless_uniform(
        [geometry.DRAWS + color.DRAWS], tf.stack([first, tf.cast(copy, tf.int64)])
    )


def augment_copy(sample: Sample, policy: Augment, seed: int, copy: int) -> Sample:
    """One augmented copy with boxes, masks, keypoints and class map moved along.

    Objects less visible than `policy.min_visible` are dropped. The picture is encoded as JPEG.
    """
    size = (sample.height, sample.width)
    draws = draws_for(seed, sample.source_id, copy)
    matrix = geometry.random_matrix(*size, policy, draws[: geometry.DRAWS])
    image = tf.io.decode_image(sample.image, expand_animations=False)
    image = warp(tf.cast(image, tf.float32), matrix, size, FILL)
    if color.active(policy):
        image = color.recolor(image, policy, draws[geometry.DRAWS :])
    encoded = tf.io.encode_jpeg(tf.cast(tf.round(image), tf.uint8), quality=JPEG_QUALITY)

    boxes, keep = geometry.transform_boxes(
        tf.constant(sample.boxes, tf.float32), matrix, size, policy.min_visible
    )
    keep = keep.numpy()
    move_png = functools.partial(_move_png, matrix=matrix, size=size)
    return dataclasses.replace(
        sample,
        source_id=f"{sample.source_id}#aug{copy}",
        image=encoded.numpy(),
        boxes=boxes.numpy()[keep],
        classes=sample.classes[keep],
        difficult=sample.difficult[keep],
        truncated=sample.truncated[keep],
        crowd=sample.crowd[keep],
        masks=tuple(
            move_png(mask, 0) for mask, kept in zip(sample.masks, keep, strict=False) if kept
        ),
        segmentation=move_png(sample.segmentation, 255) if sample.segmentation else b"",
        keypoints=move_keypoints(sample.keypoints[keep], matrix.numpy(), size)
        if sample.keypoints.size
        else sample.keypoints,
    )


def move_keypoints(keypoints: np.ndarray, matrix: np.ndarray, size) -> np.ndarray:
    """[N, K, (y, x, visibility)] moved; a point outside the picture becomes 0, 0, 0."""
    points = np.stack([keypoints[..., 1], keypoints[..., 0], np.ones(keypoints.shape[:2])], -1)
    x, y = np.moveaxis((points @ matrix.T)[..., :2], -1, 0)
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1]) & (keypoints[..., 2] > 0)
    moved = np.stack([y, x, keypoints[..., 2]], -1)
    return np.where(inside[..., None], moved, 0).astype(np.float32)


def _move_png(png: bytes, fill: int, *, matrix: tf.Tensor, size) -> bytes:
    mask = tf.io.decode_png(png, channels=1)
    moved = warp(mask, matrix, size, float(fill), interpolation="NEAREST")
    return tf.io.encode_png(moved).numpy()
