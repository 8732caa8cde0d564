"""From raw outputs to detections: scores, boxes, suppression; part of the export graph."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from convoy.models import boxes as box_ops
from convoy.models import coding
from convoy.models.suppression import ranked

TOP_K = 400  # detections per class that suppression may keep (Caffe SSD's nms_param.top_k)
MIN_SIDE_PX = 0.01  # of a region's box; torchvision's


def decode_softmax(
    outputs,
    priors,
    size: tuple[int, int],
    score_threshold: float = 0.01,
    iou_threshold: float = 0.45,
    max_detections: int = 200,
    suppression: str = "hard",
):
    """{"cls": [B, N, K + 1] logits, background first, "box": [B, N, 4]} -> a detector's `decode`.

    Boxes are clipped to the network input of `size`, then suppressed class by class; detections
    come in the order of falling score, rows beyond the last one are 0 with valid=False.
    """
    scores = tf.nn.softmax(tf.cast(outputs["cls"], tf.float32))[..., 1:]
    boxes = box_ops.clip(coding.decode(outputs["box"], tf.convert_to_tensor(priors)), size)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)


def decode_sigmoid(
    outputs,
    priors,
    size: tuple[int, int],
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    suppression: str = "hard",
    *,
    variances,
    counts: Sequence[int],
    candidates: int,
):
    """As `decode_softmax`, of {"cls": [B, N, K] logits of classes that may coexist, "box"}.

    Of each level, whose numbers of rows are `counts`, the `candidates` with the best class are
    decoded.
    """
    logits = tf.cast(outputs["cls"], tf.float32)
    places, before = [], 0
    for count, part in zip(
        counts, tf.split(tf.reduce_max(logits, axis=-1), counts, 1), strict=True
    ):
        places.append(before + tf.math.top_k(part, min(count, candidates)).indices)
        before += count
    places = tf.concat(places, axis=1)
    codes = tf.gather(outputs["box"], places, batch_dims=1)
    boxes = coding.decode(codes, tf.gather(tf.convert_to_tensor(priors), places), variances)
    scores = tf.sigmoid(tf.gather(logits, places, batch_dims=1))
    boxes = box_ops.clip(boxes, size)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)


def decode_regions(
    outputs,
    score_threshold=0.05,
    iou_threshold=0.5,
    max_detections=100,
    suppression: str = "hard",
    *,
    size: tuple[int, int],
):
    """As `decode_softmax`, of regions: their classes and boxes, {"proposals" [B, R, 4] pixels,
    "objectness" [B, R], below 0 of rows without one, "cls" [B, R, K + 1] logits, background first,
    "box" [B, R, 4 (K + 1)], or [B, R, 8] of background and object alone}.
    """
    scores = tf.nn.softmax(tf.cast(outputs["cls"], tf.float32))[..., 1:]
    slots = outputs["box"].shape[-1] // 4
    rows = outputs["box"].shape[1] or tf.shape(outputs["box"])[1]  # as many as are given
    codes = tf.reshape(outputs["box"], (-1, rows, slots, 4))[:, :, 1:]
    boxes = coding.decode(codes, outputs["proposals"][:, :, None])
    boxes = box_ops.clip(boxes, size)
    # Suppression would keep all boxes without area, those beyond the picture.
    solid = tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= MIN_SIDE_PX, axis=-1)
    scores = tf.where(solid & (outputs["objectness"][..., None] >= 0.0), scores, 0.0)
    if slots == 2:  # of any object
        boxes = boxes[:, :, 0]
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)


def suppress(
    boxes, scores, score_threshold, iou_threshold, max_detections, suppression: str = "hard"
):
    """Non-maximum suppression of boxes [B, N, 4] with scores [B, N, K].

    boxes [B, N, K, 4] are of each class its own. `hard`: a box goes where a better one of its
    class overlaps it by IoU > iou_threshold; models/suppression.py has the other rules. Returns
    the dict of models/detection/task.py with D = max_detections.
    """
    boxes = boxes if len(boxes.shape) == 4 else boxes[:, :, None, :]
    if suppression != "hard":
        limits = (score_threshold, iou_threshold, max_detections, TOP_K)
        return ranked(boxes, scores, suppression, *limits)
    kept = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=min(max_detections, TOP_K),
        max_total_size=max_detections,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        clip_boxes=False,
    )
    places = tf.range(max_detections)[None]
    return {
        "boxes": kept.nmsed_boxes,
        "scores": kept.nmsed_scores,
        "classes": tf.cast(kept.nmsed_classes, tf.int64),
        "valid": places < kept.valid_detections[:, None],
    }
