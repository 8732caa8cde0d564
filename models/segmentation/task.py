"""A class for every pixel: what is learnt, and the label map that is answered.

Networks answer logits [B, h, w, K], one vector for each pixel inside the margin of their input. K
classes; IGNORE marks pixels that nobody labelled, or that lie outside the picture.

The answer has the size of the picture sent, not of the network's input: logits are interpolated at
the picture's pixels, and the largest decides. That is done strip by strip, so that a picture of 100
million pixels needs no more than its label map and STRIP numbers.
"""

from __future__ import annotations

import functools
import io
import math

import keras
import numpy as np
from keras import ops

from convoy.models import losses
from convoy.models.classification.task import check_weights
from convoy.models.segmentation import borders
from convoy.models.spec import ModelInfo, Task

IGNORE = 255
STRIP = 1 << 22  # logits that are interpolated at once
EPSILON = 1.0  # pixels that Dice's fraction is smoothed by


def build(
    model: keras.Model,
    info: ModelInfo,
    class_weights: tuple[float, ...] = (),
    dice: float = 0.0,
    border_weight: float = 0.0,
) -> Task:
    """Wraps a network of logits [B, h, w, K].

    class_weights: one number per class, factors of the cross entropy of its pixels; () = 1 each.
    dice: the weight of Dice's loss beside the cross entropy. border_weight: U-Net's w0, see
    models/segmentation/borders.py. Raises ValueError.
    """
    if info.num_classes > IGNORE:
        raise ValueError(
            f"{info.name}: a label map holds at most {IGNORE} classes, got {info.num_classes}"
        )
    check_weights(class_weights, info)
    answered = {"margin": info.preprocess.margin}
    return Task(
        model=model,
        info=info,
        encode=functools.partial(encode, border_weight=border_weight),
        loss=functools.partial(loss, class_weights=tuple(class_weights), dice=dice),
        decode=decode,
        answer=functools.partial(answer, **answered),
        stacked=functools.partial(answer, **answered, encoded=False),
        difference=difference,
    )


def encode(annotation, border_weight: float = 0.0) -> dict:
    """{"segmentation" [h, w] uint8} -> {"labels" the same, "weights" [h, w] float32 if asked for}.

    A pixel's class, or IGNORE.
    """
    targets = {"labels": annotation["segmentation"]}
    if border_weight:
        targets["weights"] = borders.weight_map(annotation["segmentation"], border_weight)
    return targets


def loss(targets, outputs, *, class_weights: tuple[float, ...] = (), dice: float = 0.0) -> dict:
    """{"cls": (sum over the labelled pixels, their number)}, and "dice": (sum, pictures).

    cls is w(class) * w(pixel) * cross entropy. Every number is 0 where no pixel is labelled.
    """
    labels = ops.cast(targets["labels"], "int32")
    labelled = labels != IGNORE
    known = ops.where(labelled, labels, 0)
    outputs = ops.cast(outputs, "float32")
    weight = ops.cast(labelled, "float32")
    count = ops.sum(weight)
    if class_weights:
        weight = weight * ops.take(ops.convert_to_tensor(class_weights, "float32"), known)
    if "weights" in targets:
        weight = weight * targets["weights"]
    parts = {"cls": (ops.sum(weight * losses.pixel_entropy(known, outputs)), count)}
    if dice:
        parts["dice"] = dice_loss(known, labelled, outputs, dice)
    return parts


def dice_loss(labels, labelled, outputs, factor: float = 1.0):
    """(factor * sum over the pictures of 1 - mean over their classes of Dice, pictures).

    Dice of a class: 2 sum(p g) / (sum(p) + sum(g)) over the labelled pixels, p the probability and
    g 1 where it is the class; 1 added above and below. Over the classes that a picture holds.
    Milletari 2016 https://arxiv.org/abs/1606.04797 equation 1, with p for its p^2.
    """
    seen = ops.cast(labelled, "float32")[..., None]
    truth = ops.one_hot(labels, outputs.shape[-1], dtype="float32") * seen
    probability = ops.softmax(outputs, axis=-1) * seen
    shared = ops.sum(probability * truth, axis=(1, 2))
    sizes = ops.sum(probability, axis=(1, 2)) + ops.sum(truth, axis=(1, 2))
    coefficient = (2 * shared + EPSILON) / (sizes + EPSILON)  # [B, K]
    present = ops.cast(ops.any(truth > 0, axis=(1, 2)), "float32")
    classes = ops.sum(present, axis=-1)
    mean = ops.sum(coefficient * present, axis=-1) / ops.maximum(classes, 1.0)
    labelled_pictures = ops.cast(classes > 0, "float32")
    return factor * ops.sum(labelled_pictures * (1.0 - mean)), ops.sum(labelled_pictures)


def decode(outputs) -> dict:
    """{"logits" [B, h, w, K]}: nothing is decided before the picture's own pixels are known."""
    return {"logits": outputs}


def answer(decoded, matrices, sizes, names, *, margin: int = 0, encoded: bool = True) -> dict:
    """label_map_bytes [B]: PNGs, 8-bit gray, of the pictures' sizes; class_fractions [B, K].

    class_fractions float32: each class's part of the picture's pixels. Not `encoded`: label_map
    [B, H, W] uint8 instead, of pictures of one size.
    """
    import tensorflow as tf

    def of_one(row):
        logits, matrix, size = row
        labels, fractions = label_map(logits, matrix, size, margin)
        return tf.io.encode_png(labels[..., None]) if encoded else labels, fractions

    logits = decoded["logits"]
    fractions = tf.TensorSpec([logits.shape[-1]], tf.float32)
    kind = tf.TensorSpec([], tf.string) if encoded else tf.TensorSpec([None, None], tf.uint8)
    maps, fractions = tf.map_fn(
        of_one, (logits, matrices, sizes), fn_output_signature=(kind, fractions)
    )
    return {"label_map_bytes" if encoded else "label_map": maps, "class_fractions": fractions}


def label_map(logits, matrix, size, margin: int = 0):
    """(uint8 [H, W], float32 [K]): the class of each pixel of a picture, and their parts of it.

    logits [h, w, K] of the pixels inside the margin of the network's input; matrix [3, 3] from
    pixels of the picture to those of the input: scale and shift only. size (H, W). Bilinear; what
    lies beyond the outermost logits, as the sides of a picture cut to its centre do, takes theirs.
    """
    import tensorflow as tf

    classes = logits.shape[-1]
    height, width = size[0], size[1]
    rows = tf.clip_by_value(STRIP // (width * classes), 1, height)
    low, high, part = _places(width, matrix[0, 0], matrix[0, 2] - margin, tf.shape(logits)[1])

    def strip(index):
        first = index * rows
        above, below, down = _places(
            rows, matrix[1, 1], matrix[1, 2] - margin, tf.shape(logits)[0], first
        )
        lines = _mixed(tf.gather(logits, above), tf.gather(logits, below), down[:, None, None])
        lines = _mixed(tf.gather(lines, low, axis=1), tf.gather(lines, high, axis=1), part[:, None])
        labels = tf.argmax(lines, axis=-1, output_type=tf.int32)
        inside = tf.reshape(labels[: height - first], [-1])
        counts = tf.math.bincount(inside, minlength=classes, maxlength=classes)
        return tf.cast(labels, tf.uint8), tf.ensure_shape(counts, [classes])

    labels, counts = tf.map_fn(
        strip,
        tf.range((height + rows - 1) // rows),
        fn_output_signature=(
            tf.TensorSpec([None, None], tf.uint8),
            tf.TensorSpec([classes], tf.int32),
        ),
        parallel_iterations=1,
    )
    labels = tf.reshape(labels, [-1, width])[:height]
    fractions = tf.cast(tf.reduce_sum(counts, axis=0), tf.float32)
    return labels, fractions / tf.cast(height * width, tf.float32)


def _places(count, scale, shift, limit, first=0):
    """Where the centres of `count` pixels of a picture lie between those of `limit` logits.

    (the one before, the one behind, how far behind the first [0, 1]).
    """
    import tensorflow as tf

    centers = tf.cast(tf.range(count) + first, tf.float32) + 0.5
    place = centers * scale + shift - 0.5
    place = tf.clip_by_value(place, 0.0, tf.cast(limit - 1, tf.float32))
    before = tf.floor(place)
    low = tf.cast(before, tf.int32)
    return low, tf.minimum(low + 1, limit - 1), place - before


def _mixed(one, other, part):
    return one + (other - one) * part


def difference(expected, received, **limits) -> float:
    """The part of a picture's pixels whose classes differ, of the picture where it is largest."""
    worst = 0.0
    for one, other in zip(maps_of(expected), maps_of(received), strict=True):
        if one.shape != other.shape:
            return math.inf
        worst = max(worst, float(np.mean(one != other)))
    return worst


def maps_of(answers) -> list[np.ndarray]:
    """[H, W] uint8 of each picture of a batch of answers, encoded or not."""
    if "label_map" in answers:
        return list(answers["label_map"])
    return [decoded_map(data) for data in answers["label_map_bytes"]]


def decoded_map(data: bytes) -> np.ndarray:
    """uint8 [H, W] of an answer's PNG."""
    import PIL.Image

    return np.asarray(PIL.Image.open(io.BytesIO(data)))
