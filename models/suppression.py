"""Non-maximum suppression by other rules than TensorFlow's: soft, by DIoU, across classes.

Papers: Bodla 2017 (soft) https://arxiv.org/abs/1704.04503; Zheng 2019 (DIoU, section 3.3)
https://arxiv.org/abs/1911.08287. TensorFlow's operations alone, so that it is exported. Boxes
[..., 4] = [ymin, xmin, ymax, xmax].
"""

from __future__ import annotations

import tensorflow as tf

from convoy.models import iou as overlaps

RULES = ("hard", "soft", "diou", "agnostic")
SIGMA = 0.5  # of soft: a box's score falls by exp(-IoU^2 / SIGMA), equation 3


def ranked(boxes, scores, rule, score_threshold, iou_threshold, max_detections, top_k):
    """Boxes [B, N, 1 or K, 4] with scores [B, N, K] -> a detector's `decode`, D = max_detections.

    Of each class the `top_k` best are looked at, best first. `soft` lowers the score of what
    overlaps the chosen one and ends below score_threshold; `diou` drops what exceeds iou_threshold
    by DIoU; `agnostic` by IoU, each box once, as its best class.
    """
    classes = tf.broadcast_to(tf.range(tf.shape(scores)[2], dtype=tf.int64), tf.shape(scores))
    if rule == "agnostic":
        classes = tf.argmax(scores, axis=2)[..., None]
        scores = tf.reduce_max(scores, axis=2, keepdims=True)
        if boxes.shape[2] != 1:
            boxes = tf.gather(boxes, classes, batch_dims=2)
    candidates = tf.minimum(top_k, tf.shape(scores)[1])
    scores, places = tf.math.top_k(tf.transpose(scores, (0, 2, 1)), candidates)  # [B, K, C]
    classes = tf.gather(tf.transpose(classes, (0, 2, 1)), places, batch_dims=2)
    boxes = tf.transpose(boxes, (0, 2, 1, 3))
    boxes = tf.broadcast_to(boxes, tf.concat([tf.shape(scores)[:2], tf.shape(boxes)[2:]], axis=0))
    boxes = tf.gather(boxes, places, batch_dims=2)
    rounds = tf.minimum(max_detections, candidates)
    kept = _kept(boxes, scores, rule, score_threshold, iou_threshold, rounds)
    return _best(boxes, kept, classes, max_detections)


def _kept(boxes, scores, rule, score_threshold, iou_threshold, rounds):
    """[B, K, C] scores, 0 of what is not kept: one box per class is chosen in each round."""
    slots = tf.range(tf.shape(scores)[2])

    def choose(done, waiting, kept):
        best = tf.argmax(waiting, axis=2, output_type=tf.int32)[..., None]
        score = tf.gather(waiting, best, batch_dims=2)  # [B, K, 1]
        chosen = (slots == best) & (score > score_threshold)
        kept = tf.where(chosen, waiting, kept)
        box = tf.gather(boxes, best, batch_dims=2)
        waiting = waiting * _factor(box, boxes, rule, iou_threshold)
        return done + 1, tf.where(slots == best, 0.0, waiting), kept

    def goes_on(done, waiting, _):
        return (done < rounds) & tf.reduce_any(waiting > score_threshold)

    return tf.while_loop(goes_on, choose, (0, scores, tf.zeros_like(scores)))[2]


def _factor(box, boxes, rule, iou_threshold):
    """What remains of the scores of boxes [B, K, C, 4] beside the chosen one [B, K, 1, 4]."""
    if rule == "soft":
        return tf.exp(-tf.square(overlaps.iou(box, boxes)) / SIGMA)
    measure = overlaps.diou if rule == "diou" else overlaps.iou
    return tf.cast(measure(box, boxes) <= iou_threshold, tf.float32)


def _best(boxes, kept, classes, max_detections):
    """The `max_detections` best of all classes; rows beyond the last one are 0."""
    shape = tf.shape(kept)
    flat = shape[1] * shape[2]
    boxes = tf.reshape(boxes, (shape[0], flat, 4))
    scores, places = tf.math.top_k(
        tf.reshape(kept, (shape[0], flat)), tf.minimum(max_detections, flat)
    )
    valid = scores > 0.0
    classes = tf.gather(tf.reshape(classes, (shape[0], flat)), places, batch_dims=1)
    boxes = tf.where(valid[..., None], tf.gather(boxes, places, batch_dims=1), 0.0)
    rest = [[0, 0], [0, max_detections - tf.shape(scores)[1]]]
    rows = {
        "boxes": tf.pad(boxes, [*rest, [0, 0]]),
        "scores": tf.pad(scores, rest),
        "classes": tf.pad(tf.where(valid, classes, 0), rest),
        "valid": tf.pad(valid, rest),
    }
    return {
        name: tf.ensure_shape(x, (None, max_detections, *x.shape[2:])) for name, x in rows.items()
    }
