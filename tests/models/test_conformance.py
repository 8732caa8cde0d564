"""What every network must do, on the smallest variant of each family."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import models
from tests.parity import formula

# name, arguments
SMALLEST = {
    "lecun1989": {},
    "caltech_convnet": {"num_classes": 5},
    "caltech_convnet_rn": {"input_size": (83, 88), "num_classes": 5},
    "alexnet": {"input_size": (63, 75), "num_classes": 5},
    "zfnet": {"input_size": (47, 50), "num_classes": 5},
    "spp_net_zf5": {"input_size": (64, 93), "num_classes": 5},
    "overfeat_fast": {"input_size": (71, 71), "num_classes": 5},
    "weldon_resnet101": {"input_size": (64, 65), "num_classes": 5},
    "lenet5_1998": {},
    "lenet5": {},
    "vgg16": {"input_size": (32, 33), "num_classes": 5},
    "resnet18": {"input_size": (65, 64), "num_classes": 5},
    "resnet50": {"input_size": (64, 64), "num_classes": 5},
    "resnet50_v1": {"input_size": (64, 64), "num_classes": 5},
    "resnet18_v2": {"input_size": (65, 64), "num_classes": 5},
    "resnet50_v2_keras": {"input_size": (64, 64), "num_classes": 5},
    "lm_resnet20": {"num_classes": 5},
    "mobilenet_v1": {"input_size": (64, 97), "num_classes": 5, "width": 0.25},
    "mobilenet_v2": {"input_size": (64, 97), "num_classes": 5, "width": 0.35},
    "mobilenet_v3_small": {"input_size": (64, 97), "num_classes": 5, "width": 0.75},
    "darknet19": {"input_size": (33, 64), "num_classes": 5},
    "cspdarknet53": {"input_size": (33, 64), "num_classes": 5},
    "googlenet_aux": {"input_size": (79, 80), "num_classes": 5},
    "googlenet_bn_aux": {"input_size": (32, 33), "num_classes": 5},
    "inception_v2": {"input_size": (32, 33), "num_classes": 5},
    "inception_v3": {"input_size": (75, 76), "num_classes": 5},
    "inception_v3_aux": {"num_classes": 5},
    "inception_resnet_v2": {"input_size": (75, 75), "num_classes": 5},
    "ssd_mobilenet_v1": {"input_size": (96, 131), "num_classes": 5, "width": 0.25},
    "ssd300_vgg16": {"num_classes": 2},
}
SLOW = (
    "spp_net_zf5",
    "overfeat_fast",
    "weldon_resnet101",
    "resnet50",
    "resnet50_v1",
    "resnet50_v2_keras",
    "cspdarknet53",
    "googlenet_bn_aux",
    "inception_v3",
    "inception_v3_aux",
    "inception_resnet_v2",
    "ssd300_vgg16",
)
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SMALLEST]


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def images(task, count):
    p = task.info.preprocess
    return formula.pictures(count, *p.size, p.channels)


def targets(task, count):
    """One object a picture, or one label."""
    height, width = task.info.preprocess.size
    if task.info.task == "classification":
        rows = [task.encode(np.array([i % task.info.num_classes])) for i in range(count)]
    else:
        box = np.float32([[0.1 * height, 0.2 * width, 0.7 * height, 0.9 * width]])
        rows = [task.encode(box, np.array([1]), np.array([True])) for _ in range(count)]
    return tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *rows)


@pytest.mark.parametrize("name", CASES)
def test_every_trainable_weight_gets_a_finite_gradient(name):
    keras.utils.set_random_seed(0)
    task = models.build_task(name, **SMALLEST[name])

    @tf.function
    def gradients(x, y):
        with tf.GradientTape() as tape:
            losses, normalizer = task.loss(y, task.model(x, training=True))
            total = sum(losses.values()) / tf.maximum(normalizer, 1.0)
        return total, normalizer, tape.gradient(total, task.model.trainable_variables)

    total, normalizer, grads = gradients(images(task, 2), targets(task, 2))
    assert np.isfinite(total)
    assert float(normalizer) >= 2
    for variable, gradient in zip(task.model.trainable_variables, grads, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path


@pytest.mark.parametrize("name", CASES)
def test_one_picture_equals_its_row_in_a_batch(name):
    keras.utils.set_random_seed(0)
    task = models.build_task(name, **SMALLEST[name])
    batch = images(task, 4)
    # Compared in a function of unknown batch size, as the exported network runs.
    call = tf.function(lambda x: task.model(x, training=False), reduce_retracing=True)
    together, alone = call(batch), call(batch[2:3])
    for a, b in zip(tf.nest.flatten(together), tf.nest.flatten(alone), strict=True):
        assert a.dtype == tf.float32
        np.testing.assert_allclose(a[2:3], b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("half_precision")
def test_half_precision_gives_finite_float32(name):
    task = models.build_task(name, **SMALLEST[name])
    halves = [
        layer for layer in task.model.layers if layer.weights and layer.compute_dtype == "bfloat16"
    ]
    assert halves
    for training in (False, True):
        outputs = task.model(images(task, 2), training=training)
        for output in tf.nest.flatten(outputs):
            assert output.dtype == tf.float32
            assert np.isfinite(output).all()
    losses, _ = task.loss(targets(task, 2), outputs)
    assert all(value.dtype == tf.float32 for value in losses.values())


@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "resnet18",
        "resnet18_v2",
        "resnet50_v2_keras",
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "mobilenet_v3_small",
        "darknet19",
        "darknet53",
        "cspdarknet53",
        "googlenet",
        "googlenet_bn_aux",
        "inception_v2",
    ],
)
def test_backbone_maps_have_their_strides(name):
    model = models.build(name, num_classes=None, input_size=(64, 64))
    shapes = {key: tuple(value.shape[1:3]) for key, value in model.output.items()}
    strides = (4, 8, 16, 32)
    assert shapes == {f"s{stride}": (64 // stride,) * 2 for stride in strides}


@pytest.mark.parametrize(
    "name", ["ssd_mobilenet_v1", pytest.param("ssd300_vgg16", marks=pytest.mark.slow)]
)
def test_detector_rows_agree(name):
    """Model, targets and decoding have one row a prior; detections are in pixels of the input."""
    task = models.build_task(name, **SMALLEST[name])
    outputs, encoded = task.model(images(task, 1)), targets(task, 1)
    assert outputs["cls"].shape[1] == outputs["box"].shape[1] == encoded["cls"].shape[1]
    assert outputs["cls"].shape[2] == task.info.num_classes + 1
    # A network that answers exactly its targets finds the object again.
    perfect = {"cls": 20.0 * tf.one_hot(encoded["cls"], task.info.num_classes + 1)}
    found = task.decode({**perfect, "box": encoded["box"]}, 0.5, 0.45, 10)
    assert found["valid"].numpy().sum() == 1
    assert int(found["classes"][0, 0]) == 1
    height, width = task.info.preprocess.size
    expected = [0.1 * height, 0.2 * width, 0.7 * height, 0.9 * width]
    np.testing.assert_allclose(found["boxes"][0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("size", [160, 300])
def test_ssd_mobilenet_covers_objects_of_all_sizes(size):
    """From a seventh of the side to the whole picture, a square has several priors."""
    task = models.build_task("ssd_mobilenet_v1", input_size=(size, size), num_classes=1, width=0.25)
    for part in (0.15, 0.3, 0.5, 0.7, 0.9):
        low = 0.5 * size * (1 - part)
        box = np.float32([[low, low, size - low, size - low]])
        found = task.encode(box, np.array([0]), np.array([True]))
        assert np.count_nonzero(found["cls"]) >= 2, part


@pytest.mark.parametrize(
    "name",
    [
        "lecun1989",
        "caltech_convnet_rn",
        "lenet5_1998",
        "resnet18_v2",
        "lm_resnet20",
        "ssd_mobilenet_v1",
    ],
)
def test_saving_keeps_the_network(name, tmp_path):
    task = models.build_task(name, **SMALLEST[name])
    task.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = images(task, 1)
    pairs = zip(tf.nest.flatten(task.model(x)), tf.nest.flatten(loaded(x)), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


JAX = """
import sys
import keras, numpy as np, models
assert keras.backend.backend() == "jax"
outputs = {}
for name, options in (
    ("lecun1989", {}),
    ("caltech_convnet_rn", {}),
    ("alexnet", dict(input_size=(63, 63), num_classes=3)),
    ("spp_net_zf5", dict(input_size=(47, 93), num_classes=3)),
    ("lenet5_1998", {}),
    ("lenet5", {}),
    ("resnet18", dict(input_size=(33, 40), num_classes=3)),
    ("resnet18_v2", dict(input_size=(33, 40), num_classes=3)),
    ("lm_resnet20", dict(num_classes=3)),
    ("mobilenet_v3_small", dict(input_size=(33, 64), num_classes=3, width=0.75)),
    ("darknet19", dict(input_size=(33, 64), num_classes=3)),
    ("cspdarknet53", dict(input_size=(33, 64), num_classes=None)),
    ("vgg16", dict(input_size=(32, 32), num_classes=None)),
    ("mobilenet_v1", dict(input_size=(33, 64), num_classes=3, width=0.25)),
    ("ssd_mobilenet_v1", dict(input_size=(64, 64), num_classes=3, width=0.25)),
):
    built = models.build(name, **options)
    model = getattr(built, "model", built)
    out = model(np.zeros((2, *model.input_shape[1:]), "float32"), training=True)
    for leaf in keras.tree.flatten(out):
        assert np.isfinite(np.asarray(leaf)).all(), name
from models import losses
logits = np.zeros((1, 5, 3), "float32")
codes = np.zeros((1, 5, 4), "float32")
found, count = losses.multibox(
    {"cls": np.array([[2, 0, 0, 0, 0]]), "box": codes}, {"cls": logits, "box": codes + 0.5})
np.testing.assert_allclose(found["cls"], 4 * np.log(3), rtol=1e-5)
np.testing.assert_allclose(found["box"], 0.5, rtol=1e-5)
print("fine")
"""


@pytest.mark.slow
def test_networks_and_losses_run_on_jax():
    pytest.importorskip("jax")
    found = subprocess.run(
        [sys.executable, "-c", JAX],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.strip() == "fine", found.stderr[-2000:]
