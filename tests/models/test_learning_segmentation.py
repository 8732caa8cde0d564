"""The networks overfit four pictures of coloured shapes, and say so at the pictures' own size.

Taught the label maps of the next picture instead, they do not answer those of their own.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses, resize
from convoy.models.segmentation.task import maps_of

SIZE = (66, 90)  # of the pictures: another one than the networks'
COLORS = np.float32([[110, 110, 110], [230, 120, 130], [20, 40, 130]])  # also apart in gray
STEPS = {"segnet": 240, "unet": 300}  # of others 120
NETWORKS = {
    "fcn": {"input_size": (192, 256), "width": 0.25},  # whose last map has a value for 8 x 8 pixels
    "segnet_basic": {"input_size": (48, 64), "width": 0.5},
    "segnet": {"input_size": (64, 96), "width": 0.25},
    "unet": {"input_size": (252, 268), "width": 0.125},
    "unet_same": {"input_size": (48, 64), "width": 0.125},
}


def shapes() -> tuple[np.ndarray, np.ndarray]:
    """(pictures [4, *SIZE, 3], label maps): two discs and a bar each, a third of the pixels."""
    draw = np.random.default_rng(4)
    y, x = np.indices(SIZE)
    pictures, labels = [], []
    for _ in range(4):
        values = np.zeros(SIZE, np.uint8)
        for label in (1, 2, 1 + draw.integers(2)):
            top, left = draw.integers(12, SIZE[0] - 12), draw.integers(12, SIZE[1] - 12)
            values[(y - top) ** 2 + (x - left) ** 2 < draw.integers(10, 18) ** 2] = label
        values[:, draw.integers(5, 80) :][:, :9] = 1 + draw.integers(2)
        labels.append(values)
        pictures.append(COLORS[values] + draw.normal(0, 12, (*SIZE, 3)))
    return np.float32(np.clip(pictures, 0, 255)), np.stack(labels)


def accuracy(name: str, taught) -> float:
    """The part of pixels, at the pictures' size, that are right after a training."""
    steps = STEPS.get(name, 120)
    keras.utils.set_random_seed(0)
    task = models.build_task(name, num_classes=3, **NETWORKS[name])
    pictures, truth = shapes()
    p = task.info.preprocess
    if p.channels == 1:
        pictures = pictures.mean(-1, keepdims=True)
    images, matrices = zip(*(resize.fit(tf.constant(x), p, p.size) for x in pictures), strict=True)
    inside = p.inside
    rows = []
    for values in taught(truth):
        matrix = resize.fit_matrix(*SIZE, inside, inside.size)
        drawn = resize.warp(values[..., None], matrix, inside.size, 255.0, "NEAREST")
        rows.append(task.encode({"segmentation": drawn[..., 0]}))
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    batch = {"image": tf.stack(images)}
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))
    optimizer.build(task.model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(targets, task.forward(batch)))
        weights = task.model.trainable_variables
        optimizer.apply(tape.gradient(total, weights), weights)

    for _ in range(steps):
        step()
    found = task.decode(task.model(batch["image"], training=False))
    sizes = tf.constant([SIZE] * len(images))
    answers = task.answer(found, tf.stack(matrices), sizes, tf.constant(["a", "b", "c"]))
    maps = maps_of({name: value.numpy() for name, value in answers.items()})
    return float(np.mean(np.stack(maps) == truth))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_it_overfits(name):
    assert accuracy(name, lambda truth: truth) >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcn", "segnet_basic"])
def test_label_maps_of_other_pictures_are_not_its_own(name):
    assert accuracy(name, lambda truth: np.roll(truth, 1, axis=0)) < 0.8
