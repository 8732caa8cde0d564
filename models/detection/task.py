"""Boxes with classes: what every detector answers, and how far two answers are apart.

What a detector learns is its own: `detector` makes a task of its network, encoding, loss and
decoding. M objects, N raw rows, D detections.

    encode  {"boxes" [M, 4] pixels of the input, "classes" [M], "valid" [M]} -> targets
    decode  (outputs, score_threshold, iou_threshold, max_detections, suppression) -> {"boxes"
            [B, D, 4] pixels of the input, "scores" [B, D], "classes" [B, D] int64, "valid" [B, D]
            bool}; suppression is one of models.suppression.RULES
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from convoy.models.spec import ModelInfo, Priors, Task


def detector(
    model: keras.Model,
    info: ModelInfo,
    *,
    encode: Callable,
    loss: Callable,
    decode: Callable,
    priors: Priors | None = None,
    **more,
) -> Task:
    """A task that answers as every detector does; more: other fields of `models.spec.Task`."""
    return Task(
        model=model,
        info=info,
        encode=encode,
        loss=loss,
        decode=decode,
        answer=answer,
        difference=difference,
        priors=priors,
        **more,
    )


def build(made: Task, info: ModelInfo) -> Task:
    """What a family of detectors built, with the counts that it has."""
    return dataclasses.replace(made, info=info)


def answer(decoded, matrices, sizes, names):
    """D = max_detections rows per picture, zero or empty beyond `num_detections`.

    boxes [B, D, 4] float32 in pixels of the picture sent; scores [B, D] float32, falling; classes
    [B, D] int64; class_names [B, D] string; num_detections [B] int32.
    """
    import tensorflow as tf

    from convoy.models.boxes import in_picture

    valid = decoded["valid"]
    rank = tf.where(valid, decoded["scores"], -1.0)
    order = tf.argsort(rank, axis=1, direction="DESCENDING", stable=True)
    valid = tf.gather(valid, order, batch_dims=1)
    boxes = in_picture(tf.gather(decoded["boxes"], order, batch_dims=1), matrices, sizes)
    scores = tf.gather(decoded["scores"], order, batch_dims=1)
    classes = tf.cast(tf.gather(decoded["classes"], order, batch_dims=1), tf.int64)
    classes = tf.where(valid, classes, 0)
    return {
        "boxes": tf.where(valid[..., None], boxes, 0.0),
        "scores": tf.where(valid, scores, 0.0),
        "classes": classes,
        "class_names": tf.where(valid, tf.gather(names, classes), ""),
        "num_detections": tf.reduce_sum(tf.cast(valid, tf.int32), axis=1),
    }


def difference(expected, received, *, iou_threshold: float = 0.45, **limits) -> float:
    """How far the score of a detection exceeds what the other network gives it, at most.

    That is the best score of the same class in the same place (overlap above 0.9 * iou_threshold),
    in both directions; so two boxes of one object that change their order, of which suppression
    then keeps the other, are no difference.
    """
    worst = 0.0
    for index in range(len(expected["scores"])):
        a, b = _picture(expected, index), _picture(received, index)
        worst = max(worst, _one_sided(a, b, iou_threshold), _one_sided(b, a, iou_threshold))
    return worst


def _picture(answers, index: int):
    count = int(answers["num_detections"][index])
    full = count == answers["scores"].shape[1]
    fields = (answers[name][index][:count] for name in ("boxes", "scores", "classes"))
    return (*fields, full)


def _one_sided(expected, received, iou_threshold: float) -> float:
    boxes, scores, classes, _ = expected
    other_boxes, other_scores, other_classes, full = received
    # A full list ends at its lowest score: what lies below it may be there, and is not known.
    floor = float(other_scores.min()) if full and len(other_scores) else 0.0
    worst = 0.0
    for box, score, label in zip(boxes, scores, classes, strict=True):
        same = other_scores[
            (other_classes == label) & (iou(box, other_boxes) > 0.9 * iou_threshold)
        ]
        worst = max(worst, float(score) - max(float(same.max(initial=0.0)), floor))
    return worst


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Overlap of one box [4] with each of boxes [N, 4]; two empty boxes of one place overlap."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    union = area + areas - shared
    same = np.all(np.abs(boxes - box) < 0.5, axis=1)
    return np.where(same, 1.0, shared / np.maximum(union, 1e-9))
