"""A classification network with its loss and its reading: what the trainer and the export hold."""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from convoy.models import count, losses
from convoy.models.spec import Classifier, Localizer, ModelInfo


def classifier(
    model: keras.Model, info: ModelInfo, label_smoothing: float = 0.0, aux_weight: float = 0.0
) -> Classifier:
    """Wraps a network of logits [B, K]; `label_smoothing` in [0, 1) is spread over all classes.

    A network with auxiliary heads answers {"logits": [B, K], "aux1": [B, K], ...}; each head's loss
    is added under its own name, times `aux_weight`. Targets are {"label": [B] int} or, of mixed
    pictures, {"distribution": [B, K] float}.
    """
    outputs = getattr(model, "output", None)  # a Sequential has none before its first call
    if isinstance(outputs, dict) and aux_weight <= 0.0:
        raise ValueError(
            f"{model.name}: expected aux_weight > 0, got {aux_weight}: its auxiliary heads "
            f"({', '.join(sorted(set(outputs) - {'logits'}))}) would never learn"
        )

    def cross_entropy(targets, logits):
        if "distribution" in targets:
            return soft_classification(targets["distribution"], logits, label_smoothing)
        return losses.classification(targets["label"], logits, label_smoothing)

    def loss(targets, outputs):
        heads = dict(outputs) if isinstance(outputs, dict) else {"logits": outputs}
        logits = heads.pop("logits")
        sums = {"cls": ops.sum(cross_entropy(targets, logits))}
        for name, aux in heads.items():
            sums[name] = aux_weight * ops.sum(cross_entropy(targets, aux))
        return sums, ops.cast(ops.shape(logits)[0], "float32")

    return Classifier(model=model, encode=encode, loss=loss, decode=decode, info=info)


def without_heads(task: Classifier | Localizer) -> Classifier | Localizer:
    """The network that answers: auxiliary heads serve training alone and are left out here."""
    outputs = task.model.output
    if not isinstance(outputs, dict):
        return task
    kept = outputs["logits"]
    if "box" in outputs:
        kept = {"logits": kept, "box": outputs["box"]}
    model = keras.Model(task.model.input, kept, name=task.model.name)
    info = dataclasses.replace(task.info, params=count.params(model), macs=count.macs(model))
    return dataclasses.replace(task, model=model, info=info)


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
    """Logits [B, K], of several heads the main ones -> {"scores": softmax, "classes": [B] int64}.

    scores are [B, K] float32.
    """
    if isinstance(outputs, dict):
        outputs = outputs["logits"]
    scores = ops.softmax(ops.cast(outputs, "float32"))
    return {"scores": scores, "classes": ops.cast(ops.argmax(outputs, axis=-1), "int64")}
