"""Detectors on given proposals overfit eight digit scenes, on Selective Search's regions.

Taught the objects of the next picture instead, they do not find those of their own.
"""

from __future__ import annotations

import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy import models
from convoy.data.proposals import best_overlaps, propose
from convoy.models import losses, resize
from convoy.models.boxes import in_input
from tests.models.test_learning_yolo import ap50, scenes  # noqa: F401

SMALL = {"backbone": "mobilenet_v1", "width": 0.25}
SIZE, STEPS, MOST = (240, 320), 300, 1000


def proposed(samples) -> np.ndarray:
    """[B, MOST, 4] pixels of the pictures, rows of 0 behind the last."""
    rows = np.zeros((len(samples), MOST, 4), np.float32)
    for row, sample in zip(rows, samples, strict=True):
        pixels = np.asarray(PIL.Image.open(io.BytesIO(sample.image)).convert("RGB"))
        found = propose(pixels, "selective_search", MOST, width_px=320)
        row[: len(found)] = found
    return rows


def learnt(name: str, samples, taught, steps: int = STEPS, **options):
    """(the task after training, its inputs, their matrices)."""
    keras.utils.set_random_seed(0)
    task = models.build_task(name, num_classes=10, input_size=SIZE, **options)
    fitted = [
        resize.fit(tf.io.decode_jpeg(sample.image), task.info.preprocess, SIZE)
        for sample in samples
    ]
    pictures, matrices = (tf.stack(parts) for parts in zip(*fitted, strict=True))
    given = in_input(tf.constant(proposed(samples)), matrices)
    rows = []
    for sample in taught:  # pictures are of the input's size
        boxes = np.pad(sample.boxes, [[0, 8 - len(sample.boxes)], [0, 0]])
        classes = np.pad(sample.classes, [0, 8 - len(sample.classes)])
        valid = np.arange(8) < len(sample.boxes)
        rows.append(task.encode({"boxes": boxes, "classes": classes, "valid": valid}))
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=10.0)
    optimizer.build(task.model.trainable_variables)

    @tf.function
    def step(order):
        batch = {"image": pictures, "targets": targets}
        batch["proposals"] = tf.gather(given, order, axis=1)
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(targets, task.forward(batch)))
        variables = task.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))

    rng = np.random.default_rng(0)
    for _ in range(steps):
        step(tf.constant(rng.permutation(MOST)))
    return task, [pictures, given], matrices


@pytest.mark.slow
def test_every_digit_is_proposed(scenes):  # noqa: F811
    samples, _ = scenes
    found = [
        best_overlaps(sample.boxes, rows)
        for sample, rows in zip(samples, proposed(samples), strict=True)
    ]
    assert np.concatenate(found).min() > 0.8


@pytest.mark.slow
def test_it_overfits(scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt("fast_rcnn_caffenet", samples, samples, **SMALL)
    assert ap50(*trained, samples, labels) >= 0.95


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt("fast_rcnn_caffenet", samples, [*samples[1:], samples[0]], **SMALL)
    assert ap50(*trained, samples, labels) < 0.2
