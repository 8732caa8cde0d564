"""BatchNorm equals keras.layers.BatchNormalization: outputs, gradients, statistics, variables."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models.layers import BatchNorm, L2Normalization, Normalize

TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-2, "float16": 2e-3}


def pair(dtype="float32", **options):
    """(Keras' layer, ours), built for 5 channels, with the same random variables."""
    draw = np.random.default_rng(1)
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    layers = [
        kind(dtype=policy, momentum=0.9, epsilon=1e-5, **options)
        for kind in (keras.layers.BatchNormalization, BatchNorm)
    ]
    for layer in layers:
        layer.build((None, None, None, 5))
    values = [draw.uniform(0.5, 1.5, w.shape) for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def run(layer, x, training):
    """(output, gradients of sum(output * ramp) in x and the trainable variables)."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(layer(x, training=training), tf.float32)
        ramp = tf.reshape(tf.linspace(-1.0, 1.0, tf.size(y)), tf.shape(y))
        total = tf.reduce_sum(y * ramp)
    grads = tape.gradient(total, [x, *[v.value for v in layer.trainable_variables]])
    return y.numpy(), [tf.cast(g, tf.float32).numpy() for g in grads]


def close(a, b, tolerance):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(4, 6, 6, 5), (1, 7, 3, 5), (2, 1, 1, 5)])
def test_equals_keras(shape, dtype, training):
    x = np.random.default_rng(0).normal(0.7, 2.0, shape).astype("float32")
    x = tf.cast(x, dtype)
    reference, ours = pair(dtype)
    (expected, expected_grads), (got, grads) = run(reference, x, training), run(ours, x, training)
    # With two values a channel their normalised values are +-1 and the gradient in x vanishes.
    tolerance = TOLERANCE[dtype]
    close(got, expected, tolerance)
    for index, (a, b) in enumerate(zip(grads, expected_grads, strict=True)):
        if not (index == 0 and training and shape == (2, 1, 1, 5)):
            close(a, b, 2 * tolerance)
    for a, b in zip(ours.non_trainable_variables, reference.non_trainable_variables, strict=True):
        assert a.dtype == "float32"
        np.testing.assert_allclose(a, b, rtol=1e-4)
    assert ours(x, training=training).dtype == dtype


def test_running_variance_is_the_biased_one():
    """Channel values 1, 3: mean 2, biased variance 1 (unbiased 2)."""
    layer = BatchNorm(momentum=0.5)
    layer(np.reshape([1.0, 3.0], (2, 1, 1, 1)).astype("float32"), training=True)
    np.testing.assert_allclose(layer.moving_mean, [1.0])  # 0.5 * 0 + 0.5 * 2
    np.testing.assert_allclose(layer.moving_variance, [1.0])  # 0.5 * 1 + 0.5 * 1


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_without_scale_or_center(options):
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 5)).astype("float32")
    reference, ours = pair(**options)
    for training in (True, False):
        (expected, expected_grads) = run(reference, x, training)
        got, grads = run(ours, x, training)
        close(got, expected, 2e-5)
        for a, b in zip(grads, expected_grads, strict=True):
            close(a, b, 5e-5)


def test_frozen_layer_uses_running_statistics_and_leaves_them():
    x = np.random.default_rng(0).normal(3.0, 2.0, (3, 4, 4, 5)).astype("float32")
    reference, ours = pair()
    before = [w.numpy() for w in ours.weights]
    ours.trainable = reference.trainable = False
    close(ours(x, training=True).numpy(), reference(x, training=False).numpy(), 2e-5)
    for a, b in zip(before, ours.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(6, 5), (2, 7, 5), (2, 2, 3, 3, 5)])
def test_other_ranks(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layers = [keras.layers.BatchNormalization(), BatchNorm()]
    expected, got = [layer(x, training=True) for layer in layers]
    close(got.numpy(), expected.numpy(), 1e-6)


def test_variables_are_those_of_keras():
    described = [[(v.name, v.shape, v.trainable) for v in layer.weights] for layer in pair()]
    assert described[0] == described[1]
    assert [name for name, *_ in described[1]] == [
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    ]


def test_layers_survive_saving(tmp_path):
    image = keras.Input((4, 4, 3))
    x = Normalize(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), "bgr", name="normalize")(image)
    x = L2Normalization(7.0, name="norm2")(BatchNorm(momentum=0.3, name="norm")(x))
    model = keras.Model(image, x)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype("float32")
    model(pixels, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pixels), model(pixels))
    assert loaded.get_layer("norm").momentum == 0.3


def test_normalize_by_hand():
    layer = Normalize(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.1, 0.1), "bgr")
    red_first = np.reshape([255.0, 51.0, 0.0], (1, 1, 1, 3)).astype("float32")
    # bgr: (0 - .5) / .2, (.2 - .4) / .1, (1 - .3) / .1
    np.testing.assert_allclose(layer(red_first).numpy().ravel(), [-2.5, -2.0, 7.0], rtol=1e-5)


def test_l2_normalization_by_hand():
    layer = L2Normalization(20.0)
    x = np.reshape([3.0, 4.0], (1, 1, 1, 2)).astype("float32")
    np.testing.assert_allclose(layer(x).numpy().ravel(), [12.0, 16.0], rtol=1e-5)


SYNCHRONIZED = """
import numpy as np, keras, tensorflow as tf
devices = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
from convoy.models.layers import BatchNorm
x = np.random.default_rng(0).normal(3.0, 2.0, (8, 4, 4, 5)).astype("float32")
weight = np.linspace(-1, 1, x.size).reshape(x.shape).astype("float32")

def step(layer, x, weight):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * y * weight)
    return y, tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])

one = BatchNorm(momentum=0.9)
one.build(x.shape)
y, grads = step(one, tf.constant(x), tf.constant(weight))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    many = BatchNorm(momentum=0.9)
    many.build(x.shape)
assert strategy.num_replicas_in_sync == 2
part = lambda a: strategy.experimental_distribute_values_from_function(
    lambda c: tf.constant(np.split(a, 2)[c.replica_id_in_sync_group]))
got, got_grads = tf.function(
    lambda x, w: strategy.run(step, (many, x, w)))(part(x), part(weight))
join = lambda v: np.concatenate([t.numpy() for t in strategy.experimental_local_results(v)])
total = lambda v: sum(t.numpy() for t in strategy.experimental_local_results(v))
np.testing.assert_allclose(join(got), y, atol=2e-5)
np.testing.assert_allclose(join(got_grads[0]), grads[0], atol=2e-4)
for a, b in zip(got_grads[1:], grads[1:]):
    np.testing.assert_allclose(total(a), b, rtol=1e-3, atol=1e-3)
for a, b in zip(many.weights, one.weights):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)
print("equal")
"""


def test_two_replicas_equal_one_process():
    found = subprocess.run(
        [sys.executable, "-c", SYNCHRONIZED], capture_output=True, text=True, check=False
    )
    assert found.stdout.strip().endswith("equal"), found.stderr[-2000:]
