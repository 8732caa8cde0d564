"""One class per picture: what a classification network learns and answers."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from convoy.models import losses
from convoy.models.spec import ModelInfo, Task


def build(
    model: keras.Model,
    info: ModelInfo,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] = (),
    aux_weight: float = 0.0,
) -> Task:
    """Wraps a network of logits [B, K]; `label_smoothing` in [0, 1) is spread over all classes.

    class_weights: one number per class, factors of the loss of its pictures; () = 1 each.

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

    check_weights(class_weights, info)

    def cross_entropy(targets, logits):
        if "distribution" in targets:
            each = soft_classification(targets["distribution"], logits, label_smoothing)
        else:
            each = losses.classification(targets["label"], logits, label_smoothing)
        return each * weights_of(targets, class_weights) if class_weights else each

    def loss(targets, outputs):
        return of_heads(lambda logits: ops.sum(cross_entropy(targets, logits)), outputs, aux_weight)

    return Task(
        model=model,
        info=info,
        encode=encode,
        loss=loss,
        decode=decode,
        answer=answer,
        difference=difference,
        reads=("logits",),
    )


def check_weights(class_weights: tuple[float, ...], info: ModelInfo) -> None:
    """Raises ValueError for other than one number per class, or none at all."""
    if class_weights and len(class_weights) != info.num_classes:
        raise ValueError(
            f"class_weights: expected one number for each of the {info.num_classes} classes, got "
            f"{len(class_weights)}"
        )


def weights_of(targets, class_weights: tuple[float, ...]):
    """[B] of the rows: their class's; of a mixed picture the mean by its classes' shares."""
    weights = ops.convert_to_tensor(class_weights, "float32")
    if "distribution" in targets:
        return ops.sum(ops.cast(targets["distribution"], "float32") * weights, axis=-1)
    return ops.take(weights, ops.cast(targets["label"], "int32"))


def of_heads(summed, outputs, aux_weight: float) -> dict:
    """{"cls": (summed(logits), B), "aux1": (aux_weight * summed(its logits), B), ...}."""
    heads = dict(outputs) if isinstance(outputs, dict) else {"logits": outputs}
    logits = heads.pop("logits")
    count = ops.cast(ops.shape(logits)[0], "float32")
    sums = {"cls": summed(logits)}
    sums |= {name: aux_weight * summed(aux) for name, aux in heads.items()}
    return {name: (value, count) for name, value in sums.items()}


def soft_classification(distribution, logits, label_smoothing: float = 0.0):
    """Cross entropy against (1 - s) * distribution + s / K: both [B, K] -> [B] in [0, inf).

    Weights of a row sum to 1; equals losses.classification where they are one-hot. The gradient in
    the logits is softmax - target.
    """
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    target = ops.cast(distribution, "float32")
    target = (1.0 - label_smoothing) * target + label_smoothing / ops.shape(logits)[-1]
    return -ops.sum(target * log_p, axis=-1)


def encode(annotation):
    """{"labels" [M] int64, filled up with -1} -> {"label": int64 scalar}, the first of them."""
    import tensorflow as tf

    label = tf.cast(annotation["labels"][0], tf.int64)
    message = "classification: a picture without a label reached the trainer"
    with tf.control_dependencies([tf.debugging.assert_non_negative(label, message)]):
        return {"label": tf.identity(label)}


def decode(outputs):
    """Logits [B, K], of several heads the main ones -> {"scores": softmax, "classes": [B] int64}.

    scores are [B, K] float32.
    """
    if isinstance(outputs, dict):
        outputs = outputs["logits"]
    scores = ops.softmax(ops.cast(outputs, "float32"))
    return {"scores": scores, "classes": ops.cast(ops.argmax(outputs, axis=-1), "int64")}


def answer(decoded, matrices, sizes, names):
    """scores [B, K] in the order of labels.txt, class_id [B] int64, class_name [B] of the best."""
    import tensorflow as tf

    best = tf.cast(decoded["classes"], tf.int64)
    return {"scores": decoded["scores"], "class_id": best, "class_name": tf.gather(names, best)}


def difference(expected, received, **limits) -> float:
    """The largest difference of a score, of any class of any picture."""
    return float(np.max(np.abs(expected["scores"] - received["scores"]), initial=0.0))
