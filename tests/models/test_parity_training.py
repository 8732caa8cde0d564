"""A step of training against independent networks: its outputs, and what every norm keeps.

PyTorch's steps were written by tests/parity/training_reference.py, tf_slim's by slim_inception.py;
keras.applications runs here. Batches of eight pictures leave a norm at least 64 values a channel,
so that float32 does.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy import models
from tests.models.test_parity import GOLDEN, assert_close, copy_weights, fill
from tests.models.test_parity_residual import keras_name
from tests.parity import formula

KEEP = 0.9  # of the old statistics; PyTorch's momentum 0.1 is how much is new


def slow(*names) -> list:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def norms_of(model: keras.Model) -> list:
    return [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]


def without_dropout(model: keras.Model) -> keras.Model:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return model


def running(norm) -> np.ndarray:
    """[2, channels]: mean and variance."""
    return np.stack([np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)]).astype(float)


def of_batch(kept, before) -> np.ndarray:
    """The statistics of the one batch since `before`."""
    return (kept - KEEP * before) / (1 - KEEP)


def assert_kept(norm, before, batch) -> None:
    """`norm` keeps 0.9 of `before` and 0.1 of `batch`, statistics [2, channels] of its first ones.

    To 1e-4 of what the batch adds: of its largest deviation, of its largest variance; and what
    float32 rounds.
    """
    expected = KEEP * before + (1 - KEEP) * batch
    error = np.abs(running(norm)[:, : batch.shape[1]] - expected).max(1)
    largest = np.array([np.sqrt(batch[1].max()), batch[1].max()])
    rounding = 2 * np.spacing(np.abs(expected).max(1).astype(np.float32))
    assert np.all(error <= 1e-4 * (1 - KEEP) * largest + rounding)


def assert_step(name: str, images, golden: dict) -> None:
    """`golden`: outputs by name, and "kept" [2, norms, some channels] and "counts" by our names.

    PyTorch and TensorFlow's kernel keep the variance of a sample, n / (n - 1) of the batch's.
    """
    maps = name.startswith("vgg")  # whose full layers have no norm
    classes = None if maps else 10
    model = models.build(name, num_classes=classes, input_size=images.shape[1:3])
    outputs = without_dropout(fill(model))(images, training=True)
    if maps:
        outputs = {"logits": outputs["s32"][..., ::64]}
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    assert set(outputs) | {"kept", "counts"} == set(golden)
    for key, value in outputs.items():
        assert_close(value, golden[key])
    norms = sorted(norms_of(model), key=lambda norm: norm.name)
    kept, counts = np.asarray(golden["kept"], float), golden["counts"]
    assert kept.shape[1] == len(norms)
    for norm, after, count in zip(norms, kept.swapaxes(0, 1), counts, strict=True):
        before = [
            formula.weight(f"{norm.name}/{variable.name}", variable.shape)[: after.shape[1]]
            for variable in (norm.moving_mean, norm.moving_variance)
        ]
        batch = of_batch(after, np.stack(before))
        batch[1] *= (count - 1) / count
        assert_kept(norm, np.stack(before), batch)


def of_pytorch(name: str) -> dict:
    golden = np.load(GOLDEN / "training.npz")
    return {k.removeprefix(f"{name}/"): golden[k] for k in golden if k.startswith(f"{name}/")}


BATCHES = {
    **dict.fromkeys(("resnet18", "resnet50", "resnet18_v2", "vgg11_bn"), (8, 75, 81)),
    **dict.fromkeys(("darknet19", "darknet53", "cspdarknet53"), (8, 75, 97)),
    "lm_resnet20": (8, 37, 34),
    "googlenet_bn_aux": (8, 115, 75),
}
LONG = ("resnet50", "darknet53", "cspdarknet53")


@pytest.mark.parametrize("name", [*(n for n in BATCHES if n not in LONG), *slow(*LONG)])
def test_equals_pytorch(name):
    assert_step(name, formula.pictures(*BATCHES[name]), of_pytorch(name))


@pytest.fixture
def double_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
@pytest.mark.usefixtures("double_precision")
def test_inception_v3_aux_equals_pytorch():
    """Three pictures of its smallest size and both in float64, in which BatchNorm is Keras' own."""
    assert_step("inception_v3_aux", formula.pictures(3, 331, 305), of_pytorch("inception_v3_aux"))


@pytest.mark.slow
def test_inception_v2_equals_tf_slim():
    stored = np.load(GOLDEN / "inception_slim.npz")
    keys = ("logits", "kept", "counts")
    golden = {key: stored[f"training_{key}"] for key in keys}
    assert_step("inception_v2", formula.pictures(8, 97, 75), golden)


APPLICATIONS = {
    "mobilenet_v1": ("MobileNet", (75, 65), None),
    "mobilenet_v2": ("MobileNetV2", (75, 65), None),
    "mobilenet_v3_small": ("MobileNetV3Small", (75, 65), None),
    "mobilenet_v3_large": ("MobileNetV3Large", (75, 65), None),
    "resnet50_v2_keras": ("ResNet50V2", (75, 65), keras_name),
    "inception_v3": ("InceptionV3", (107, 96), None),
    "inception_resnet_v2": ("InceptionResNetV2", (107, 96), None),
}
LARGE = ("mobilenet_v3_large", "resnet50_v2_keras", "inception_resnet_v2")


def assert_keras_step(name: str) -> None:
    """With our momentum in Keras' norms, whose own are 0.99 and 0.999."""
    application, size, name_of = APPLICATIONS[name]
    reference = getattr(keras.applications, application)(
        weights=None, classes=12, classifier_activation=None, input_shape=(*size, 3)
    )
    ours = models.build(name, num_classes=12, input_size=size)
    copy_weights(reference, ours, name_of)
    norms, twins = norms_of(reference), norms_of(ours)
    if name_of:
        twins = [ours.get_layer(name_of(norm.name)) for norm in norms]
    before = [running(norm) for norm in norms]
    for norm in norms:
        norm.momentum = KEEP
    images = formula.pictures(8, *size)
    pixels = images if name.startswith("mobilenet_v3") else images / 127.5 - 1.0
    expected = without_dropout(reference)(pixels, training=True)
    assert_close(without_dropout(ours)(images, training=True), expected)
    for norm, twin, old in zip(norms, twins, before, strict=True):
        assert_kept(twin, old, of_batch(running(norm), old))


@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", *slow(*LARGE)]
)
def test_equals_keras_applications(name):
    assert_keras_step(name)


@pytest.mark.slow
@pytest.mark.usefixtures("double_precision")
def test_inception_v3_equals_keras_applications():
    """In float64: in float32 the rounding of 94 norms of a batch parts the two by 3e-4."""
    assert_keras_step("inception_v3")
