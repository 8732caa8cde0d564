"""Samples mixed with their neighbours in the batch: MixUp, CutMix and Mosaic.

Papers: Zhang 2017 https://arxiv.org/abs/1710.09412 (MixUp); Yun 2019
https://arxiv.org/abs/1905.04899 (CutMix); Bochkovskiy 2020 https://arxiv.org/abs/2004.10934
(Mosaic); Zhang 2019 https://arxiv.org/abs/1902.04103 (MixUp of objects).

Rows meet in fixed groups: 0 and 1, 2 and 3, ... for MixUp and CutMix, fours for Mosaic. The stream
is shuffled every epoch, so a neighbour is as random as a row of a permutation; and each row's
numbers are drawn from its own key. So a mixed batch is a function of the records in it alone: the
same after a resume, and for any number of workers whose part of a batch is made of whole groups.

Written in plain TensorFlow. keras-cv's layers for it draw from generators of the process, whose
order parallel calls and resuming change; besides, its CutMix weighs labels by a rectangle that was
not yet cut at the border, and its Mosaic stretches the picture by h / (h - 1) under boxes that it
only shifts. The tests compare with these layers where they agree.
"""

from __future__ import annotations

import tensorflow as tf

from data.augment import geometry

DRAWS = 5  # numbers a row: MixUp's share, CutMix's share, two of the centre, one of the choice
PAIR, FOUR = 2, 4
OBJECTS = ("boxes", "classes", "valid")


def rows_together(mixup: float, cutmix: float, mosaic: float) -> int:
    """How many rows next to each other are mixed: a part of a batch must be a multiple of it."""
    return FOUR if mosaic else PAIR if mixup or cutmix else 1


def draws_for(key: tf.Tensor, mixup: float = 0.0, cutmix: float = 0.0) -> tf.Tensor:
    """[DRAWS] for one sample; key [2] int64.

    The two shares are Beta(a, a) of the given alphas, 1 (all of it its own) where alpha is 0; the
    others uniform in [0, 1).
    """
    keys = tf.random.split(key, 3)
    shares = [_beta(keys[0], mixup), _beta(keys[1], cutmix)]
    return tf.concat([tf.stack(shares), tf.random.stateless_uniform([DRAWS - 2], keys[2])], axis=0)


def _beta(key: tf.Tensor, alpha: float) -> tf.Tensor:
    if not alpha:
        return tf.ones([])
    # In float64, as draws of a small alpha underflow; where both still do, the share is 0.
    one, other = tf.unstack(tf.random.stateless_gamma([2], key, alpha, dtype=tf.float64))
    return tf.cast(tf.math.divide_no_nan(one, one + other), tf.float32)


def mix_labels(batch: dict, draws: tf.Tensor, mixup: float, cutmix: float) -> dict:
    """Classification: {"image" [B, H, W, C], "labels" [B, K] one- or multi-hot} -> the same, mixed.

    draws [B, DRAWS] of `draws_for` with the same alphas. Where both are above 0, each row takes one
    of the two with equal probability. Labels become float32 weights: of each class its part of the
    picture, so a class that both pictures hold keeps weight 1.
    """
    whole = mixup_weight(draws[:, 0])
    if not cutmix:
        return blend(batch, whole)
    shape = tf.shape(batch["image"])
    center = tf.cast(draws[:, 2:4] * tf.cast(shape[1:3], tf.float32), tf.int32)
    cut = cutmix_weight(draws[:, 1], center, shape[1], shape[2])
    if not mixup:
        return blend(batch, cut)
    return blend(batch, tf.where(draws[:, 4, None, None, None] < 0.5, whole, cut))


def mixup_weight(share: tf.Tensor) -> tf.Tensor:
    """[B, 1, 1, 1]: the row's own part, the same at every pixel; share [B] in 0..1."""
    return share[:, None, None, None]


def cutmix_weight(share: tf.Tensor, center: tf.Tensor, height, width) -> tf.Tensor:
    """[B, H, W, 1]: 0 in a rectangle of 1 - share of the area, cut at the border, else 1.

    share [B]; center [B, 2] int32 pixels (y, x).
    """
    sides = tf.cast(tf.stack([height, width]), tf.float32)
    cut = tf.cast(tf.sqrt(1.0 - share)[:, None] * sides, tf.int32)
    first = center - cut // 2
    inside = [
        (tf.range(side) >= first[:, axis, None]) & (tf.range(side) < (first + cut)[:, axis, None])
        for axis, side in enumerate((height, width))
    ]
    return 1.0 - tf.cast(inside[0][:, :, None, None] & inside[1][:, None, :, None], tf.float32)


def blend(batch: dict, weight: tf.Tensor) -> dict:
    """weight x row + (1 - weight) x the other row of its pair; labels by the weight's mean."""
    image = batch["image"]
    mixed = dict(batch, image=weight * image + (1.0 - weight) * swap_pairs(image))
    labels = tf.cast(batch["labels"], tf.float32)
    part = tf.reduce_mean(weight, axis=[1, 2])
    mixed["labels"] = part * labels + (1.0 - part) * swap_pairs(labels)
    return mixed


def swap_pairs(rows: tf.Tensor) -> tf.Tensor:
    """Rows 1, 0, 3, 2, ... of [B, ...]; B must be even."""
    return tf.gather(rows, tf.bitwise.bitwise_xor(tf.range(_whole(rows, PAIR)), 1))


def mix_objects(
    batch: dict, draws: tf.Tensor, mixup: float, mosaic: float, min_visible: float
) -> dict:
    """Detection: {"image", "boxes" [B, M, 4] pixels, "classes" [B, M], "valid" [B, M]}, mixed.

    draws [B, DRAWS] of `draws_for`; mosaic is its probability, the centre uniform in the middle
    half of each side. MixUp, of what the mosaics gave, keeps the objects of both pictures. Objects
    beyond M are left out, those of other pictures first.
    """
    if mosaic:
        sides = tf.cast(tf.shape(batch["image"])[1:3], tf.float32)
        center = tf.where(draws[:, 4:] < mosaic, sides * (0.25 + 0.5 * draws[:, 2:4]), sides)
        batch = join(batch, tf.cast(tf.round(center), tf.int32), min_visible)
    if mixup:
        weight = mixup_weight(draws[:, 0])
        image = weight * batch["image"] + (1.0 - weight) * swap_pairs(batch["image"])
        both = [tf.concat([batch[name], swap_pairs(batch[name])], axis=1) for name in OBJECTS]
        batch = dict(batch, image=image, **_packed(*both, slots=batch["valid"].shape[1]))
    return batch


def join(batch: dict, center: tf.Tensor, min_visible: float) -> dict:
    """Mosaic: each row and the three others of its four, met at center [B, 2] int32 (y, x).

    The row's own picture lies above and left of the centre, the next three right of it, below, and
    below right, each unscaled and with the corner that lies at the centre cut to what fits. A
    centre at (H, W) leaves a row as it is. Boxes move along, by geometry.transform_boxes.
    """
    image = batch["image"]
    height, width = tf.unstack(tf.shape(image)[1:3])
    slots = batch["valid"].shape[1]

    def one_row(arguments):
        row, center = arguments
        group = row - row % FOUR + (row + tf.range(FOUR)) % FOUR
        y, x = center[0], center[1]
        above = [
            image[group[0], height - y :, width - x :],
            image[group[1], height - y :, : width - x],
        ]
        below = [
            image[group[2], : height - y, width - x :],
            image[group[3], : height - y, : width - x],
        ]
        joined = tf.concat([tf.concat(above, axis=1), tf.concat(below, axis=1)], axis=0)
        boxes, keep = [], []
        for index, corner in enumerate(
            [(y - height, x - width), (y - height, x), (y, x - width), (y, x)]
        ):
            moved, seen = geometry.transform_boxes(
                batch["boxes"][group[index]], _shift(*corner), (height, width), min_visible
            )
            boxes.append(moved)
            keep.append(seen & batch["valid"][group[index]])
        classes = tf.reshape(tf.gather(batch["classes"], group), [1, FOUR * slots])
        boxes, keep = tf.concat(boxes, axis=0)[None], tf.concat(keep, axis=0)[None]
        packed = _packed(boxes, classes, keep, slots=slots)
        return {"image": joined, **{name: value[0] for name, value in packed.items()}}

    names = ("image", *OBJECTS)
    types = {name: tf.TensorSpec(batch[name].shape[1:], batch[name].dtype) for name in names}
    rows = tf.range(_whole(image, FOUR)), center
    return dict(batch, **tf.map_fn(one_row, rows, fn_output_signature=types))


def _shift(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """[3, 3] matrix, as in geometry, that moves by whole pixels."""
    return tf.eye(3) + tf.pad(tf.cast(tf.stack([[x], [y]]), tf.float32), [[0, 1], [2, 0]])


def _packed(boxes: tf.Tensor, classes: tf.Tensor, valid: tf.Tensor, *, slots: int) -> dict:
    """The first `slots` valid objects of each row in order, zeros behind them."""
    order = tf.argsort(tf.cast(~valid, tf.int32), axis=1, stable=True)[:, :slots]
    boxes, classes, valid = (tf.gather(x, order, batch_dims=1) for x in (boxes, classes, valid))
    boxes = tf.where(valid[..., None], boxes, 0.0)
    return {"boxes": boxes, "classes": tf.where(valid, classes, 0), "valid": valid}


def _whole(rows: tf.Tensor, together: int) -> tf.Tensor:
    """The number of rows, which must be made of whole groups."""
    count = tf.shape(rows)[0]
    message = f"mixing needs a batch of a multiple of {together} rows"
    with tf.control_dependencies([tf.debugging.assert_equal(count % together, 0, message)]):
        return tf.identity(count)
