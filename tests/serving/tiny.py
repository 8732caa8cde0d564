"""Tiny networks and pictures: what the serving tests export and send."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from convoy.models.classification import task as classification
from convoy.models.detection.task import detector as detection_task
from convoy.models.spec import ModelInfo, Preprocess, Task

LABELS = ("ant", "bee", "cat")


def info(task: str, size=(32, 32), **preprocess) -> ModelInfo:
    fields = Preprocess(size=size, **preprocess)
    return ModelInfo(f"tiny_{task}", task, "no paper", 2020, 0, 0, len(LABELS), fields)


def classifier(channel_order="rgb", size=(32, 32), seed=0) -> Task:
    """A three-layer network over LABELS."""
    keras.utils.set_random_seed(seed)
    known = info("classification", size, channel_order=channel_order)
    image = keras.Input((*size, known.preprocess.channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(len(LABELS), dtype="float32")(x))

    def decode(logits):
        scores = tf.nn.softmax(logits)
        return {"scores": scores, "classes": tf.argmax(scores, axis=1)}

    common = classification.build(model, known)
    return dataclasses.replace(common, decode=decode)


def detector(boxes, scores, classes, *, size=(100, 200), resize="stretch") -> Task:
    """Says the given boxes (pixels of the network input), whatever the picture.

    scores and classes [N]; the network multiplies zero weights in, so that it has variables.
    """
    image = keras.Input((*size, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    zero = keras.layers.Dense(1, kernel_initializer="zeros")(x)
    count = len(scores)
    cls = keras.layers.Dense(count, kernel_initializer="zeros", name="cls")(zero)
    box = keras.layers.Dense(count * 4, kernel_initializer="zeros", name="box")(zero)
    box = keras.layers.Reshape((count, 4))(box)
    model = keras.Model(image, {"score": cls, "box": box})

    def decode(outputs, score_threshold, iou_threshold, max_detections, suppression="hard"):
        batch = tf.shape(outputs["score"])[0]
        score = outputs["score"] + tf.constant(scores, tf.float32)
        pad = max_detections - count
        found = {
            "boxes": tf.pad(
                outputs["box"] + tf.constant(boxes, tf.float32), [[0, 0], [0, pad], [0, 0]]
            ),
            "scores": tf.pad(score, [[0, 0], [0, pad]]),
            "classes": tf.tile(tf.constant([[*classes, *([0] * pad)]], tf.int64), [batch, 1]),
        }
        return {**found, "valid": found["scores"] >= score_threshold}

    known = info("detection", size, resize=resize)
    return detection_task(model, known, encode=None, loss=None, decode=decode)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3]: smooth colours."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 4, 3))
    return tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8).numpy()


def jpeg(height: int, width: int, seed: int = 0) -> bytes:
    return tf.io.encode_jpeg(picture(height, width, seed)).numpy()


def png(height: int, width: int, seed: int = 0) -> bytes:
    return tf.io.encode_png(picture(height, width, seed)).numpy()


def export_arguments(**changes) -> dict:
    return {
        "labels": LABELS,
        "input_size": (32, 32),
        "samples": [jpeg(40, 60), png(33, 20, 1)],
        "budget_s": 0.2,
        **changes,
    }
