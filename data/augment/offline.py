"""Augmented copies for ExampleGen: the online plan, at the picture's own size.

Only colour and noise of the first picture of a pair change: its target, the captions and the text
stay as they are but for the geometry. What mixes several pictures, and searched policies
(RandAugment, AutoAugment), are for training alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from data.augment import draws, geometry, plan, render
from data.augment.policy import Augment
from data.sample import Sample, keep_objects

JPEG_QUALITY = 95


def augment_copy(
    sample: Sample, policy: Augment, seed: int, copy: int, keypoint_pairs=()
) -> Sample:
    """One augmented copy with everything that lies in the picture moved along.

    Objects less visible than `policy.min_visible` are dropped. Areas are those of the moved masks;
    without masks they scale with the matrix. The picture is encoded as JPEG, a target as PNG.
    keypoint_pairs: Listing.keypoint_pairs. A sample without a picture is returned as it is.
    """
    if not sample.image:
        return dataclasses.replace(sample, source_id=f"{sample.source_id}#aug{copy}")
    size = (sample.height, sample.width)
    block = tf.constant([size[0]]), tf.constant([size[1]])
    key = draws.key_for(seed, tf.constant([_name(sample)]), tf.constant([copy], tf.int64))
    boxes = tf.constant(sample.boxes, tf.float32)[None]
    parts = boxes / tf.constant([*size, *size], tf.float32)
    made = plan.make(policy, key, *block, boxes=parts, valid=tf.constant(~sample.crowd[None]))
    moved, keep = plan.move_boxes(policy, made, boxes, *block, size)
    row = tf.nest.map_structure(lambda value: value[0], made)

    drawn = render.picture(_decoded(sample.image), policy, row, size)
    changed = dataclasses.replace(
        sample,
        source_id=f"{sample.source_id}#aug{copy}",
        image=tf.io.encode_jpeg(_whole(drawn), quality=JPEG_QUALITY).numpy(),
        boxes=moved[0].numpy(),
        segmentation=_labels(sample.segmentation, row, size, render.IGNORE),
        target=_target(sample, row, size),
        areas=sample.areas * abs(float(geometry.determinant(row["matrix"]))),
    )
    if sample.keypoints.size:
        points = tf.constant(sample.keypoints, tf.float32)[None]
        points = plan.move_keypoints(policy, made, points, *block, size, keypoint_pairs)
        changed = dataclasses.replace(changed, keypoints=points[0].numpy())
    if len(sample.part_boxes):
        changed = _move_parts(changed, policy, made, block, size)
    changed = keep_objects(changed, keep[0].numpy())
    masks = tuple(_labels(mask, row, size, 0) for mask in changed.masks)
    areas = [np.count_nonzero(tf.io.decode_png(mask)) for mask in masks] or changed.areas
    return dataclasses.replace(changed, masks=masks, areas=np.asarray(areas, np.float32))


def _name(sample: Sample) -> bytes:
    return sample.source_id.encode("utf-8", "surrogateescape")


def _move_parts(sample: Sample, policy: Augment, made: plan.Plan, block, size) -> Sample:
    boxes = tf.constant(sample.part_boxes, tf.float32)[None]
    moved, keep = plan.move_boxes(policy, made, boxes, *block, size)
    kept = keep[0].numpy()
    return dataclasses.replace(
        sample,
        part_boxes=moved[0].numpy()[kept],
        part_names=tuple(n for n, k in zip(sample.part_names, kept, strict=True) if k),
        part_owners=sample.part_owners[kept],
    )


def _target(sample: Sample, row: plan.Plan, size) -> bytes:
    """The second picture of a pair, at its own size."""
    if not sample.target:
        return b""
    image = _decoded(sample.target)
    moved = render.pair(image, row, size, size, tuple(image.shape[:2]))
    return tf.io.encode_png(_whole(moved)).numpy()


def _labels(png: bytes, row: plan.Plan, size, fill: int) -> bytes:
    if not png:
        return b""
    moved = render.labels(tf.io.decode_png(png, channels=1), row, size, fill)
    return tf.io.encode_png(moved).numpy()


def _decoded(encoded: bytes) -> tf.Tensor:
    """uint8 [H, W, 1 or 3], without transparency."""
    image = tf.io.decode_image(encoded, expand_animations=False)
    return image[..., : image.shape[-1] - (image.shape[-1] in (2, 4))]


def _whole(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
