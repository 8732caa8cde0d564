"""Networks of features: what they read, and that joined ones are their parts side by side."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import count
from convoy.models.classification import extraction

SIZE = (32, 32)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype("float32")


def _mobilenet(width: float = 0.25, size=SIZE) -> keras.Model:
    return models.build("mobilenet_v1", num_classes=7, input_size=size, width=width)


def _build(*networks, **options):
    info = models.describe("mobilenet_v1")
    info = dataclasses.replace(info, preprocess=dataclasses.replace(info.preprocess, size=SIZE))
    return extraction.build(
        [("mobilenet_v1", model, layer) for model, layer in networks],
        info,
        num_classes=3,
        **options,
    )


def _features(task, pictures) -> np.ndarray:
    probe = keras.Model(task.model.input, task.model.get_layer(extraction.FEATURES).output)
    return probe(pictures, training=True).numpy()


def test_by_default_it_reads_what_the_last_layer_sees(pictures):
    network = _mobilenet()
    task = _build((network, None))
    seen = keras.Model(network.input, network.get_layer("logits").input)(pictures, training=False)
    expected = seen.numpy()[:, 0, 0]
    # with training=True too: the frozen backbone's BatchNorm stays in inference mode
    np.testing.assert_allclose(_features(task, pictures), expected, rtol=1e-6)
    assert expected.std() > 0
    assert [v.path for v in task.model.trainable_variables] == ["logits/kernel", "logits/bias"]
    assert task.info.params == count.params(task.model) == count.params(network) - 4 * 257
    assert task.info.macs == count.macs(network) - 4 * 256


def test_a_map_is_averaged_and_vectors_have_length_one(pictures):
    network = _mobilenet()
    task = _build((network, "block5_pointwise_relu"), unit_length=True)
    seen = keras.Model(network.input, network.get_layer("block5_pointwise_relu").output)
    expected = seen(pictures, training=False).numpy().mean((1, 2))
    np.testing.assert_allclose(_features(task, pictures), expected, rtol=1e-5)
    unit = keras.Model(task.model.input, task.model.get_layer("unit_length").output)(pictures)
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(unit.numpy(), expected / norms, rtol=1e-5)


def test_joined_networks_stand_side_by_side(pictures):
    small, wide = _mobilenet(), _mobilenet(0.5, (48, 48))
    task = _build((small, None), (wide, "block5_pointwise_relu"))
    alone = _features(_build((small, None)), pictures)
    enlarged = keras.layers.Resizing(48, 48)(pictures)
    other = _features(_build((wide, "block5_pointwise_relu")), enlarged)
    joined = _features(task, pictures)
    np.testing.assert_allclose(joined, np.concatenate([alone, other], 1), rtol=1e-5, atol=1e-6)
    assert task.info.name == "mobilenet_v1_and_mobilenet_v1"
    assert [v.path for v in task.model.trainable_variables] == ["logits/kernel", "logits/bias"]
    parts = [task.model.get_layer(f"mobilenet_v1_{i}") for i in (1, 2)]
    assert task.info.macs == sum(map(count.macs, parts)) + 3 * (256 + 128)


def test_the_logits_of_another_task_are_features_too(pictures):
    network = _mobilenet()
    task = _build((network, "logits"))
    expected = network(pictures, training=False).numpy()
    np.testing.assert_allclose(_features(task, pictures), expected, rtol=1e-5)


def test_wrong_requests_are_named():
    with pytest.raises(ValueError, match=r"no layer 'block5'; the closest are .*block5_"):
        _build((_mobilenet(), "block5"))
    gray = models.build("lenet5", num_classes=4)
    with pytest.raises(ValueError, match="lenet5 takes 1 channels, the first network 3"):
        extraction.build(
            [("mobilenet_v1", _mobilenet(), None), ("lenet5", gray, None)],
            models.describe("mobilenet_v1"),
            num_classes=3,
        )
