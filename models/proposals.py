"""Proposals of a region proposal network: the best boxes of its anchors, a fixed number of them.

Paper: Ren 2015 https://arxiv.org/abs/1506.01497 (section 3.3, "Sharing features"): the boxes with
the best scores, cut to the picture, small ones left out, suppressed, the best of what is left. Of
the levels of a pyramid each is suppressed by itself, as in https://arxiv.org/abs/1612.03144.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import keras
from keras import ops

from convoy.models import coding
from convoy.models.anchors import Level, priors
from convoy.models.iou import iou

ABSENT = -1.0  # score of a row without a proposal


@keras.saving.register_keras_serializable("convoy")
class Proposals(keras.layers.Layer):
    """(logits [B, N], codes [B, N, 4]) of anchors -> (boxes [B, R, 4], scores [B, R]).

    boxes in pixels of the input, the best score first; rows beyond the last proposal are 0 with the
    score -1. No gradient flows through. `train` and `test` are (boxes of a level before
    suppression, proposals after it, R), for training mode and else.

    levels: models.anchors.Level, or their dicts; size: (height, width) of the input; min_side:
    boxes with a shorter side are left out, pixels. The random numbers by which training samples
    are the layer's, so that they are kept with the network.
    """

    def __init__(
        self,
        levels,
        size,
        train=(2000, 300),
        test=(2000, 300),
        iou_threshold=0.7,
        min_side=1.0,
        seed=None,
        **kwargs,
    ):
        # Half precision would move boxes by pixels.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.levels = tuple(
            Level(**level) if isinstance(level, Mapping) else level for level in levels
        )
        self.size = tuple(map(int, size))
        self.train, self.test = tuple(map(int, train)), tuple(map(int, test))
        self.iou_threshold, self.min_side = float(iou_threshold), float(min_side)
        self.seed_generator = keras.random.SeedGenerator(seed, name="sampling")

    def call(self, logits, codes, training=False):
        logits, codes = (ops.stop_gradient(ops.cast(x, "float32")) for x in (logits, codes))
        before, after = self.train if training else self.test
        found, start = [], 0
        for level in self.levels:
            part = slice(start, start + level.count)
            anchors = ops.convert_to_tensor(priors([level]))
            found.append(self._level(logits[:, part], codes[:, part], anchors, before, after))
            start += level.count
        boxes, scores = (ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        missing = max(after - boxes.shape[1], 0)
        boxes = ops.pad(boxes, ((0, 0), (0, missing), (0, 0)))
        scores = ops.pad(scores, ((0, 0), (0, missing)), constant_values=ABSENT)
        if len(self.levels) > 1:
            scores, index = ops.top_k(scores, after)
            boxes = ops.take_along_axis(boxes, index[..., None], axis=1)
        return boxes, scores

    def _level(self, logits, codes, anchors, before: int, after: int):
        count = min(before, logits.shape[1])
        logits, index = ops.top_k(logits, count)
        codes = ops.take_along_axis(codes, index[..., None], axis=1)
        boxes = coding.decode(codes, ops.take(anchors, index, axis=0), coding.UNIT)
        boxes = cut(boxes, self.size)
        sides = boxes[..., 2:] - boxes[..., :2]
        large = ops.all(sides >= self.min_side, axis=-1)
        scores = ops.where(large, ops.sigmoid(logits), ABSENT)
        return suppress(boxes, scores, min(after, count), self.iou_threshold)

    def compute_output_spec(self, logits, codes, training=False):
        rows = (logits.shape[0], self.test[1])
        return keras.KerasTensor((*rows, 4), "float32"), keras.KerasTensor(rows, "float32")

    def get_config(self):
        names = ("size", "train", "test", "iou_threshold", "min_side")
        config = {name: getattr(self, name) for name in names}
        levels = [dataclasses.asdict(level) for level in self.levels]
        return {**super().get_config(), **config, "levels": levels}


def cut(boxes, size):
    """Boxes [..., 4] cut to a picture of size = (height, width)."""
    limit = ops.convert_to_tensor([*size, *size], "float32")
    return ops.minimum(ops.maximum(boxes, 0.0), limit)


def suppress(boxes, scores, count: int, iou_threshold: float):
    """Greedy suppression of boxes [B, N, 4] by scores [B, N] >= 0: ([B, count, 4], [B, count]).

    A box goes where a better one overlaps it by IoU > iou_threshold. Best score first; rows without
    a box are 0 with the score ABSENT, and what has that score is no box.
    """
    if keras.backend.backend() != "tensorflow":
        return _greedy(boxes, scores, count, iou_threshold)
    import tensorflow as tf

    # One kernel for the whole batch, a hundred times faster than the loop below.
    kept = tf.image.combined_non_max_suppression(
        boxes[:, :, None],
        scores[..., None],
        max_output_size_per_class=count,
        max_total_size=count,
        iou_threshold=iou_threshold,
        score_threshold=ABSENT / 2,
        clip_boxes=False,
    )
    there = tf.range(count)[None] < kept.valid_detections[:, None]
    found = tf.reshape(kept.nmsed_boxes, (-1, count, 4))
    return found, tf.where(there, kept.nmsed_scores, ABSENT)


def _greedy(boxes, scores, count: int, iou_threshold: float):
    place = ops.arange(count)

    def step(i, state):
        open_scores, found, found_scores = state
        best = ops.argmax(open_scores, axis=-1)[:, None]
        box = ops.take_along_axis(boxes, best[..., None], axis=1)
        score = ops.take_along_axis(open_scores, best, axis=1)
        here = ops.logical_and(ops.equal(place, i)[None], score >= 0.0)
        found = ops.where(here[..., None], box, found)
        found_scores = ops.where(here, score, found_scores)
        gone = iou(box, boxes) > iou_threshold
        gone = ops.logical_or(gone, ops.equal(ops.arange(boxes.shape[1])[None], best))
        return ops.where(gone, ABSENT, open_scores), found, found_scores

    batch = ops.shape(boxes)[0]
    start = (scores, ops.zeros((batch, count, 4)), ops.full((batch, count), ABSENT))
    _, found, found_scores = ops.fori_loop(0, count, step, start)
    return found, found_scores
