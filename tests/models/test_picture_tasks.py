"""Several classes a picture, and one box a picture, by hand numbers."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.boxes import pairwise_iou
from convoy.models.classification import localization, multilabel
from convoy.models.spec import Task

SLIDE = np.log(np.float32([[0.1, 0.05, 0.8, 0.05]]))  # logits of these probabilities


def test_one_class_shares_no_mass():
    """-ln 0.8"""
    found = multilabel.shared_mass_loss([[0, 0, 1, 0]], SLIDE)
    np.testing.assert_allclose(found, [0.22314], atol=5e-6)


def test_two_classes_share_the_mass():
    """-(ln 0.1 + ln 0.8) / 2; no class costs nothing."""
    found = multilabel.shared_mass_loss([[1, 0, 1, 0], [0] * 4], np.repeat(SLIDE, 2, 0))
    np.testing.assert_allclose(found, [(2.302585 + 0.223144) / 2, 0.0], rtol=1e-5)


def test_sigmoid_loss_by_hand():
    """ln 2 at 0; -ln s(3) = ln(1 + e^-3); and no overflow at +-200."""
    found = multilabel.sigmoid_loss([[1, 0], [1, 0], [0, 1]], [[0, 0], [3, -3], [200, -200]])
    np.testing.assert_allclose(found, [2 * math.log(2), 2 * math.log1p(math.exp(-3)), 400])


def test_gradients_are_probability_minus_target():
    logits, labels = tf.constant(SLIDE), [[1.0, 0.0, 1.0, 0.0]]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        shared = multilabel.shared_mass_loss(labels, logits)
        single = multilabel.sigmoid_loss(labels, logits)
    np.testing.assert_allclose(tape.gradient(shared, logits), [[-0.4, 0.05, 0.3, 0.05]], atol=1e-6)
    expected = tf.sigmoid(logits) - labels
    np.testing.assert_allclose(tape.gradient(single, logits), expected, atol=1e-6)


def test_decisions():
    scores = np.float32([[0.31, 0.29, 0.35, 0.05], [0.3, 0.3, 0.3, 0.1]])
    above = multilabel.chosen(scores, 0.3)
    assert np.array(above).tolist() == [[True, False, True, False], [False] * 4]
    known = multilabel.chosen(scores, 0.3, count=2)
    assert np.array(known).tolist() == [[True, False, True, False], [True, True, False, False]]


@pytest.mark.parametrize(("label_loss", "limit"), [("sigmoid", 0.5), ("softmax", 0.3)])
def test_each_loss_has_its_own_threshold(label_loss, limit):
    options = {"task": "multilabel", "num_classes": 4, "label_loss": label_loss}
    task = models.build_task("lenet5", **options)
    assert isinstance(task, Task)
    assert task.info.task == "multilabel"
    logits = np.float32([[1.0, -1.0, 0.9, -3.0]])
    found = task.decode(logits)
    np.testing.assert_array_equal(found["chosen"], np.array(found["scores"]) > limit)
    assert np.array(task.decode(logits, label_threshold=0.0)["chosen"]).all()
    assert np.array(task.decode(logits, label_count=1)["chosen"]).tolist() == [
        [True, False, False, False]
    ]


def test_labels_of_the_picture_and_of_its_objects():
    given = {
        "labels": tf.constant([3, -1, -1], tf.int64),
        "classes": tf.constant([1, 1, 2, 0], tf.int64),
        "valid": tf.constant([True, True, False, False]),
    }
    assert multilabel.present(given, 5).numpy().tolist() == [0, 1, 0, 1, 0]


def test_the_largest_object_is_the_target():
    boxes = np.float32([[0, 0, 90, 90], [10, 20, 60, 80], [0, 0, 10, 10], [0, 0, 0, 0]])
    valid = np.array([False, True, True, False])
    found = localization.largest(boxes, np.array([0, 3, 1, 0]), valid, (100, 200))
    assert (int(found["label"]), float(found["there"])) == (3, 1.0)
    np.testing.assert_allclose(found["box"], [0.1, 0.1, 0.6, 0.4])
    nothing = localization.largest(boxes, np.array([0, 3, 1, 0]), valid & False, (100, 200))
    assert float(nothing["there"]) == 0.0


def _task(name="lenet5", **options) -> Task:
    keras.utils.set_random_seed(0)
    return models.build_task(name, task="localization", num_classes=4, **options)


def test_localization_loss_by_hand():
    """-ln 0.8, and 4 x 0.1^2; the second picture has no object."""
    task = _task()
    outputs = {"logits": np.repeat(SLIDE, 2, 0), "box": np.float32([[0.1, 0.2, 0.5, 0.8]] * 2)}
    targets = {
        "label": np.array([2, 0]),
        "box": np.float32([[0.2, 0.1, 0.6, 0.7], [0, 0, 0, 0]]),
        "there": np.float32([1, 0]),
    }
    sums = task.loss(targets, outputs)
    assert set(sums) == {"cls", "loc"}
    np.testing.assert_allclose(sums["cls"][0], 0.22314, atol=5e-6)
    np.testing.assert_allclose(sums["loc"][0], 0.04, rtol=1e-5)
    assert [float(normalizer) for _, normalizer in sums.values()] == [1.0, 1.0]


def test_boxes_are_ordered_and_inside():
    task = _task()
    box = np.float32([[0.1, 0.2, 0.5, 2.0], [0.9, 0.2, -1.0, 0.1]])
    found = task.decode({"logits": np.repeat(SLIDE, 2, 0), "box": box})
    np.testing.assert_allclose(
        found["box"], np.float32([[0.1, 0.2, 0.5, 1], [0, 0.1, 0.9, 0.2]]) * 28
    )
    assert np.array(found["classes"]).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("name", "options", "features"),
    [
        ("lenet5_1998", {}, 120),  # its outputs are distances, without weights
        ("mobilenet_v1", {"input_size": (32, 33), "width": 0.25}, 256),
        ("resnet18", {"input_size": (32, 33)}, 512),
    ],
)
def test_the_box_head_reads_what_the_last_weights_read(name, options, features):
    task = _task(name, **options)
    assert task.model.get_layer("box").kernel.shape == (features, 4)
    assert task.info.preprocess.resize == "stretch"
    images = np.zeros((2, *task.info.preprocess.shape), np.float32)
    outputs = task.model(images)
    assert outputs["logits"].shape == (2, 4)
    np.testing.assert_allclose(outputs["box"][0], localization.START, rtol=1e-6)


def test_a_network_serves_its_own_tasks():
    picture_tasks = ("classification", "multilabel", "attributes", "localization")
    assert models.tasks_of("resnet18") == picture_tasks
    assert models.tasks_of("ssd300_vgg16") == ("detection",)
    with pytest.raises(ValueError, match="ssd_mobilenet_v1 is for detection, not for multilabel"):
        models.build_task("ssd_mobilenet_v1", task="multilabel")
    with pytest.raises(ValueError, match="resnet18 is for classification and multilabel"):
        models.build_task("resnet18", task="text")
    with pytest.raises(ValueError, match="expected one of sigmoid, softmax, got 'hinge'"):
        models.build_task("lenet5", task="multilabel", label_loss="hinge")


def test_iou_of_the_annotated_motorbikes():
    """(Xmin, Ymin) - (Xmax, Ymax) of PASCAL's sample: shared 14,960 of 50,833 square pixels.

    VOC counts pixels, so that a box ends behind its last one: 15,222 of 51,343.
    """
    one, other = [133.0, 57, 265, 329], [95.0, 153, 218, 396]
    found = pairwise_iou(tf.constant([one]), tf.constant([other]))
    np.testing.assert_allclose(found, [[0.294297]], atol=5e-7)
    whole = [[y0, x0, y1 + 1, x1 + 1] for y0, x0, y1, x1 in (one, other)]
    found = pairwise_iou(tf.constant(whole[:1]), tf.constant(whole[1:]))
    np.testing.assert_allclose(found, [[0.296477]], atol=5e-7)


def _squares(count: int):
    """Gray pictures with one bright square; its class is the size, its corner anywhere."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, 28, 28, 1), np.float32)
    labels, boxes = np.arange(count) % 2, []
    for image, label in zip(images, labels, strict=True):
        side = (8, 16)[label]
        y, x = rng.integers(0, 28 - side, 2)
        image[y : y + side, x : x + side] = 255
        boxes.append([y, x, y + side, x + side])
    targets = {"label": labels, "box": np.float32(boxes) / 28, "there": np.ones(count, np.float32)}
    return images, targets


@pytest.mark.parametrize("shuffled", [False, True])
def test_class_and_box_are_learnt(shuffled):
    """100 steps on 32 squares; with the boxes of other pictures they cannot be right elsewhere."""
    keras.utils.set_random_seed(0)
    task = models.build_task("lenet5", task="localization", num_classes=2)
    images, targets = _squares(64)
    if shuffled:
        targets["box"] = targets["box"][::-1].copy()
    seen = {name: value[:32] for name, value in targets.items()}
    optimizer = keras.optimizers.Adam(0.003)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = losses.total(task.loss(seen, task.forward({"image": images[:32]})))
        weights = task.model.trainable_variables
        optimizer.apply(tape.gradient(total, weights), weights)

    for _ in range(100):
        step()
    found = task.decode(task.model(images))
    apart = np.abs(np.array(found["box"]) / 28 - targets["box"]).mean(axis=1)
    assert (np.array(found["classes"]) == targets["label"])[:32].mean() > 0.95
    if shuffled:
        assert apart[32:].mean() > 0.1
    else:
        assert apart[:32].mean() < 0.04
        assert apart[32:].mean() < 0.08  # pictures that it never saw
