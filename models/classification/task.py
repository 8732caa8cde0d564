"""A classification network with its loss and its reading: what the trainer and the export hold."""

from __future__ import annotations

import keras
from keras import ops

from models import losses
from models.spec import Classifier, ModelInfo


def classifier(model: keras.Model, info: ModelInfo, label_smoothing: float = 0.0) -> Classifier:
    """Wraps logits [B, K]; `label_smoothing` in [0, 1) is spread evenly over all classes.

    Targets are {"label": [B] int} or, of mixed pictures, {"distribution": [B, K] float}.
    """

    def loss(targets, outputs):
        if "distribution" in targets:
            each = soft_classification(targets["distribution"], outputs, label_smoothing)
        else:
            each = losses.classification(targets["label"], outputs, label_smoothing)
        return {"cls": ops.sum(each)}, ops.cast(ops.shape(outputs)[0], "float32")

    return Classifier(model=model, encode=encode, loss=loss, decode=decode, info=info)


def soft_classification(distribution, logits, label_smoothing: float = 0.0):
    """Cross entropy against (1 - s) * distribution + s / K: both [B, K] -> [B] in [0, inf).

    Weights of a row sum to 1; equals losses.classification where they are one-hot. The gradient in
    the logits is softmax - target.
    """
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    target = ops.cast(distribution, "float32")
    target = (1.0 - label_smoothing) * target + label_smoothing / ops.shape(logits)[-1]
    return -ops.sum(target * log_p, axis=-1)


def encode(labels):
    """labels [M] int64 with M >= 1 -> {"label": int64 scalar}, the first; runs inside tf.data."""
    import tensorflow as tf

    message = "classification: a picture without a label reached the trainer"
    with tf.control_dependencies([tf.debugging.assert_positive(tf.size(labels), message)]):
        return {"label": tf.cast(labels[0], tf.int64)}


def decode(outputs):
    """Logits [B, K] -> {"scores": softmax [B, K] float32, "classes": [B] int64}."""
    scores = ops.softmax(ops.cast(outputs, "float32"))
    return {"scores": scores, "classes": ops.cast(ops.argmax(outputs, axis=-1), "int64")}
