"""Pruned networks: smaller, and equal to the whole network with the other channels unheard."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import count, pruning


def _weighted(name: str, size: int, **options) -> keras.Model:
    """A network whose BatchNorms have seen something: no scale is 1, no mean 0."""
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    model = models.build(name, num_classes=5, input_size=(size, size), **options)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            low, high = np.array([[0.2, -0.5, -0.3, 0.5], [1.5, 0.5, 0.3, 1.5]])
            layer.set_weights(
                [
                    rng.uniform(a, b, w.shape)
                    for a, b, w in zip(low, high, layer.get_weights(), strict=True)
                ]
            )
    return model


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 255, (3, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize(
    ("name", "options", "makers"),
    [
        ("mobilenet_v1", {"width": 0.25}, 14),  # the stem and 13 pointwise layers
        ("resnet18", {}, 8),  # the first convolution of each block
        ("vgg11", {}, 10),  # 8 convolutions, 2 full layers
        pytest.param("resnet50", {}, 32, marks=pytest.mark.slow),  # two of each of 16 blocks
    ],
)
def test_the_smaller_network_equals_the_whole_with_channels_unheard(
    name, options, makers, pictures
):
    model = _weighted(name, 32, **options)
    found = pruning.importance(model, "weights")
    assert len(found) == makers
    stays = pruning.choose(found, 0.6)
    small, same = pruning.pruned(model, stays), pruning.silenced(model, stays)
    assert count.params(small) < 0.8 * count.params(model)
    assert count.macs(small) < 0.9 * count.macs(model)
    expected = same(pictures, training=False).numpy()
    largest = np.abs(expected).max()
    assert np.abs(small(pictures, training=False).numpy() - expected).max() < 1e-5 * largest
    # and the channels do matter, else the comparison says nothing
    assert np.abs(model(pictures, training=False).numpy() - expected).max() > 1e-2 * largest


def test_keeping_all_changes_nothing(pictures):
    model = _weighted("mobilenet_v1", 32, width=0.25)
    stays = pruning.choose(pruning.importance(model, "weights"), 1.0)
    small = pruning.pruned(model, stays)
    for mine, theirs in zip(small.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _tiny(kernel1, kernel2, gamma=None) -> keras.Model:
    """2 pixels a side, 1 channel -> 3 channels -> ReLU -> flattened -> 1 value."""
    image = keras.Input((2, 2, 1))
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="make")(image)
    if gamma is not None:
        x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flat")(keras.layers.Activation("relu", name="relu")(x))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, name="read")(x))
    model.get_layer("make").set_weights([np.reshape(kernel1, (1, 1, 1, 3))])
    model.get_layer("read").set_weights([np.reshape(kernel2, (12, 1))])
    if gamma is not None:
        model.get_layer("norm").gamma.assign(gamma)
    return model


def test_importances_by_hand():
    """Rows of the reader are position * 3 + channel: channel 0 reads 1+1+1+1, 1: 4*2, 2: 4*0.5."""
    read = [1, -2, 0.5] * 4
    plain = _tiny([1, -1, 2], read)
    assert list(pruning.chains(plain)) == ["make"]
    np.testing.assert_allclose(pruning.importance(plain, "weights")["make"], [4, 8, 4])
    scaled = _tiny([1, -1, 2], read, gamma=[0.5, -1, 3])
    np.testing.assert_allclose(pruning.importance(scaled, "weights")["make"], [2, 8, 6])
    batch = np.reshape([1, 2, 3, 4, -1, 0, 0, 0], (2, 2, 2, 1)).astype("float32")
    # ReLU leaves 1 2 3 4 (mean of 8: 1.25), the other sign 1 (0.125), and twice 1 2 3 4 (2.5)
    found = pruning.importance(plain, "activation", [batch])["make"]
    np.testing.assert_allclose(found, [1.25 * 4, 0.125 * 8, 2.5 * 2])


def test_the_least_of_all_layers_go_and_each_layer_keeps_some():
    found = {"a": np.array([3.0, 4.0, 0.0, 0.0]), "b": np.array([6.0, 0.0, 8.0, 0.1])}
    stays = pruning.choose(found, 0.5)
    # in parts of the means: 1.71 2.29 0 0 and 1.70 0 2.27 0.03
    assert {k: v.tolist() for k, v in stays.items()} == {"a": [0, 1], "b": [0, 2]}
    # the large one's part is 40, those of b are 1: 41 of 45 would leave one channel of a
    few = pruning.choose({"a": np.array([0.0] * 39 + [9.0]), "b": np.full(5, 9.0)}, 0.1)
    assert {k: v.tolist() for k, v in few.items()} == {"a": [36, 37, 38, 39], "b": [1, 2, 3, 4]}


def test_dead_channels_go_even_where_they_are_many():
    stays = pruning.choose({"a": np.array([0.0, 0.0, 0.0, 5.0]), "b": np.array([1.0, 1.0])}, 0.5)
    assert {k: v.tolist() for k, v in stays.items()} == {"a": [3], "b": [0, 1]}


def test_wrong_requests_are_named():
    model = _tiny([1, 1, 1], np.ones(12))
    with pytest.raises(ValueError, match=r"keep: expected a part in \(0, 1\], got 0"):
        pruning.choose({"a": np.ones(3)}, 0)
    with pytest.raises(ValueError, match="criterion 'size': expected one of activation, weights"):
        pruning.importance(model, "size")
    with pytest.raises(ValueError, match="expected pictures to measure on, got none"):
        pruning.importance(model, "activation")
    with pytest.raises(ValueError, match=r"model.widths: .* has no layer stem"):
        pruning.narrowed(model, {"stem": 3})
