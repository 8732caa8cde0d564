"""What a second stage found, inside the network: the boxes whose masks it looks at next.

Paper: He 2017 https://arxiv.org/abs/1703.06870 (section 3.1, inference): masks of the 100 best
boxes after suppression, at an overlap of 0.5.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import coding, proposals

MOST = 100
OVERLAP = 0.5  # beyond it the worse of two boxes of one class goes
FLOOR = 0.01  # scores below it cost time and are nobody's objects


@keras.saving.register_keras_serializable("convoy")
class Detections(keras.layers.Layer):
    """Regions and what they are -> (boxes [B, D, 4], scores [B, D], classes [B, D] int32).

    regions [B, R, 4], objectness [B, R], negative of rows without one; cls [B, R, K + 1] logits,
    background first; codes [B, R, 4 (K + 1)]. Boxes in pixels of the input, cut to it, suppressed
    class by class, the best score first; rows beyond the last are 0 with the score -1. No gradient
    flows through. size: (height, width) of the input; min_side: shorter boxes are none, pixels.
    """

    def __init__(self, size, most=MOST, iou_threshold=OVERLAP, min_side=0.01, **kwargs):
        # Half precision would move boxes by pixels.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.size, self.most = tuple(map(int, size)), int(most)
        self.iou_threshold, self.min_side = float(iou_threshold), float(min_side)

    def call(self, regions, objectness, cls, codes):
        regions, objectness, cls, codes = (
            ops.stop_gradient(ops.cast(x, "float32")) for x in (regions, objectness, cls, codes)
        )
        rows, classes = regions.shape[1], cls.shape[-1] - 1
        scores = ops.softmax(cls, axis=-1)[..., 1:]
        codes = ops.reshape(codes, (-1, rows, classes + 1, 4))[:, :, 1:]
        boxes = proposals.cut(coding.decode(codes, regions[:, :, None], coding.UNIT), self.size)
        solid = ops.all(boxes[..., 2:] - boxes[..., :2] >= self.min_side, axis=-1)
        there = ops.logical_and(solid, objectness[..., None] >= 0.0)
        scores = ops.where(ops.logical_and(there, scores >= FLOOR), scores, proposals.ABSENT)
        if keras.backend.backend() == "tensorflow":
            return self._by_kernel(boxes, scores)
        return self._by_offsets(boxes, scores)

    def _by_kernel(self, boxes, scores):
        import tensorflow as tf

        kept = tf.image.combined_non_max_suppression(
            boxes,
            scores,
            max_output_size_per_class=self.most,
            max_total_size=self.most,
            iou_threshold=self.iou_threshold,
            score_threshold=0.0,
            clip_boxes=False,
        )
        there = tf.range(self.most)[None] < kept.valid_detections[:, None]
        found = tf.reshape(kept.nmsed_boxes, (-1, self.most, 4))
        classes = tf.reshape(tf.cast(kept.nmsed_classes, tf.int32), (-1, self.most))
        return found, tf.where(there, kept.nmsed_scores, proposals.ABSENT), classes

    def _by_offsets(self, boxes, scores):
        """Each class in a place of its own, so that one suppression is that of all of them."""
        rows, classes = scores.shape[1:]
        span = float(max(self.size) + 1)
        place = ops.arange(classes, dtype="float32")[:, None] * span
        moved = ops.reshape(boxes + place, (-1, rows * classes, 4))
        scores = ops.reshape(scores, (-1, rows * classes))
        found, scores = proposals.suppress(moved, scores, self.most, self.iou_threshold)
        label = ops.floor(found[..., 0] / span)
        found = ops.where(scores[..., None] >= 0.0, found - label[..., None] * span, 0.0)
        return found, scores, ops.cast(label, "int32")

    def compute_output_spec(self, regions, objectness, cls, codes):
        rows = (regions.shape[0], self.most)
        return (
            keras.KerasTensor((*rows, 4), "float32"),
            keras.KerasTensor(rows, "float32"),
            keras.KerasTensor(rows, "int32"),
        )

    def get_config(self):
        names = ("size", "most", "iou_threshold", "min_side")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("convoy")
class OfClass(keras.layers.Layer):
    """(masks [B, D, h, w, K + 1], classes [B, D] int32 without background) -> [B, D, h, w]."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})

    def call(self, masks, classes):
        return of_class(masks, classes + 1)

    def compute_output_shape(self, masks_shape, classes_shape):
        return masks_shape[:-1]


def of_class(masks, label):
    """[B, D, h, w, N] -> [B, D, h, w] float32: of each region the mask of its label [B, D]."""
    label = ops.cast(label, "int32")[..., None, None, None]
    return ops.cast(ops.take_along_axis(masks, label, axis=-1)[..., 0], "float32")
