"""Objects with masks: what is learnt beside boxes, and what is answered.

M objects, P regions with an object of a picture's sample, D detections, K classes.

A batch holds of each object's mask the inside of its box, CROP x CROP points of it: 12.5 KB of an
object, whatever the picture's size. What a region's mask should be is read from there: the part of
each of 28x28 bins that the object fills, by RoIAlign, then 1 from a half on. An object without a
pixel in its mask, or of a record without masks, teaches its box alone.
"""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
from keras import ops

from convoy.models import anchors, losses, roi, sampling
from convoy.models.detection import task as detection
from convoy.models.detection import two_stage
from convoy.models.instance.detections import MOST, OVERLAP, of_class
from convoy.models.iou import iou
from convoy.models.keras_internals import train_part
from convoy.models.spec import ModelInfo, Priors, Task

CROP = 112
SIDE = 28  # of a mask
READS = ("found", "found_scores", "found_classes", "masks")
THRESHOLD = 0.5


def build(made: Task, info: ModelInfo) -> Task:
    """What a family built, with the counts that it has."""
    return dataclasses.replace(made, info=info)


def mask_detector(model: keras.Model, info: ModelInfo, levels, plan: two_stage.Plan) -> Task:
    """The task of a network with the outputs of `two_stage` and READS."""
    size, boxes = info.preprocess.size, anchors.priors(levels)
    learns = {"boxes": boxes, "size": size, "classes": info.num_classes, "plan": plan}
    return Task(
        model=model,
        info=info,
        encode=functools.partial(encode, **learns),
        loss=functools.partial(loss, plan=plan),
        decode=functools.partial(decode, size=size),
        answer=answer,
        difference=difference,
        reads=READS,
        wiring=functools.partial(sampled, plan=plan),
        priors=Priors(boxes, 0.0),  # every object is learnt
    )


def sampled(model, batch, *, plan: two_stage.Plan) -> dict:
    """`two_stage.sampled`'s outputs, and of P regions with an object their masks.

    mask_logits [B, P, 28, 28]: of the object's class; mask_target the same, 0 or 1; mask_used
    [B, P] bool. Masks are learnt on the regions that the classes are.
    """
    outputs, maps, values, rois = two_stage.learning(model, batch, plan=plan)
    positive = ops.logical_and(outputs["roi_used"], outputs["roi_label"] > 0)
    count = min(max(int(plan.roi_samples * plan.roi_share), 1), rois.shape[1])
    used, rois, label = sampling.gather_chosen(positive, count, rois, outputs["roi_label"])
    targets = batch["targets"]
    truth, known = ops.cast(targets["truth"], "float32"), targets["truth_cls"] > 0
    overlap = ops.where(known[:, None, :], iou(rois[:, :, None], truth[:, None]), 0.0)
    own = ops.cast(ops.argmax(overlap, axis=-1), "int32")
    crops = ops.take_along_axis(targets["masks"], own[..., None, None], axis=1)
    drawn = ops.take_along_axis(targets["has_mask"], own, axis=1)
    boxes = ops.take_along_axis(truth, own[..., None], axis=1)
    found = model.get_layer("detections").output[0]
    logits = train_part(
        [*maps, found], model.get_layer("mask_apart").output, [*values, ops.stop_gradient(rois)]
    )
    return {
        **outputs,
        "mask_logits": of_class(logits, label),
        "mask_target": ops.stop_gradient(region_masks(crops, boxes, rois)),
        "mask_used": ops.logical_and(used, drawn),
    }


def region_masks(crops, boxes, rois):
    """[B, P, 28, 28] float32 0 or 1: what of regions [B, P, 4] their objects fill.

    crops [B, P, CROP, CROP] 0 or 1: masks inside boxes [B, P, 4]. Nothing lies outside of a box.
    """
    origin = ops.tile(boxes[..., :2], (1, 1, 2))
    sides = ops.tile(ops.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6), (1, 1, 2))
    placed = (rois - origin) / sides * float(CROP)
    maps = ops.cast(ops.reshape(crops, (-1, CROP, CROP, 1)), "float32")
    # A cell of nothing around the crop, or samples up to a cell outside would read its border.
    maps = ops.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    regions = ops.reshape(placed + 1.0, (-1, 1, 4))
    filled = roi.roi_align([maps], regions, ((1.0, 1.0),), SIDE, 2, aligned=True)
    filled = ops.reshape(filled, (-1, crops.shape[1], SIDE, SIDE))
    return ops.cast(filled >= THRESHOLD, "float32")


def loss(targets, outputs, *, plan: two_stage.Plan) -> dict:
    """`two_stage.loss`'s, and "mask": (cross entropy of a mask's bins, mean; regions)."""
    entropy = losses.binary_cross_entropy(outputs["mask_target"], outputs["mask_logits"])
    used = ops.cast(outputs["mask_used"], "float32")
    mask = ops.sum(used * ops.mean(entropy, axis=(-2, -1))), ops.sum(used)
    return {**two_stage.loss(targets, outputs, plan=plan), "mask": mask}


def encode(annotation, *, boxes, size, classes: int, plan: two_stage.Plan) -> dict:
    """`two_stage.encode`'s targets of {"boxes", "classes", "valid", "masks" [M, H, W] 0 or 1}.

    And masks [M + 1, CROP, CROP] uint8, the inside of each object's box; has_mask [M + 1] bool.
    """
    import tensorflow as tf

    targets = two_stage.encode(annotation, boxes=boxes, size=size, classes=classes, plan=plan)
    crops = box_masks(annotation["masks"], targets["truth"][:-1])
    crops = tf.pad(crops, [[0, 1], [0, 0], [0, 0]])
    drawn = tf.reduce_any(crops > 0, axis=(1, 2)) & (targets["truth_cls"] > 0)
    return {**targets, "masks": crops, "has_mask": drawn}


def box_masks(masks, boxes):
    """uint8 [M, CROP, CROP]: masks [M, H, W] at the centres of a box's CROP x CROP parts."""
    import tensorflow as tf

    def places(low, high, side):
        centers = (tf.range(CROP, dtype=tf.float32) + 0.5) / CROP
        at = tf.floor(low[:, None] + centers * (high - low)[:, None])
        return tf.clip_by_value(tf.cast(at, tf.int32), 0, side - 1)

    height, width = tf.shape(masks)[1], tf.shape(masks)[2]
    rows = tf.gather(masks, places(boxes[:, 0], boxes[:, 2], height), batch_dims=1)
    columns = places(boxes[:, 1], boxes[:, 3], width)
    crops = tf.gather(rows, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(crops, [masks.shape[0], CROP, CROP])


def decode(outputs, score_threshold=0.05, iou_threshold=OVERLAP, max_detections=MOST, *, size):
    """A detector's `decode`, and "masks" [B, D, 28, 28] logits; the best score first.

    The network made its masks of what is left at OVERLAP, MOST boxes at most: a lower overlap and
    fewer boxes narrow that, others leave it as it is.
    """
    import tensorflow as tf

    rows = outputs["found"].shape[1]
    scores = tf.cast(outputs["found_scores"], tf.float32)
    valid = (scores >= 0.0) & (scores >= score_threshold)
    boxes, classes = outputs["found"], outputs["found_classes"]
    if iou_threshold < OVERLAP:
        apart = boxes + (tf.cast(classes, tf.float32) * (max(size) + 1.0))[..., None]

        def kept(row):
            index = tf.image.non_max_suppression(*row, rows, iou_threshold, 0.0)
            return tf.scatter_nd(index[:, None], tf.ones_like(index, tf.bool), [rows])

        open_scores = tf.where(valid, scores, -1.0)
        spec = tf.TensorSpec([rows], tf.bool)
        valid &= tf.map_fn(kept, (apart, open_scores), fn_output_signature=spec)
    order = tf.argsort(tf.where(valid, scores, -1.0), direction="DESCENDING", stable=True)
    order = order[:, :max_detections]
    missing = max(max_detections - rows, 0)

    def row(values):
        values = tf.gather(values, order, batch_dims=1)
        return tf.pad(values, [[0, 0], [0, missing], *[[0, 0]] * (values.shape.rank - 2)])

    return {
        "boxes": row(boxes),
        "scores": row(scores),
        "classes": tf.cast(row(classes), tf.int64),
        "valid": row(valid),
        "masks": row(tf.cast(outputs["masks"], tf.float32)),
    }


def answer(decoded, matrices, sizes, names) -> dict:
    """A detector's answer, and masks [B, D, 28, 28] float32: probabilities inside the box.

    models/paste.py makes them as large as the picture. Where a box was cut at the picture's border,
    its mask is of what is left of it. Rows beyond `num_detections` are 0.
    """
    import tensorflow as tf

    found = detection.answer(decoded, matrices, sizes, names)
    scale = tf.stack([matrices[:, 1, 1], matrices[:, 0, 0]] * 2, axis=-1)[:, None]
    shift = tf.stack([matrices[:, 1, 2], matrices[:, 0, 2]] * 2, axis=-1)[:, None]
    cut = found["boxes"] * scale + shift
    masks = _inside(tf.sigmoid(decoded["masks"]), decoded["boxes"], cut)
    return {**found, "masks": tf.where(decoded["valid"][..., None, None], masks, 0.0)}


def _inside(masks, boxes, cut):
    """Masks [B, D, 28, 28] of boxes -> those of what is `cut` out of them, bilinear."""
    import tensorflow as tf

    origin = tf.tile(boxes[..., :2], [1, 1, 2])
    sides = tf.tile(tf.maximum(boxes[..., 2:] - boxes[..., :2], 1e-6), [1, 1, 2])
    parts = tf.reshape((cut - origin) / sides, [-1, 4])
    whole = tf.reduce_all(tf.abs(parts - [0.0, 0.0, 1.0, 1.0]) < 1e-3, axis=-1)
    low, high = parts[:, :2], parts[:, 2:]
    half = (high - low) / (2 * SIDE)
    # In cells of a mask with one more on each side, of SIDE + 1 steps.
    ends = (tf.concat([low + half, high - half], axis=-1) * SIDE + 0.5) / (SIDE + 1)
    flat = tf.reshape(masks, [-1, SIDE, SIDE, 1])
    padded = tf.pad(flat, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    moved = tf.image.crop_and_resize(padded, ends, tf.range(tf.shape(flat)[0]), [SIDE, SIDE])
    return tf.reshape(tf.where(whole[:, None, None, None], flat, moved), tf.shape(masks))


def difference(expected, received, **limits) -> float:
    """A detector's, of scores; masks of the same object may differ in as many parts of theirs."""
    worst = detection.difference(expected, received, **limits)
    for index in range(len(expected["scores"])):
        for row in range(int(expected["num_detections"][index])):
            worst = max(worst, _mask_difference(expected, received, index, row))
    return worst


def _mask_difference(expected, received, index: int, row: int) -> float:
    """The part of one mask's bins that are decided otherwise; 0 where the object is not found."""
    count = int(received["num_detections"][index])
    overlaps = detection.iou(expected["boxes"][index][row], received["boxes"][index][:count])
    same = received["classes"][index][:count] == expected["classes"][index][row]
    overlaps = np.where(same, overlaps, 0.0)
    if not count or overlaps.max() < 0.9:
        return 0.0
    one = expected["masks"][index][row] >= THRESHOLD
    other = received["masks"][index][int(overlaps.argmax())] >= THRESHOLD
    return float(np.mean(one != other))
