"""WELDON's pooling against NumPy, on any backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import count, losses
from convoy.models.classification import weldon
from convoy.models.keras_internals import without_values
from tests.models.test_parity import assert_close, fill
from tests.models.weightless import weightless
from tests.parity import formula


def extremes(x, highest, lowest, weight=1.0):
    """[B, H, W, K]: the authors' rule on sorted scores."""
    rows = np.sort(x.reshape(len(x), -1, x.shape[-1]), axis=1)
    n = rows.shape[1]
    high, low = (round(k * n) if 0 < k < 1 else min(int(k), n) for k in (highest, lowest))
    top = rows[:, n - high :].mean(1)
    return (top + weight * rows[:, :low].mean(1)) / 2 if low else top


@pytest.mark.parametrize(
    ("highest", "lowest", "weight"),
    [(1, 1, 1.0), (3, 2, 1.0), (0.2, 0.2, 1.0), (4, 0, 1.0), (0.3, 5, 0.7), (1000, 1000, 1.0)],
)
def test_pooling_is_the_authors_rule(highest, lowest, weight):
    x = np.random.default_rng(0).normal(size=(3, 5, 6, 4)).astype(np.float32)
    found = weldon.ExtremePool(highest, lowest, weight)(x)
    np.testing.assert_allclose(found, extremes(x, highest, lowest, weight), rtol=1e-5, atol=1e-6)


def test_by_hand():
    """Scores 1 to 6: (mean of 6, 5 + mean of 1, 2) / 2 = 3.5; the gradient is 1/4 on each."""
    x = tf.reshape(tf.range(1.0, 7.0), (1, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = weldon.ExtremePool(2)(x)
    np.testing.assert_allclose(score, [[3.5]])
    gradient = np.ravel(tape.gradient(score, x))
    np.testing.assert_allclose(gradient, [0.25, 0.25, 0, 0, 0.25, 0.25])


def test_numbers_of_positions():
    assert weldon.positions(0.2, 196) == 39
    assert weldon.positions(0.001, 196) == 1
    assert weldon.positions(7, 196) == 7
    assert weldon.positions(7, 4) == 4
    with pytest.raises(ValueError, match="highest > 0"):
        weldon.ExtremePool(0)


def test_head_fits_any_backbone():
    backbone = models.build("mobilenet_v1", num_classes=None, input_size=(96, 64), width=0.25)
    logits = weldon.head(backbone.output["s32"], 3, highest=2, lowest=1)
    model = fill(keras.Model(backbone.input, logits))
    images = formula.pictures(2, 96, 64)
    features = np.asarray(backbone(images, training=False)["s32"])
    layer = model.get_layer("scores")
    scores = features @ layer.kernel.numpy()[0, 0] + layer.bias.numpy()
    assert_close(model(images, training=False), extremes(scores, 2, 1))


QUICK = ("alexnet", "googlenet", "lecun1989", "lenet5_1998", "mobilenet_v2", "vgg11")
# Why no map of theirs will do, at their own size.
REFUSED = {
    "caltech_convnet": "s20, the last one, has one position at 83x83 px",
    "googlenet_aux": "leaves its auxiliary heads out: take googlenet$",
    "googlenet_bn_aux": "leaves its auxiliary heads out: take googlenet_bn$",
    "inception_v3_aux": "leaves its auxiliary heads out: take inception_v3$",
}
REFUSED |= dict.fromkeys(("caltech_convnet_max", "caltech_convnet_rn"), REFUSED["caltech_convnet"])


@pytest.mark.parametrize(
    "name",
    [
        name if name in (*QUICK, *REFUSED) else pytest.param(name, marks=pytest.mark.slow)
        for name in models.list_models("classification")
    ],
)
def test_any_network_with_a_map_can_end_so(name):
    """The graph alone: what the last map gives, a weight each for 5 classes, their biases."""
    with without_values():
        if name in REFUSED:
            with pytest.raises(ValueError, match=f"^{name}: head weldon.*{REFUSED[name]}"):
                models.build_task(name, head="weldon", num_classes=5)
            return
        task = models.build_task(name, head="weldon", num_classes=5, dropout=0.3)
    backbone = weightless(name, num_classes=None)
    channels = task.model.get_layer("scores").input.shape[-1]
    assert task.info.params == count.params(backbone) + 5 * (channels + 1)
    assert task.model.output.shape == (None, 5)
    assert task.model.get_layer("scores").input.name == task.model.get_layer("dropout").output.name


def test_a_larger_picture_leaves_a_map():
    """The course's ConvNet for Caltech at 103 px: 2 x 2 positions of stride 20."""
    task = models.build_task("caltech_convnet", head="weldon", input_size=(103, 103))
    assert task.model.get_layer("scores").output.shape == (None, 2, 2, 101)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet5", {"task": "localization"}, "for classification and multilabel, not localization"),
        ("ssd300_vgg16", {}, "for classification and multilabel, not detection"),
        ("text_cnn_rand", {}, "for classification and multilabel, not text"),
        ("lenet5", {"width": 0.5}, "lenet5 has no width"),
    ],
)
def test_where_it_does_not_belong(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build_task(name, head="weldon", **options)
    with pytest.raises(
        ValueError, match="lenet5: head: expected one of own, weldon, got 'wildcat'"
    ):
        models.build_task("lenet5", head="wildcat")


CROSS = [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
RING = [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]


def symbols(number: int, seed: int):
    """Noise of 28 px with a cross, a ring, both or none, 5 px each: images, present, corners."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 60, (number, 28, 28, 1)).astype(np.float32)
    present, corners = rng.integers(0, 2, (number, 2)), np.zeros((number, 2, 2), int)
    for image, there, corner in zip(images, present, corners, strict=True):
        sides = rng.permutation((0, 14))  # one in each half
        for c, shape in enumerate((CROSS, RING)):
            y, x = corner[c] = rng.integers(0, 23), sides[c] + rng.integers(0, 9)
            image[y : y + 5, x : x + 5, 0] += 180 * there[c] * np.array(shape)
    return images, present.astype(np.float32), corners


@pytest.mark.parametrize("shuffled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_evidence_is_found_without_being_shown(shuffled):
    """Told only what pictures show, the scores are highest where it is; not if told wrongly.

    LeNet-5's last map has positions 4 px apart, centred at 4 i + 6; each sees 16 px.
    """
    keras.utils.set_random_seed(0)
    task = models.build_task("lenet5", task="multilabel", head="weldon", num_classes=2)
    images, present, _ = symbols(512, seed=0)
    told = present[::-1].copy() if shuffled else present
    optimizer = keras.optimizers.Adam(0.01)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = task.forward({"image": images})
            total = losses.total(task.loss({"labels": labels}, outputs))
        weights = task.model.trainable_variables
        optimizer.apply(tape.gradient(total, weights), weights)

    for index in range(400):
        part = slice(index % 8 * 64, index % 8 * 64 + 64)
        step(images[part], told[part])
    images, present, corners = symbols(64, seed=1)
    right = np.mean(np.array(task.decode(task.model(images))["chosen"]) == present)
    if shuffled:
        assert right < 0.75
        return
    assert right > 0.9
    scores = keras.Model(task.model.input, task.model.get_layer("scores").output)(images).numpy()
    distances = []
    for n, c in np.argwhere(present):
        best = np.unravel_index(scores[n, ..., c].argmax(), (5, 5))
        distances.append(np.abs(4 * np.array(best) + 6 - (corners[n, c] + 2.5)).max())
    assert np.mean(np.array(distances) <= 8) > 0.9


def test_published_count():
    """torchvision's ResNet-101 without its last layer, and 20 classes of 2048."""
    resnet = models.describe("resnet101").params - 1000 * 2049
    assert models.describe("weldon_resnet101").params == resnet + 20 * 2049 == 42_541_140


def test_saved_settings_come_back():
    layer = weldon.ExtremePool(0.25, 3, 0.5)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    x = np.random.default_rng(1).normal(size=(1, 4, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(twin(x), layer(x))
