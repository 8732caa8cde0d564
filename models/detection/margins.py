"""Classes by linear SVMs and boxes by ridge regression, on features of given regions.

Papers: Girshick 2013 https://arxiv.org/abs/1311.2524 (R-CNN: sections 2.3 and C for the boxes), He
2014 https://arxiv.org/abs/1406.4729 (SPP-net, section 4.1).

A network of this kind learns K + 1 classes by their cross entropy first ("roi_cls"). Then, when the
recipe asks for SVMs, pipeline/training/fitted.py fits what no gradient reaches: "svm" [B, R, K],
one linear SVM per class on the last hidden layer, and "box" [B, R, 4 K], codes with variances of 1
of each class on the pooled maps. Until then boxes are the regions themselves, and scores are those
of the K + 1 classes; afterwards scores are sigmoids of the margins, which rank the answers of a
class, but are no probabilities.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from convoy.models import layers, losses
from convoy.models.detection import fast_rcnn, two_stage
from convoy.models.detection.task import detector
from convoy.models.spec import Fitted, ModelInfo, Task

FITTED = Fitted(features="features", maps="flat", svm="svm", box="box")
READS = ("proposals", "scores", "box")


@keras.saving.register_keras_serializable("convoy")
class Verdict(keras.layers.Layer):
    """Logits [B, R, K + 1], background first, and margins [B, R, K] -> scores [B, R, K] in 0..1.

    Softmax while all margins of a region are 0, as they are until the SVMs are fitted; then
    sigmoids of the margins.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, logits, margins):
        soft = ops.exp(ops.log_softmax(logits, axis=-1))[..., 1:]
        fitted = ops.any(ops.not_equal(margins, 0.0), axis=-1, keepdims=True)
        return ops.where(fitted, ops.sigmoid(margins), soft)

    def compute_output_shape(self, logits_shape, margins_shape):
        return margins_shape


def heads(flat, widths, num_classes: int, dropout: float, start, bias="zeros") -> dict:
    """{"cls", "scores", "box"} of features [B, R, D] of regions, by full layers fc6, fc7.

    start(fan_in, bias): how such a layer starts, as its arguments.
    """
    x = keras.layers.Activation("linear", dtype="float32", name=FITTED.maps)(flat)
    maps = x
    for index, width in enumerate(widths, start=6):
        x = keras.layers.Dense(
            width, activation="relu", name=f"fc{index}", **start(x.shape[-1], bias)
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
    x = keras.layers.Activation("linear", dtype="float32", name=FITTED.features)(x)
    last = start(x.shape[-1], "zeros")
    logits = keras.layers.Dense(num_classes + 1, dtype="float32", name="roi_cls", **last)(x)

    def fitted(count, name, tensor):
        options = {"kernel_initializer": "zeros", "trainable": False, "dtype": "float32"}
        return keras.layers.Dense(count, name=name, **options)(tensor)

    margins = fitted(num_classes, FITTED.svm, x)
    return {
        "cls": logits,
        "scores": Verdict(name="scores")(logits, margins),
        "box": fitted(4 * num_classes, FITTED.box, maps),
    }


def on_given(
    image, proposals, outputs: dict, info: ModelInfo, plan: two_stage.Plan, at_once: int = 0
) -> Task:
    """The task of a network that says by `heads` what given proposals are."""
    return detector(
        keras.Model([image, proposals], {"proposals": proposals, **outputs}, name=info.name),
        info,
        encode=functools.partial(two_stage.objects_of, classes=info.num_classes),
        loss=loss,
        decode=functools.partial(decode, size=info.preprocess.size),
        reads=READS,
        wiring=functools.partial(fast_rcnn.sampled, plan=plan),
        fitted=FITTED,
        at_once=at_once,
    )


def loss(targets, outputs) -> dict:
    """{"roi_class"}: (sum of the cross entropy of the regions that were used, their number)."""
    used = ops.cast(outputs["roi_used"], "float32")
    entropy = losses.cross_entropy(outputs["roi_label"], outputs["cls"])
    return {"roi_class": (ops.sum(used * entropy), ops.sum(used))}


def decode(
    outputs,
    score_threshold=0.01,
    iou_threshold=0.3,
    max_detections=100,
    suppression="hard",
    *,
    size,
):
    """Scores and boxes of the proposals -> a detector's `decode`; rows without area are none."""
    import tensorflow as tf

    from convoy.models import boxes as box_ops
    from convoy.models import coding
    from convoy.models.decode import suppress

    given = outputs["proposals"]
    rows = outputs["scores"].shape[1] or tf.shape(given)[1]
    codes = tf.reshape(outputs["box"], (-1, rows, outputs["scores"].shape[-1], 4))
    # A row without area would be divided by it.
    there = fast_rcnn.solid(given)[..., None]
    priors = tf.where(there, given, tf.constant([0.0, 0.0, 1.0, 1.0]))[:, :, None]
    boxes = box_ops.clip(coding.decode(codes, priors, coding.UNIT), size)
    scores = tf.where(there, outputs["scores"], 0.0)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)


def paper_start(deviation: float = 0.01):
    """How AlexNet's full layers start: N(0, 0.01) and the bias that is asked for."""

    def start(_, bias):
        return {"kernel_initializer": layers.gaussian(deviation), "bias_initializer": bias}

    return start


def flattened(maps) -> keras.KerasTensor:
    """[B, R, ...] -> [B, R, D]."""
    return keras.layers.Reshape((-1, int(np.prod(maps.shape[2:]))), name="regions_flat")(maps)
