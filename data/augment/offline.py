"""Augmented copies for ExampleGen: the online plan, at the picture's own size.

Only colour and noise of the first picture of a pair change: its target, the captions and the text
stay as they are but for the geometry. What mixes several pictures, and searched policies
(RandAugment, AutoAugment), are for training alone.

A sample's plan is computed by one traced function per policy, its picture is drawn by OpenCV:
single operations of TensorFlow, and its general warp, take several times as long as decoding.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
import tensorflow as tf

from convoy.data.augment import color, draws, geometry, noise, plan, render
from convoy.data.augment.noise import FILL
from convoy.data.augment.policy import Augment
from convoy.data.sample import Sample, keep_objects

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
    planned = _planner(policy, sample.keypoints.shape[1], tuple(keypoint_pairs))(
        tf.constant([seed, copy], tf.int64),
        tf.constant(_name(sample)),
        tf.constant(size, tf.int32),
        tf.constant(sample.boxes, tf.float32),
        tf.constant(sample.crowd, tf.bool),
        tf.constant(sample.part_boxes, tf.float32),
        tf.constant(sample.keypoints, tf.float32),
    )
    row = planned["plan"]
    drawn = _drawn(_decoded(sample.image), policy, row, size)
    changed = dataclasses.replace(
        sample,
        source_id=f"{sample.source_id}#aug{copy}",
        image=tf.io.encode_jpeg(drawn, quality=JPEG_QUALITY).numpy(),
        boxes=planned["boxes"].numpy(),
        keypoints=planned["keypoints"].numpy() if sample.keypoints.size else sample.keypoints,
        segmentation=_labels(sample.segmentation, row, size, render.IGNORE),
        frames=tuple(_frame(frame, policy, row, size) for frame in sample.frames),
        target=_target(sample, row, size),
        areas=sample.areas * abs(float(geometry.determinant(row["matrix"])))
        if len(sample.areas)
        else sample.areas,
    )
    changed = _keep_parts(changed, planned["parts"].numpy(), planned["keep_parts"].numpy())
    changed = keep_objects(changed, planned["keep"].numpy())
    masks = tuple(_labels(mask, row, size, 0) for mask in changed.masks)
    areas = [np.count_nonzero(tf.io.decode_png(mask)) for mask in masks] or changed.areas
    return dataclasses.replace(changed, masks=masks, areas=np.asarray(areas, np.float32))


@functools.lru_cache(maxsize=8)
def _planner(policy: Augment, count: int, pairs: tuple[tuple[int, int], ...]):
    """A function that plans one sample and moves all that lies in it; traced once for all sizes."""
    floats = functools.partial(tf.TensorSpec, dtype=tf.float32)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([2], tf.int64),
            tf.TensorSpec([], tf.string),
            tf.TensorSpec([2], tf.int32),
            floats([None, 4]),
            tf.TensorSpec([None], tf.bool),
            floats([None, 4]),
            floats([None, count, 3]),
        ],
    )
    def planned(numbers, name, size, boxes, crowd, parts, keypoints):
        block = size[:1], size[1:]
        key = draws.key_for(numbers[0], name[None], numbers[1:])
        sides = tf.cast(tf.concat([size, size], 0), tf.float32)
        made = plan.make(policy, key, *block, boxes=(boxes / sides)[None], valid=~crowd[None])
        moved, keep = plan.move_boxes(policy, made, boxes[None], *block, (size[0], size[1]))
        own, keep_own = plan.move_boxes(policy, made, parts[None], *block, (size[0], size[1]))
        points = plan.move_keypoints(
            policy, made, keypoints[None], *block, (size[0], size[1]), pairs
        )
        return {
            "plan": tf.nest.map_structure(lambda value: value[0], made),
            "boxes": moved[0],
            "keep": keep[0],
            "parts": own[0],
            "keep_parts": keep_own[0],
            "keypoints": points[0],
        }

    return planned


def _drawn(image: tf.Tensor, policy: Augment, row: plan.Plan, size) -> tf.Tensor:
    """uint8 [*size, C] of a decoded picture, recoloured and with noise."""
    if "field" in row:
        return _whole(render.picture(image, policy, row, size))
    drawn = warp(image.numpy(), row["matrix"].numpy(), size)
    if noise.active(policy):
        return _whole(plan.finish(tf.constant(drawn, tf.float32), policy, row))
    return tf.constant(recolored(drawn, row["color"]) if color.active(policy) else drawn)


def warp(image: np.ndarray, matrix: np.ndarray, size) -> np.ndarray:
    """models.resize.warp of a uint8 picture, gray outside, to 1/32 pixel of OpenCV's weights."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    onto = np.linalg.inv(half) @ matrix.astype(np.float64) @ half  # OpenCV counts from the centres
    gray = (FILL,) * 3
    drawn = cv2.warpAffine(image, onto[:2], (size[1], size[0]), borderValue=gray)
    return drawn.reshape(*size, -1)


def recolored(image: np.ndarray, change: color.ColorMap) -> np.ndarray:
    """color.recolor of a uint8 picture."""
    matrix, offset = change.matrix.numpy(), change.offset.numpy()
    channels = image.shape[-1]
    some = image[:: max(image.shape[0] // color.MEAN_SAMPLES, 1)]
    some = some[:, :: max(image.shape[1] // color.MEAN_SAMPLES, 1)].mean((0, 1))
    weights = color.LUMINANCE if channels == 3 else np.ones(1, np.float32)
    offset = offset + change.mean_weight.numpy() * (some @ weights)
    if channels == 1:
        matrix, offset = matrix[:1].sum(1, keepdims=True), offset @ color.LUMINANCE
    return cv2.transform(image, np.column_stack([matrix, offset])).reshape(image.shape)


def _name(sample: Sample) -> bytes:
    return sample.source_id.encode("utf-8", "surrogateescape")


def _keep_parts(sample: Sample, boxes: np.ndarray, keep: np.ndarray) -> Sample:
    return dataclasses.replace(
        sample,
        part_boxes=boxes[keep],
        part_names=tuple(n for n, k in zip(sample.part_names, keep, strict=True) if k),
        part_owners=sample.part_owners[keep],
    )


def _target(sample: Sample, row: plan.Plan, size) -> bytes:
    """The second picture of a pair, at its own size."""
    if not sample.target:
        return b""
    image = _decoded(sample.target)
    moved = render.pair(image, row, size, size, tuple(image.shape[:2]))
    return tf.io.encode_png(_whole(moved)).numpy()


def _frame(encoded: bytes, policy: Augment, row: plan.Plan, size) -> bytes:
    """A frame changed as its picture is; b"" stands for that."""
    if not encoded:
        return b""
    drawn = _drawn(_decoded(encoded), policy, row, size)
    return tf.io.encode_jpeg(drawn, quality=JPEG_QUALITY).numpy()


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
