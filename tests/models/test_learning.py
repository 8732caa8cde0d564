"""A detector overfits eight generated pictures; with their truth shuffled it learns nothing.

Objects are found in inference mode. Catches wrong targets, frozen layers and running statistics
that lag behind the weights.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import boxes, losses

SIZE, STEPS = 96, 100
HALF = SIZE // 2  # where the second rectangle begins


def pictures():
    """Eight gray noisy images with one or two rectangles, coloured by class."""
    draw = np.random.default_rng(0)
    images = 90 + draw.normal(0, 10, (8, SIZE, SIZE, 3)).astype("float32")
    rects, classes = [], []
    for index, image in enumerate(images):
        mine = []
        for half in range(1 + index % 2):
            height, width = draw.integers(20, 40, 2)
            y, x = draw.integers(0, SIZE - height), HALF * half + draw.integers(0, HALF - width)
            mine.append((y, x, y + height, x + width))
        kinds = draw.integers(0, 3, len(mine))
        for (y0, x0, y1, x1), kind in zip(mine, kinds, strict=True):
            image[y0:y1, x0:x1] = 220 * np.eye(3)[kind]
        rects.append(np.float32(mine))
        classes.append(kinds)
    return images, rects, classes


@pytest.fixture(scope="module")
def trained():
    """A function of (next_rows) -> what the network finds after STEPS steps from the same weights.

    next_rows: the indices of the pictures whose truth each picture learns in the next step.
    """
    keras.utils.set_random_seed(0)
    task = models.build_task("ssd_mobilenet_v1", num_classes=3, input_size=(SIZE, SIZE), width=0.25)
    images, rects, classes = pictures()
    rows = [
        task.encode({"boxes": b, "classes": c, "valid": np.ones(len(c), bool)})
        for b, c in zip(rects, classes, strict=True)
    ]
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    optimizer = keras.optimizers.Adam(4e-3)
    optimizer.build(task.model.trainable_variables)
    variables = [*task.model.variables, *optimizer.variables]
    fresh = [variable.numpy() for variable in variables]

    @tf.function
    def step(chosen):
        truth = {key: tf.gather(value, chosen) for key, value in targets.items()}
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(truth, task.forward({"image": images})))
        weights = task.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))

    def train(next_rows):
        for variable, value in zip(variables, fresh, strict=True):
            variable.assign(value)
        for _ in range(STEPS):
            step(tf.constant(next_rows()))
        return task.decode(task.model(images, training=False), 0.5, 0.45, 5)

    return train


def test_ssd_mobilenet_overfits(trained):
    _, rects, classes = pictures()
    found = trained(lambda: np.arange(8))
    for index, (truth, kinds) in enumerate(zip(rects, classes, strict=True)):
        valid = found["valid"][index].numpy()
        assert valid.sum() == len(truth)
        iou = boxes.pairwise_iou(tf.constant(truth), found["boxes"][index][valid]).numpy()
        assert (iou.max(1) > 0.8).all()
        order = iou.argmax(1)
        np.testing.assert_array_equal(found["classes"][index].numpy()[valid][order], kinds)


def test_with_the_truth_of_other_pictures_it_finds_nothing(trained):
    """The control: in each step every picture gets the boxes of another one, by chance."""
    _, rects, classes = pictures()
    draw = np.random.default_rng(1)
    found = trained(lambda: draw.permutation(8))
    right = 0
    for index, (truth, kinds) in enumerate(zip(rects, classes, strict=True)):
        valid = found["valid"][index].numpy()
        iou = boxes.pairwise_iou(tf.constant(truth), found["boxes"][index][valid]).numpy()
        same = found["classes"][index].numpy()[valid][None] == kinds[:, None]
        right += ((iou > 0.5) & same).any(1).sum()
    assert right <= 2  # of 12 objects
