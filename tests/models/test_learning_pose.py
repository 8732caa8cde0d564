"""A small OpenPose, and the networks of one object, overfit scenes of stick people.

Taught the people of the next picture instead, OpenPose does not find those of their own.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from convoy import models
from convoy.data.sample import Sample
from convoy.models import losses
from convoy.models.pose import skeleton
from convoy.pipeline.tasks import pose
from tests.parity.poses_reference import person

SIZE = (128, 160)
MOST = 3  # people of a scene


def scenes(numbers, first: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """(pictures [N, *SIZE, 3], people [n, 17, 3] of each), n = numbers[index].

    first: another number, other people.
    """
    pictures, people = [], []
    for index, count in enumerate(numbers, start=first):
        rng = np.random.default_rng(index)
        height, step = 100 - 8 * count, SIZE[1] / count
        own = [
            person(112 + 3 * n, step * (n + 0.5), height, rng.uniform(-0.2, 0.2), rng)
            for n in range(count)
        ]
        pictures.append(drawn(own, rng))
        people.append(np.stack(own))
    return np.float32(pictures), people


def drawn(people, rng) -> np.ndarray:
    """uint8 [*SIZE, 3]: each limb a line of its own shade, right and left apart, a disc a head."""
    page = Image.fromarray(rng.integers(90, 120, (*SIZE, 3), np.uint8))
    pen = ImageDraw.Draw(page)
    for points in people:
        at = [(float(x), float(y)) for y, x, _ in points]
        for number, (a, b) in enumerate(skeleton.COCO_BONES):
            shade = (40 + 11 * number, 255 - 12 * number, 255 if number % 2 else 0)
            pen.line([at[a], at[b]], fill=shade, width=2)
        for k, (x, y) in enumerate(at[5:]):
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 20 * k, 0))
    return np.asarray(page)


def box_of(points) -> np.ndarray:
    return np.concatenate([points[:, :2].min(0) - 3, points[:, :2].max(0) + 3])


def annotation(people) -> dict:
    points, boxes = np.zeros((MOST, 17, 3), np.float32), np.zeros((MOST, 4), np.float32)
    for place, own in enumerate(people):
        points[place], boxes[place] = own, box_of(own)
    valid = np.arange(MOST) < len(people)
    return {"keypoints": tf.constant(points), "boxes": tf.constant(boxes), "valid": valid}


def learnt(name: str, pictures, taught, steps: int, rate: float, **options):
    keras.utils.set_random_seed(0)
    task = models.build_task(name, input_size=SIZE, **options)
    rows = [task.encode(annotation(people)) for people in taught]
    targets = tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *rows)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    batch = {"image": tf.constant(pictures), "targets": targets}
    weights = task.model.trainable_variables
    optimizer.build(weights)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(batch["targets"], task.forward(batch)))
        gradients = tape.gradient(total, [weight.value for weight in weights])
        optimizer.apply(gradients, weights)
        return total

    for _ in range(steps):
        total = step()
    assert np.isfinite(total)
    return task


def measured(task, pictures, people) -> dict:
    eye, sizes = tf.eye(3, batch_shape=[len(pictures)]), tf.constant([SIZE] * len(pictures))
    found = task.decode(task.model(pictures, training=False), 0.01, 20)
    answers = task.answer(found, eye, sizes, tf.constant(skeleton.COCO))
    metrics = pose.Metrics(skeleton.COCO)
    for index, own in enumerate(people):
        boxes = np.stack([box_of(points) for points in own])
        flags = {"classes": np.zeros(len(own), int), "keypoints": own}
        sample = Sample(f"{index}", "val", b"", *SIZE, boxes=boxes, **flags)
        metrics.update(sample, {key: value[index].numpy() for key, value in answers.items()})
    return metrics.result()


FOUR = (1, 2, 3, 2)


@pytest.mark.slow
def test_openpose_overfits():
    pictures, people = scenes(FOUR)
    task = learnt("openpose_mobilenet", pictures, people, 300, 2e-3, width=0.5)
    numbers = measured(task, pictures, people)
    assert numbers["AP50"] >= 0.9
    assert numbers["PCK"] >= 0.95


@pytest.mark.slow
def test_people_of_other_pictures_are_not_its_own():
    pictures, people = scenes(FOUR)
    taught = [*people[1:], people[0]]
    task = learnt("openpose_mobilenet", pictures, taught, 300, 2e-3, width=0.5)
    assert measured(task, pictures, people)["AP50"] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keypoint_regression", "keypoint_heatmaps"])
def test_one_person_is_found(name):
    pictures, people = scenes((1, 1, 1, 1))
    options = {"backbone": "mobilenet_v1", "width": 0.25}
    task = learnt(name, pictures, people, 200, 2e-3, **options)
    assert measured(task, pictures, people)["AP50"] >= 0.9
