"""Several properties per picture, such as a plant's leaves and flowers, each with one value.

A classification network's logits, softmax over the values of each property. A picture of which a
property is not known teaches nothing about it. As the slides' plant traits.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from convoy.models.classification import task as single
from convoy.models.spec import ModelInfo, Task

difference = single.difference


def build(
    model: keras.Model,
    info: ModelInfo,
    groups: Sequence[Sequence[int]] = (),
    aux_weight: float = 0.0,
) -> Task:
    """Wraps a network of logits [B, K]; auxiliary heads as in models/classification/task.py.

    groups: the classes of each of A properties; each class is in one. () = all are of one. Raises
    ValueError.
    """
    groups = tuple(map(tuple, groups)) or (tuple(range(info.num_classes)),)
    if sorted(k for group in groups for k in group) != [*range(info.num_classes)]:
        raise ValueError(
            f"groups: expected each of the {info.num_classes} classes once, got {groups}"
        )

    def encode(annotation):
        return {"labels": known(annotation, info.num_classes)}

    def loss(targets, outputs):
        heads = dict(outputs) if isinstance(outputs, dict) else {"logits": outputs}
        total, count = entropy(targets["labels"], heads.pop("logits"), groups)
        parts = {"cls": (total, count)}
        for name, logits in heads.items():
            parts[name] = (aux_weight * entropy(targets["labels"], logits, groups)[0], count)
        return parts

    def decode(outputs):
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs
        return decided(ops.cast(logits, "float32"), groups)

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


def known(annotation, num_classes: int):
    """{labels [M], filled up with -1} -> [num_classes] float32, 1 for the values of the picture."""
    import tensorflow as tf

    return tf.reduce_max(tf.one_hot(annotation["labels"], num_classes), axis=0)


def entropy(labels, logits, groups) -> tuple:
    """(sum of the cross entropies of what is known, how many properties of pictures that are).

    labels, logits: [B, K]. Of a property with two values in one picture each counts half.
    """
    total = count = 0.0
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    for group in groups:
        log_p = ops.log_softmax(ops.take(logits, group, axis=-1), axis=-1)
        truth = ops.take(labels, group, axis=-1)
        values = ops.sum(truth, axis=-1, keepdims=True)
        total = total - ops.sum(truth / ops.maximum(values, 1.0) * log_p)
        count = count + ops.sum(ops.cast(values > 0, "float32"))
    return total, count


def decided(logits, groups) -> dict:
    """{"scores" [B, K]: softmax within each property; "values" [B, A] int64: the best class}."""
    scores, values = [], []
    for group in groups:
        own = ops.softmax(ops.take(logits, group, axis=-1), axis=-1)
        scores.append(own)
        values.append(ops.take(ops.convert_to_tensor(group, "int64"), ops.argmax(own, axis=-1)))
    order = [k for group in groups for k in group]
    places = [order.index(k) for k in range(len(order))]
    joined = ops.take(ops.concatenate(scores, axis=-1), places, axis=-1)
    return {"scores": joined, "values": ops.stack(values, axis=-1)}


def answer(decoded, matrices, sizes, names):
    """scores [B, K]; class_ids [B, A] int64 and class_names [B, A]: the best of each property."""
    import tensorflow as tf

    values = decoded["values"]
    named = tf.gather(names, values)
    return {"scores": decoded["scores"], "class_ids": values, "class_names": named}
