"""Which of many boxes take part in a loss: balanced random ones, or the hardest. keras.ops alone.

Papers: Girshick 2015 https://arxiv.org/abs/1504.08083 (section 2.3), Ren 2015
https://arxiv.org/abs/1506.01497 (section 3.1.3), Shrivastava 2016
https://arxiv.org/abs/1604.03540 (online hard example mining).
"""

from __future__ import annotations

from keras import ops

from convoy.models import coding
from convoy.models.iou import iou


def balanced(labels, noise, count: int, share: float):
    """[B, N] bool: of each picture at most `count` boxes, at most `share` of them positive.

    labels [B, N]: positive > 0, negative 0, neither < 0; noise [B, N] in [0, 1), without ties, says
    which: the smallest of each kind. Negatives fill the places that positives leave.
    """
    positive, negative = labels > 0, ops.equal(labels, 0)
    chosen = ops.logical_and(positive, _rank(positive, noise) < int(count * share))
    room = count - ops.sum(ops.cast(chosen, "int32"), axis=-1, keepdims=True)
    return ops.logical_or(chosen, ops.logical_and(negative, _rank(negative, noise) < room))


def hardest(loss, valid, count: int):
    """[B, N] bool: of each picture the `count` valid boxes with the largest loss [B, N].

    Equal ones come in their order. No gradient flows through the selection.
    """
    loss = ops.where(valid, ops.stop_gradient(loss), -1.0)  # no loss is below 0
    return ops.logical_and(valid, _rank(valid, -loss) < count)


def _rank(mask, value):
    """[B, N] int32: the place of each in the order of value [B, N], those of the mask first."""
    order = ops.argsort(ops.where(mask, value, float("inf")), axis=-1)
    return ops.cast(ops.argsort(order, axis=-1), "int32")


def label_regions(rois, valid, truth, classes, *, positive: float, negative: float):
    """(labels [B, R] int32, codes [B, R, 4]) of what regions should be, by their best object.

    rois [B, R, 4], valid [B, R] bool; truth [B, M, 4] pixels, classes [B, M] int32: class + 1, 0
    where there is no object. labels: class + 1 from IoU >= `positive` on, 0 (background) from
    `negative` on, else -1. codes are models/coding.py's with its variances; 0 of all but positives.
    """
    overlap = ops.where((classes > 0)[:, None, :], iou(rois[:, :, None], truth[:, None]), 0.0)
    best, index = ops.max(overlap, axis=-1), ops.cast(ops.argmax(overlap, axis=-1), "int32")
    label = ops.take_along_axis(ops.cast(classes, "int32"), index, axis=1)
    found = best >= positive
    label = ops.where(found, label, ops.where(best >= negative, 0, -1))
    label = ops.where(valid, label, -1)
    own = ops.take_along_axis(truth, index[..., None], axis=1)
    learns = (label > 0)[..., None]
    # Without area there is nothing to code against.
    priors = ops.where(learns, rois, ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0]))
    return label, ops.where(learns, coding.encode(own, priors), 0.0)


def gather_chosen(chosen, count: int, *values):
    """`count` rows of what is chosen [B, N]: (whether a row is [B, count], rows of each value).

    values [B, N, ...]; of fewer chosen ones the last rows are others.
    """
    size = chosen.shape[-1] or ops.shape(chosen)[-1]
    place = ops.arange(size, dtype="float32")
    _, index = ops.top_k(ops.where(chosen, 2.0 * ops.cast(size, "float32"), 0.0) - place, count)

    def rows(value):
        wide = ops.reshape(index, (*index.shape, *(1,) * (len(value.shape) - 2)))
        return ops.take_along_axis(value, wide, axis=1)

    return tuple(rows(value) for value in (chosen, *values))
