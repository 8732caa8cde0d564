"""Several classes per picture: a classification network's logits, another loss and decision.

label_loss "sigmoid": each class is a question of its own, yes above a probability of 0.5.
label_loss "softmax": the classes of a picture share a mass of 1, y / sum(y); a class is chosen
above a probability of 0.3. Where it is known how many classes a picture has, those of the highest
scores are chosen instead.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models.classification import task as single
from convoy.models.spec import ModelInfo, Task

THRESHOLD = {"sigmoid": 0.5, "softmax": 0.3}
difference = single.difference


def build(
    model: keras.Model, info: ModelInfo, label_loss: str = "sigmoid", aux_weight: float = 0.0
) -> Task:
    """Wraps a network of logits [B, K]; auxiliary heads as in models/classification/task.py."""
    if label_loss not in THRESHOLD:
        raise ValueError(f"label_loss: expected one of {', '.join(THRESHOLD)}, got {label_loss!r}")
    per_picture = sigmoid_loss if label_loss == "sigmoid" else shared_mass_loss

    def encode(annotation):
        return {"labels": present(annotation, info.num_classes)}

    def loss(targets, outputs):
        return single.of_heads(
            lambda logits: ops.sum(per_picture(targets["labels"], logits)), outputs, aux_weight
        )

    def decode(outputs, label_threshold=None, label_count=None):
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs
        scores = (ops.sigmoid if label_loss == "sigmoid" else ops.softmax)(
            ops.cast(logits, "float32")
        )
        limit = THRESHOLD[label_loss] if label_threshold is None else label_threshold
        return {"scores": scores, "chosen": chosen(scores, limit, label_count)}

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


def answer(decoded, matrices, sizes, names):
    """scores [B, K]; chosen [B, K] bool; num_labels [B] int32; class_names [B, K] string.

    The names are of the chosen classes by falling score, then empty.
    """
    import tensorflow as tf

    scores, chosen = decoded["scores"], decoded["chosen"]
    order = tf.argsort(tf.where(chosen, scores, -1.0), axis=1, direction="DESCENDING", stable=True)
    ranked = tf.gather(chosen, order, batch_dims=1)
    return {
        "scores": scores,
        "chosen": chosen,
        "class_names": tf.where(ranked, tf.gather(names, order), ""),
        "num_labels": tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1),
    }


def sigmoid_loss(labels, logits):
    """Sum over classes of -y log s(x) - (1 - y) log(1 - s(x)): [B, K] each -> [B] in [0, inf).

    The gradient in the logits is s(x) - y.
    """
    x, y = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    return ops.sum(ops.relu(x) - x * y + ops.log1p(ops.exp(-ops.abs(x))), axis=-1)


def shared_mass_loss(labels, logits):
    """Cross entropy of softmax against y / sum(y): [B, K] each -> [B] in [0, inf).

    The gradient in the logits is softmax - y / sum(y). A picture without classes costs nothing.
    """
    y = ops.cast(labels, "float32")
    mass = y / ops.maximum(ops.sum(y, axis=-1, keepdims=True), 1.0)
    return -ops.sum(mass * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)


def chosen(scores, threshold: float, count: int | None = None):
    """[B, K] bool: scores above the threshold, or the `count` highest, equal ones in order."""
    if count is None:
        return scores > threshold
    rank = ops.argsort(ops.argsort(-scores, axis=-1), axis=-1)
    return rank < count


def present(annotation, num_classes: int):
    """{labels [M], filled up with -1; classes and valid [N]} -> [num_classes] float32, 0 or 1.

    The classes of the picture and of its objects; runs inside tf.data.
    """
    import tensorflow as tf

    of_objects = tf.where(annotation["valid"], annotation["classes"], -1)
    classes = tf.concat([annotation["labels"], of_objects], axis=0)
    return tf.reduce_max(tf.one_hot(classes, num_classes), axis=0)
