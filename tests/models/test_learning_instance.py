"""Mask R-CNN on a small backbone overfits eight digit scenes, as in test_learning_yolo.py.

Taught the objects of the next picture instead, it does not find those of their own.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from convoy.pipeline.tasks import instance
from tests.models.test_learning_yolo import SIZE, learnt, scenes  # noqa: F401

SMALL, STEPS = {"backbone": "mobilenet_v1", "width": 0.5}, 250


def masks_of(sample) -> np.ndarray:
    """[8, *SIZE]: of its objects, the nearest pixels; the digits' pictures are stretched."""
    masks = [np.asarray(Image.open(io.BytesIO(png))) for png in sample.masks]
    rows = ((np.arange(SIZE[0]) + 0.5) * sample.height / SIZE[0]).astype(int)
    columns = ((np.arange(SIZE[1]) + 0.5) * sample.width / SIZE[1]).astype(int)
    found = np.zeros((8, *SIZE), np.uint8)
    for place, mask in zip(found, masks, strict=False):
        place[:] = mask[rows][:, columns] > 0
    return found


def measured(task, pictures, matrices, samples, labels) -> dict:
    decoded = task.decode(task.model(pictures, training=False), 0.01, 0.45, 50)
    sizes = tf.constant([(sample.height, sample.width) for sample in samples])
    answers = task.answer(decoded, matrices, sizes, tf.constant(labels))
    metrics = instance.Metrics(labels)
    for index, sample in enumerate(samples):
        metrics.update(sample, {key: np.asarray(x[index]) for key, x in answers.items()})
    return metrics.result()


@pytest.mark.slow
def test_it_overfits(scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt("mask_rcnn", samples, samples, STEPS, masks=masks_of, **SMALL)
    numbers = measured(*trained, samples, labels)
    assert numbers["mask_AP50"] >= 0.9
    assert numbers["APr50"] >= 0.9


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):  # noqa: F811
    samples, labels = scenes
    taught = [*samples[1:], samples[0]]
    trained = learnt("mask_rcnn", samples, taught, STEPS, masks=masks_of, **SMALL)
    assert measured(*trained, samples, labels)["mask_AP50"] < 0.2
