"""One object per picture: its class and its box, by two heads on one classification network.

The box head is a linear layer of four outputs on what the last layer of the class head reads (of a
map, its average). E = E_cls + E_loc: the cross entropy of softmax, and the squared distance of the
corners ymin, xmin, ymax, xmax in parts of the input's sides, summed over the four. The target is
the picture's largest object; a picture without one teaches nothing. The whole picture is stretched
onto the input, also where the network's own way is to look at its middle.
"""

from __future__ import annotations

import dataclasses

import keras
from keras import ops

from convoy.models import count
from convoy.models.classification import task as classes
from convoy.models.detection.task import iou
from convoy.models.keras_internals import maker
from convoy.models.spec import ModelInfo, Task

START = (0.1, 0.1, 0.9, 0.9)  # the box of a network that has not learnt yet


def build(model: keras.Model, info: ModelInfo, aux_weight: float = 0.0) -> Task:
    """A box head beside the logits of a classification network."""
    heads = dict(model.output) if isinstance(model.output, dict) else {"logits": model.output}
    box = keras.layers.Dense(
        4,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(list(START)),
        dtype="float32",
        name="box",
    )(features(heads["logits"]))
    model = keras.Model(model.input, {**heads, "box": box}, name=model.name)
    seen = dataclasses.replace(info.preprocess, resize="stretch", crop_pct=1.0)
    counts = {"params": count.params(model), "macs": count.macs(model)}
    info = dataclasses.replace(info, preprocess=seen, **counts)
    height, width = seen.size

    def encode(annotation):
        objects = (annotation[name] for name in ("boxes", "classes", "valid"))
        return largest(*objects, (height, width))

    def loss(targets, outputs):
        there = ops.cast(targets["there"], "float32")
        heads = {name: value for name, value in outputs.items() if name != "box"}
        errors = classes.of_heads(
            lambda logits: ops.sum(there * classes.losses.cross_entropy(targets["label"], logits)),
            heads,
            aux_weight,
        )
        sums = {name: value for name, (value, _) in errors.items()}
        sums["loc"] = ops.sum(there * corner_loss(targets["box"], outputs["box"]))
        return {name: (value, ops.sum(there)) for name, value in sums.items()}

    def decode(outputs):
        corners = ops.clip(ops.cast(outputs["box"], "float32"), 0.0, 1.0)
        low, high = (fold(corners[:, :2], corners[:, 2:]) for fold in (ops.minimum, ops.maximum))
        sides = ops.convert_to_tensor([height, width] * 2, "float32")
        return {**classes.decode(outputs), "box": ops.concatenate([low, high], axis=-1) * sides}

    return Task(
        model=model,
        info=info,
        encode=encode,
        loss=loss,
        decode=decode,
        answer=answer,
        difference=difference,
        reads=("logits", "box"),
    )


def answer(decoded, matrices, sizes, names):
    """What classification answers, and box [B, 4] float32 in pixels of the picture sent."""
    from convoy.models.boxes import in_picture

    box = in_picture(decoded["box"][:, None], matrices, sizes)[:, 0]
    return {**classes.answer(decoded, matrices, sizes, names), "box": box}


def difference(expected, received, **limits) -> float:
    """Of the scores, or by how much less than wholly two boxes overlap, if that is more."""
    apart = [classes.difference(expected, received)]
    pairs = zip(expected["box"], received["box"], strict=True)
    return max([*apart, *(1.0 - float(iou(box, other[None])[0]) for box, other in pairs)])


def features(logits):
    """What the last layer with weights before `logits` reads, as vectors [B, D]."""
    layer = maker(logits)
    while not layer.weights:
        layer = maker(layer.input)
    if len(layer.input.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="box_pool")(layer.input)
    return layer.input


def corner_loss(target, prediction):
    """Sum of the squared differences of four corners: [B, 4] each -> [B] in [0, inf)."""
    return ops.sum(ops.square(ops.cast(prediction, "float32") - target), axis=-1)


def largest(boxes, object_classes, valid, size) -> dict:
    """The valid object of the largest area: {"label", "box" in parts of `size`, "there"}."""
    import tensorflow as tf

    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    place = tf.argmax(tf.where(valid, area, -1.0))
    box = boxes[place] / tf.constant([*size, *size], tf.float32)
    return {
        "label": tf.cast(object_classes[place], tf.int64),
        "box": tf.ensure_shape(box, [4]),
        "there": tf.cast(tf.reduce_any(valid), tf.float32),
    }
