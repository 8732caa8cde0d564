"""From raw outputs to detections: scores, boxes, suppression; part of the export graph."""

from __future__ import annotations

import tensorflow as tf

from convoy.models import boxes as box_ops
from convoy.models import coding

TOP_K = 400  # detections per class that suppression may keep (Caffe SSD's nms_param.top_k)


def decode_softmax(
    outputs,
    priors,
    size: tuple[int, int],
    score_threshold: float = 0.01,
    iou_threshold: float = 0.45,
    max_detections: int = 200,
):
    """{"cls": [B, N, K + 1] logits, background first, "box": [B, N, 4]} -> a detector's `decode`.

    Boxes are clipped to the network input of `size`, then suppressed class by class; detections
    come in the order of falling score, rows beyond the last one are 0 with valid=False.
    """
    scores = tf.nn.softmax(tf.cast(outputs["cls"], tf.float32))[..., 1:]
    boxes = box_ops.clip(coding.decode(outputs["box"], tf.convert_to_tensor(priors)), size)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections)


def suppress(boxes, scores, score_threshold, iou_threshold, max_detections):
    """Per-class non-maximum suppression of boxes [B, N, 4] with scores [B, N, K].

    boxes [B, N, K, 4] are of each class its own. A box goes where a better one of its class
    overlaps it by IoU > iou_threshold. Returns the dict of models/detection/task.py with
    D = max_detections.
    """
    kept = tf.image.combined_non_max_suppression(
        boxes if len(boxes.shape) == 4 else boxes[:, :, None, :],
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
