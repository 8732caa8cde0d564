"""Median time of one ResNet-50 training step, ours against keras.applications; prints JSON lines.

    python tests/bench/bn_step.py [batch] [rounds] [size_px]

The same optimizer, loss and input; both networks take turns in one process, so that a change of the
machine's load meets both. `ratio` is Keras' time over ours.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from convoy import models


def train_step(model: keras.Model):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            total = loss(labels, model(images, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        return total

    return step


def main(batch: int = 8, rounds: int = 5, size: int = 224) -> None:
    draw = np.random.default_rng(0)
    images = tf.constant(draw.uniform(0, 255, (batch, size, size, 3)).astype("float32"))
    labels = tf.constant(draw.integers(0, 1000, batch))
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        steps = {
            "ours": train_step(models.build("resnet50_v1", input_size=(size, size))),
            "keras": train_step(
                keras.applications.ResNet50(
                    weights=None, classifier_activation=None, input_shape=(size, size, 3)
                )
            ),
        }
        times = {name: [] for name in steps}
        for index in range(rounds + 2):
            for name, step in steps.items():
                start = time.perf_counter()
                step(images, labels).numpy()
                if index >= 2:
                    times[name].append(time.perf_counter() - start)
        median = {name: statistics.median(found) for name, found in times.items()}
        line = {
            "precision": policy,
            "batch": batch,
            "size_px": size,
            "ours_s": round(median["ours"], 3),
            "keras_s": round(median["keras"], 3),
            "ours_images_per_s": round(batch / median["ours"], 2),
            "keras_images_per_s": round(batch / median["keras"], 2),
            "ratio": round(median["keras"] / median["ours"], 2),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
