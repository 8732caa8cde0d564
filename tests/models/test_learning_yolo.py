"""The tiny YOLO networks overfit eight digit scenes, and find their objects in inference mode.

Taught the objects of the next picture instead, they do not find those of their own.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.data.sources import digits
from convoy.models import losses, resize
from convoy.pipeline.evaluation.coco import coco_metrics
from convoy.pipeline.evaluation.records import detections_of

SIZE, STEPS = (128, 160), 120


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Eight pictures of 240 x 320 px with two to five digits each."""
    devkit = digits.build(tmp_path_factory.mktemp("digits") / "set", seed=5, images=(8, 1))
    listing = digits.scan(devkit)
    references = [reference for reference in listing.references if reference.split == "train"]
    return [digits.read(reference, listing.labels) for reference in references], listing.labels


def learnt(
    name: str,
    samples,
    taught,
    steps: int = STEPS,
    size: tuple[int, int] = SIZE,
    masks=None,
    **options,
) -> tuple[models.spec.Task, tf.Tensor, tf.Tensor]:
    """The task after training on pictures of `samples` and objects of `taught`; its inputs.

    masks: a sample -> [8, *size] uint8, of tasks that learn them.
    """
    keras.utils.set_random_seed(0)
    task = models.build_task(name, num_classes=10, input_size=size, **options)
    fitted = [
        resize.fit(tf.io.decode_jpeg(sample.image), task.info.preprocess, size)
        for sample in samples
    ]
    pictures, matrices = (tf.stack(parts) for parts in zip(*fitted, strict=True))
    scale = tf.stack([matrices[0, 1, 1], matrices[0, 0, 0]] * 2)
    shift = tf.stack([matrices[0, 1, 2], matrices[0, 0, 2]] * 2)
    rows = []
    for sample in taught:
        boxes = np.pad(sample.boxes, [[0, 8 - len(sample.boxes)], [0, 0]]) * scale + shift
        classes = np.pad(sample.classes, [0, 8 - len(sample.classes)])
        valid = np.arange(8) < len(sample.boxes)
        annotation = {"boxes": boxes, "classes": classes, "valid": valid}
        if masks is not None:
            annotation["masks"] = masks(sample)
        rows.append(task.encode(annotation))
    targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=10.0)
    optimizer.build(task.model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = task.forward({"image": pictures, "targets": targets})
            total = losses.total(task.loss(targets, outputs))
        variables = task.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))

    for _ in range(steps):
        step()
    return task, pictures, matrices


def ap50(task, pictures, matrices, samples, labels) -> float:
    decoded = task.decode(task.model(pictures, training=False), 0.01, 0.45, 50)
    sizes = tf.constant([(sample.height, sample.width) for sample in samples])
    answers = task.answer(decoded, matrices, sizes, tf.constant(labels))
    detections = [
        detections_of(
            sample.source_id, {key: value[index].numpy() for key, value in answers.items()}
        )
        for index, sample in enumerate(samples)
    ]
    return coco_metrics(samples, detections, labels)["AP50"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov2_tiny", "yolov3_tiny", "yolov4_tiny"])
def test_it_overfits(name, scenes):
    samples, labels = scenes
    assert ap50(*learnt(name, samples, samples), samples, labels) >= 0.95


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):
    samples, labels = scenes
    trained = learnt("yolov3_tiny", samples, [*samples[1:], samples[0]])
    assert ap50(*trained, samples, labels) < 0.2
