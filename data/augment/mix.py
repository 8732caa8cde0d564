"""Samples mixed with their neighbours in the batch: MixUp, CutMix and Mosaic.

Papers: Zhang 2017 https://arxiv.org/abs/1710.09412 (MixUp); Yun 2019
https://arxiv.org/abs/1905.04899 (CutMix); Bochkovskiy 2020 https://arxiv.org/abs/2004.10934
(Mosaic); Zhang 2019 https://arxiv.org/abs/1902.04103 (MixUp of objects).

Rows meet in fixed groups: 0 and 1, 2 and 3, ... for MixUp and CutMix, fours for Mosaic. The stream
is shuffled every epoch, so a neighbour is as random as a row of a permutation; and each row has its
own random numbers. So a mixed batch is a function of the records in it alone: the same after a
resume, and for any number of workers whose part of a batch is made of whole groups.

Written in plain TensorFlow. keras-cv's layers for it draw from generators of the process, whose
order parallel calls and resuming change; besides, its CutMix weighs labels by a rectangle that was
not yet cut at the border, and its Mosaic stretches the picture by h / (h - 1) under boxes that it
only shifts. The tests compare with these layers where they agree.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from convoy.data.as_written import as_written
from convoy.data.augment import geometry
from convoy.data.augment.policy import Augment

DRAWS = 5  # uniform numbers per row: MixUp's share, CutMix's, two of a centre, one of a choice
PAIR, FOUR = 2, 4
OBJECTS = ("boxes", "classes", "valid")
# What can be mixed, by the fields of annotation that are read: of others it is not known how.
MIXES = {("labels",): ("mixup", "cutmix"), ("boxes",): ("mixup", "mosaic")}


def rows_together(policy: Augment, fields: tuple[str, ...]) -> int:
    """How many rows next to each other the policy mixes, 1 = none.

    What a worker reads of a batch must be a multiple of it. Raises ValueError for fields of
    annotation that a kind of mixing cannot follow.
    """
    kinds = [name for name in ("mixup", "cutmix", "mosaic") if getattr(policy, name)]
    for name in kinds:
        if name not in MIXES.get(fields, ()):
            mixable = [*(" and ".join(read) for read, names in MIXES.items() if name in names)]
            raise ValueError(
                f"augment.{name} mixes {' or '.join(mixable)}, the task learns {', '.join(fields)}"
            )
    return FOUR if policy.mosaic else PAIR if kinds else 1


def mixed(
    rows: tf.data.Dataset,
    policy: Augment,
    fields: tuple[str, ...],
    num_classes: int,
    encode: Callable,
) -> tf.data.Dataset:
    """Rows {"image", "targets", "mix" [DRAWS], ...} of which image and targets are mixed.

    "mix", uniform numbers of [0, 1), is taken out. Targets of labels, {"label"}, become
    {"distribution" [num_classes] float32}. Those of boxes are {"boxes" [M, 4] pixels,
    "classes" [M], "valid" [M]} and become what `encode` makes of this dict.
    """

    of_labels = "labels" in fields

    def mix(batch: dict) -> dict:
        draws, targets = batch["mix"], batch["targets"]
        rest = {name: batch[name] for name in batch if name != "mix"}
        if of_labels:
            batch = {"image": batch["image"], "labels": tf.one_hot(targets["label"], num_classes)}
            batch = mix_labels(batch, draws, policy.mixup, policy.cutmix)
            return {**rest, "image": batch["image"], "targets": {"distribution": batch["labels"]}}
        batch = {"image": batch["image"], **targets}
        batch = mix_objects(batch, draws, policy.mixup, policy.mosaic, policy.min_visible)
        targets = {name: batch[name] for name in OBJECTS}
        return {**rest, "image": batch["image"], "targets": targets}

    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    groups = rows.batch(rows_together(policy, fields), drop_remainder=True)
    rows = groups.map(as_written(mix), **parallel).unbatch()
    if of_labels:
        return rows
    encoded = as_written(lambda row: {**row, "targets": encode(row["targets"])})
    return rows.map(encoded, **parallel)


def beta(draws: tf.Tensor, alpha: float) -> tf.Tensor:
    """Uniform numbers of [0, 1) to Beta(alpha, alpha) ones, in 0..1 and float32.

    The inverse of the distribution function by bisection, to 2^-24.
    """
    draws = tf.cast(draws, tf.float64)
    shape = tf.constant(alpha, tf.float64)
    quantile = tf.zeros_like(draws)
    for step in range(1, 25):
        higher = quantile + 0.5**step
        quantile = tf.where(tf.math.betainc(shape, shape, higher) <= draws, higher, quantile)
    return tf.cast(quantile, tf.float32)


def mix_labels(batch: dict, draws: tf.Tensor, mixup: float, cutmix: float) -> dict:
    """Classification: {"image" [B, H, W, C], "labels" [B, K] one- or multi-hot} -> the same, mixed.

    draws: [B, DRAWS] uniform in [0, 1); mixup, cutmix: alphas, of which one is above 0. Where both
    are, each row takes one of the two with equal probability. Labels become float32 weights: of
    each class its part of the picture, so a class that both pictures hold keeps weight 1.
    """
    if not cutmix:
        return blend(batch, mixup_weight(beta(draws[:, 0], mixup)))
    shape = tf.shape(batch["image"])
    center = tf.cast(draws[:, 2:4] * tf.cast(shape[1:3], tf.float32), tf.int32)
    cut = cutmix_weight(beta(draws[:, 1], cutmix), center, shape[1], shape[2])
    if not mixup:
        return blend(batch, cut)
    whole = mixup_weight(beta(draws[:, 0], mixup))
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

    draws: [B, DRAWS] uniform in [0, 1); mixup is an alpha, mosaic a probability, its centre uniform
    in the middle half of each side. MixUp, of what the mosaics gave, keeps the objects of both
    pictures. Objects beyond M are left out, those of other pictures first.
    """
    if mosaic:
        sides = tf.cast(tf.shape(batch["image"])[1:3], tf.float32)
        center = tf.where(draws[:, 4:] < mosaic, sides * (0.25 + 0.5 * draws[:, 2:4]), sides)
        batch = join(batch, tf.cast(tf.round(center), tf.int32), min_visible)
    if mixup:
        weight = mixup_weight(beta(draws[:, 0], mixup))
        image = weight * batch["image"] + (1.0 - weight) * swap_pairs(batch["image"])
        both = [tf.concat([batch[name], swap_pairs(batch[name])], axis=1) for name in OBJECTS]
        batch = dict(batch, image=image, **_packed(*both, slots=batch["valid"].shape[1]))
    return batch


def join(batch: dict, center: tf.Tensor, min_visible: float) -> dict:
    """Mosaic: each row and the three others of its four, met at center [B, 2] int32 (y, x).

    The row's own picture lies above and left of the centre, the next three right of it, below, and
    below right, each unscaled and with the corner that lies at the centre cut to what fits. A
    centre at (H, W) leaves a row as it is. Boxes move along, by geometry.keep_visible.
    """
    image, slots = batch["image"], batch["valid"].shape[1]
    height, width = tf.unstack(tf.shape(image)[1:3])
    row = tf.range(_whole(image, FOUR))[:, None]
    group = row - row % FOUR + (row + tf.range(FOUR)) % FOUR  # [B, 4]

    def one_row(arguments):
        group, (y, x) = arguments[0], tf.unstack(arguments[1])
        first, second, third, fourth = (image[group[index]] for index in range(FOUR))
        above = [first[height - y :, width - x :], second[height - y :, : width - x]]
        below = [third[: height - y, width - x :], fourth[: height - y, : width - x]]
        return tf.concat([tf.concat(above, axis=1), tf.concat(below, axis=1)], axis=0)

    spec = tf.TensorSpec(image.shape[1:], image.dtype)
    joined = tf.map_fn(one_row, (group, center), fn_output_signature=spec)

    y, x = center[:, :1], center[:, 1:]
    down = tf.concat([y - height, y - height, y, y], axis=1)  # [B, 4]
    right = tf.concat([x - width, x, x - width, x], axis=1)
    shift = tf.cast(tf.stack([down, right, down, right], axis=-1), tf.float32)
    moved = tf.gather(batch["boxes"], group) + shift[:, :, None, :]
    moved = tf.reshape(moved, [-1, FOUR * slots, 4])
    boxes, visible = geometry.keep_visible(moved, (height, width), min_visible)
    classes, valid = (
        tf.reshape(tf.gather(batch[name], group), [-1, FOUR * slots]) for name in OBJECTS[1:]
    )
    return dict(batch, image=joined, **_packed(boxes, classes, visible & valid, slots=slots))


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
