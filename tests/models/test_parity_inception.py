"""Inception networks against independent ones under identical weights.

keras.applications runs here; the outputs of torchvision, OpenCV (Caffe) and tf_slim were
written by tests/parity/torch_inception.py and slim_inception.py.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy import models
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.models.weightless import weightless
from tests.parity import formula

FULL = pytest.param((224, 224), marks=pytest.mark.slow)
APPLICATIONS = {"inception_v3": "InceptionV3", "inception_resnet_v2": "InceptionResNetV2"}


def give_weights(ours: keras.Model, reference: keras.Model) -> None:
    """The weights of ours into a network of the same graph, layer by layer."""
    pairs = ([layer for layer in model.layers if layer.weights] for model in (ours, reference))
    for layer, twin in zip(*pairs, strict=True):
        twin.set_weights(layer.get_weights())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("inception_v3", (75, 75), marks=pytest.mark.slow),
        ("inception_v3", (96, 107)),
        pytest.param("inception_resnet_v2", (75, 75), marks=pytest.mark.slow),
        pytest.param("inception_resnet_v2", (96, 107), marks=pytest.mark.slow),
    ],
)
def test_equals_keras_applications(name, size):
    build = getattr(keras.applications, APPLICATIONS[name])
    reference = build(weights=None, classes=12, classifier_activation=None, input_shape=(*size, 3))
    ours = fill(models.build(name, num_classes=12, input_size=size))
    give_weights(ours, reference)
    images = formula.pictures(2, *size)
    expected = reference(images / 127.5 - 1.0, training=False)
    assert_close(ours(images, training=False), expected)


def assert_heads(name: str, size: tuple[int, int]) -> dict:
    """The outputs of all heads, which are the stored NAME_SIZE_logits, NAME_SIZE_aux1..."""
    file = "caffe" if name == "googlenet_aux" else "torchvision"
    golden = np.load(GOLDEN / f"inception_{file}.npz")
    title = f"{name}_{size[0]}x{size[1]}_"
    expected = {key.removeprefix(title): golden[key] for key in golden if key.startswith(title)}
    model = fill(models.build(name, num_classes=10, input_size=size))
    outputs = model(formula.pictures(len(expected["logits"]), *size), training=False)
    assert set(outputs) == set(expected)
    for key, value in outputs.items():
        assert_close(value, expected[key])
    return outputs


@pytest.mark.parametrize("size", [(79, 79), (143, 95), FULL])
def test_googlenet_equals_caffe(size):
    """143 x 95 leaves the heads windows that hang over the border."""
    heads = assert_heads("googlenet_aux", size)
    plain = fill(models.build("googlenet", num_classes=10, input_size=size))
    assert_close(plain(formula.pictures(2, *size)), heads["logits"], 1e-6)


@pytest.mark.parametrize("size", [(64, 64), (115, 75), FULL])
def test_googlenet_bn_equals_torchvision(size):
    heads = assert_heads("googlenet_bn_aux", size)
    plain = fill(models.build("googlenet_bn", num_classes=10, input_size=size))
    assert_close(plain(formula.pictures(2, *size)), heads["logits"], 1e-6)


@pytest.mark.parametrize("size", [(299, 299), pytest.param((331, 305), marks=pytest.mark.slow)])
def test_inception_v3_aux_equals_torchvision(size):
    assert_heads("inception_v3_aux", size)


@pytest.mark.parametrize("size", [(64, 64), (97, 75), FULL])
def test_inception_v2_equals_tf_slim(size):
    golden = np.load(GOLDEN / "inception_slim.npz")
    ours = fill(models.build("inception_v2", num_classes=10, input_size=size))
    assert models.count.params(ours) == golden["learnable"]
    assert_close(ours(formula.pictures(2, *size)), golden[f"{size[0]}x{size[1]}"])


@pytest.mark.parametrize("name", ["inception_v3", "inception_resnet_v2"])
def test_maps_of_299_pixels(name):
    model = weightless(name, num_classes=None)
    shapes = {key: tuple(value.shape[1:3]) for key, value in model.output.items()}
    assert shapes == {"s4": (71, 71), "s8": (35, 35), "s16": (17, 17), "s32": (8, 8)}


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("googlenet_aux", (78, 224), "at least 79x79 px, got 78x224: its heads average 5x5"),
        ("inception_v3_aux", (299, 298), "at least 299x299 px, got 299x298: its head needs"),
        ("inception_v3", (74, 75), "at least 75x75 px, got 74x75"),
        ("inception_resnet_v2", (74, 75), "at least 75x75 px, got 74x75"),
        ("inception_v2", (31, 32), "at least 32x32 px, got 31x32"),
    ],
)
def test_small_inputs_are_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, num_classes=3, input_size=size)


def test_dropout_is_where_the_papers_have_it():
    """0.7 in each of GoogLeNet's heads, the caller's before the logits."""
    model = weightless("googlenet_aux", num_classes=3, input_size=(79, 79), dropout=0.4)
    rates = {
        layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    }
    assert rates == {"dropout": 0.4, "aux1_dropout": 0.7, "aux2_dropout": 0.7}
    bare = weightless("inception_v3", num_classes=3, input_size=(75, 75))
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in bare.layers)
