"""Which prior answers for which object: SSD's matching and the one by the largest overlap.

In TensorFlow, for tf.data.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.models import boxes as box_ops
from convoy.models import coding

MIN_IOU = 1e-6  # an object that touches no prior stays without one
NONE, UNDECIDED = -1, -2  # of a prior: no object; an overlap of which nothing is learnt


def usable(boxes, classes, valid, num_classes: int):
    """[M] bool: valid, with a finite box of positive sides and a class in [0, num_classes)."""
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    in_range = (classes >= 0) & (classes < num_classes)
    return tf.cast(valid, tf.bool) & finite & solid & in_range


def match(iou, threshold: float = 0.5):
    """iou [M, N] of objects with priors -> [N] int32: the object of each prior, -1 = none.

    Bipartite first: the best remaining pair over all objects and priors is matched until every
    object has a prior. Then each prior left over takes its best object where IoU >= threshold.
    """
    count = tf.shape(iou)[1]
    if iou.shape[0] == 0:
        return tf.fill([count], -1)
    best = tf.argmax(iou, axis=1, output_type=tf.int32)
    good = tf.reduce_max(iou, axis=1) > MIN_IOU
    rivals = (best[:, None] == best[None, :]) & good[:, None] & good[None, :]
    contested = tf.math.count_nonzero(rivals) > tf.math.count_nonzero(good)
    # Where each object has a best prior of its own, the remaining pairs are never looked at.
    prior_of = tf.cond(contested, lambda: _bipartite(iou), lambda: tf.where(good, best, -1))

    near = tf.where(tf.reduce_max(iou, axis=0) >= threshold)  # [priors, 1]: few of them
    # A row of -1 makes the reduction defined where there are no objects at all.
    columns = tf.gather(iou, near[:, 0], axis=1)
    columns = tf.concat([columns, tf.fill([1, tf.shape(near)[0]], -1.0)], axis=0)
    matched = tf.tensor_scatter_nd_update(
        tf.fill([count], -1), near, tf.argmax(columns, axis=0, output_type=tf.int32)
    )
    rows = tf.where(prior_of >= 0)  # [objects with a prior, 1]
    return tf.tensor_scatter_nd_update(
        matched, tf.gather_nd(prior_of, rows)[:, None], tf.cast(rows[:, 0], tf.int32)
    )


def match_best(iou, low: float, high: float, forced: bool = True):
    """iou [M, N] of objects with priors -> [N] int32: the object of each prior, NONE, UNDECIDED.

    A prior takes the object that it overlaps most, from IoU >= high on; below `low` it has none,
    between nothing is decided. forced: so does, below `high`, each prior that no other prior
    surpasses for some object (Faster R-CNN, https://arxiv.org/abs/1506.01497, section 3.1.2).
    """
    # A row of 0 makes the reductions defined where there are no objects at all.
    best = tf.reduce_max(tf.pad(iou, [[0, 1], [0, 0]]), axis=0)
    index = tf.argmax(tf.pad(iou, [[0, 1], [0, 0]]), axis=0, output_type=tf.int32)
    positive = best >= high
    if forced:
        top = tf.reduce_max(iou, axis=1, keepdims=True)
        positive |= tf.reduce_any((iou >= top) & (top > MIN_IOU), axis=0)
    return tf.where(positive, index, tf.where(best < low, NONE, UNDECIDED))


def _bipartite(iou):
    """iou [M, N] -> [M] int32: the prior of each object by the best remaining pair, -1 = none."""
    objects, count = tf.shape(iou)[0], tf.shape(iou)[1]
    # M - 1 other objects can take no more than M - 1 of an object's priors: its M best will do.
    best_iou, best_prior = tf.math.top_k(iou, tf.minimum(objects, count))

    def step(_, open_iou, prior_of):
        best = tf.argmax(tf.reshape(open_iou, [-1]), output_type=tf.int32)
        row, column = best // tf.shape(open_iou)[1], best % tf.shape(open_iou)[1]
        good, prior = open_iou[row, column] > MIN_IOU, best_prior[row, column]
        row_hot = tf.range(objects) == row
        closed = row_hot[:, None] | (best_prior == prior)
        return good, tf.where(closed, -1.0, open_iou), tf.where(row_hot & good, prior, prior_of)

    _, _, prior_of = tf.while_loop(
        lambda matching, *_: matching,
        step,
        (objects > 0, best_iou, tf.fill([objects], -1)),
        maximum_iterations=objects,
    )
    return prior_of


def encode_ssd(boxes, classes, valid, priors, num_classes: int, threshold: float = 0.5):
    """Training targets of one picture: {"cls": [N] int32, "box": [N, 4] float32 codes}.

    boxes [M, 4] pixels of the network input, classes [M], valid [M] bool; M may be 0. cls is 0 for
    background and class + 1 for a matched prior; codes of background priors are 0. Objects that
    are not `usable` are left out.
    """
    boxes = tf.cast(boxes, tf.float32)
    classes = tf.cast(classes, tf.int32)
    keep = usable(boxes, classes, valid, num_classes)
    boxes, classes = tf.boolean_mask(boxes, keep), tf.boolean_mask(classes, keep)
    priors = tf.convert_to_tensor(priors)
    matched = match(box_ops.pairwise_iou(boxes, priors), threshold)
    near = tf.where(matched >= 0)  # [positives, 1]: few of all priors
    index = tf.gather_nd(matched, near)
    codes = coding.encode(tf.gather(boxes, index), tf.gather_nd(priors, near))
    count = priors.shape[0]
    return {
        "cls": tf.scatter_nd(near, tf.gather(classes, index) + 1, [count]),
        "box": tf.scatter_nd(near, codes, [count, 4]),
    }
