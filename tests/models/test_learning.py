"""A detector overfits eight generated pictures, and finds their objects in inference mode.

Catches wrong targets, frozen layers and running statistics that lag behind the weights.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import boxes, losses

SIZE, STEPS = 128, 100


def pictures():
    """Eight gray noisy images with one or two rectangles, coloured by class."""
    draw = np.random.default_rng(0)
    images = 90 + draw.normal(0, 10, (8, SIZE, SIZE, 3)).astype("float32")
    rects, classes = [], []
    for index, image in enumerate(images):
        mine = []
        for half in range(1 + index % 2):
            height, width = draw.integers(24, 50, 2)
            y, x = draw.integers(0, SIZE - height), 64 * half + draw.integers(0, 64 - width)
            mine.append((y, x, y + height, x + width))
        kinds = draw.integers(0, 3, len(mine))
        for (y0, x0, y1, x1), kind in zip(mine, kinds, strict=True):
            image[y0:y1, x0:x1] = 220 * np.eye(3)[kind]
        rects.append(np.float32(mine))
        classes.append(kinds)
    return images, rects, classes


@pytest.mark.slow
def test_ssd_mobilenet_overfits():
    keras.utils.set_random_seed(0)
    task = models.build_task("ssd_mobilenet_v1", num_classes=3, input_size=(SIZE, SIZE), width=0.5)
    images, rects, classes = pictures()
    rows = [
        task.encode({"boxes": b, "classes": c, "valid": np.ones(len(c), bool)})
        for b, c in zip(rects, classes, strict=True)
    ]
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(task.model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(targets, task.forward({"image": images})))
        variables = task.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))

    for _ in range(STEPS):
        step()
    found = task.decode(task.model(images, training=False), 0.5, 0.45, 5)
    for index, (truth, kinds) in enumerate(zip(rects, classes, strict=True)):
        valid = found["valid"][index].numpy()
        assert valid.sum() == len(truth)
        iou = boxes.pairwise_iou(tf.constant(truth), found["boxes"][index][valid]).numpy()
        assert (iou.max(1) > 0.8).all()
        order = iou.argmax(1)
        np.testing.assert_array_equal(found["classes"][index].numpy()[valid][order], kinds)
