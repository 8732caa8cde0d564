"""The networks of 1989, 1998 and 2009, and of words, against NumPy, connection by connection."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import arithmetic, connections
from convoy.models.classification import caltech, lecun1989
from tests.models.test_normalization import contrast_by_loops
from tests.models.test_parity import assert_close, fill
from tests.models.test_text_cnn import NAMES as TEXT_CNNS
from tests.models.test_text_cnn import WORDS, loops
from tests.parity import formula


def weights_of(model) -> dict:
    return {v.path: v.numpy().astype(float) for layer in model.layers for v in layer.weights}


def correlate_maps(x, kernel, table, stride=1):
    """[H, W, C] by kernel [h, w, F, outputs]: output o sees the maps of table[o]."""
    planes = []
    for o, sources in enumerate(table):
        pairs = [arithmetic.correlate(x[..., s], kernel[:, :, f, o], stride) for f, s in sources]
        planes.append(sum(pairs))
    return np.stack(planes, axis=-1)


def test_lecun1989_equals_loops():
    model = fill(models.build("lecun1989"))
    w = weights_of(model)
    images = formula.pictures(3, 16, 16, channels=1)
    # The twelve maps of H2 in three groups of four, as the repository wires them.
    low, high, cross = range(8), range(4, 12), [*range(4), *range(8, 12)]
    table = [list(enumerate(sources)) for sources in [low] * 4 + [high] * 4 + [cross] * 4]

    def squash(x):
        return 1.7159 * np.tanh(2 * x / 3)

    def pad(x):
        return np.pad(x, [(2, 2), (2, 2), (0, 0)], constant_values=-1)

    expected = []
    for image in images:
        x = pad(image.astype(float) / 127.5 - 1)
        x = correlate_maps(x, w["h1_conv/kernel"], [[(0, 0)]] * 12, 2) + w["h1_bias/bias"]
        x = correlate_maps(pad(squash(x)), w["h2_conv/kernel"], table, 2) + w["h2_bias/bias"]
        x = squash(squash(x).reshape(-1) @ w["h3/kernel"] + w["h3/bias"])
        expected.append(x @ w["logits/kernel"] + w["logits/bias"])
    assert_close(model(images), np.stack(expected))


def test_lenet5_equals_loops():
    """28 px alone: the full layers take the 5 x 5 map that it leaves."""
    model = fill(models.build("lenet5"))
    w = weights_of(model)
    expected = []
    for image in formula.pictures(3, 28, 28, channels=1):
        x = np.pad(image.astype(float) / 255 * 1.275 - 0.1, [(2, 2), (2, 2), (0, 0)])
        for layer, maps in (("conv1", 1), ("conv2", 6)):
            kernel, bias = w[f"{layer}/kernel"], w[f"{layer}/bias"]
            sources = list(zip(range(maps), range(maps), strict=True))
            x = np.tanh(correlate_maps(x, kernel, [sources] * len(bias)) + bias)
            x = (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4
        x = x.reshape(-1)
        for layer in ("fc1", "fc2"):
            x = np.tanh(x @ w[f"{layer}/kernel"] + w[f"{layer}/bias"])
        expected.append(x @ w["logits/kernel"] + w["logits/bias"])
    assert_close(model(formula.pictures(3, 28, 28, channels=1)), np.stack(expected))


def test_lecun1989_has_the_papers_units_and_connections():
    """1,256 units with the input's 256; 64,660 connections with biases."""
    backbone = models.build("lecun1989", num_classes=None)
    maps = {key: tuple(value.shape[1:]) for key, value in backbone.output.items()}
    assert maps == {"s2": (8, 8, 12), "s4": (4, 4, 12)}
    units = 768 + 192 + 30 + 10
    assert 16 * 16 + units == 1256
    assert models.describe("lecun1989").macs + units == 64_660
    seen = np.bincount(np.concatenate(lecun1989.H2_TABLE), minlength=12)
    np.testing.assert_array_equal(seen, 8)


SMALL, LARGER = ((83, 83), (14, 14, 64)), ((104, 89), (18, 15, 64))


@pytest.mark.parametrize(
    ("name", "size", "maps"),
    [
        ("caltech_convnet", *SMALL),
        ("caltech_convnet", *LARGER),
        ("caltech_convnet_max", *SMALL),
        ("caltech_convnet_max", *LARGER),
        ("caltech_convnet_rn", *SMALL),
        pytest.param("caltech_convnet_rn", *LARGER, marks=pytest.mark.slow),
    ],
)
def test_caltech_equals_numpy(name, size, maps):
    """104 x 89 leaves both poolings a remainder, and the classes a map of 2 x 1."""
    model = fill(models.build(name, num_classes=7, input_size=size))
    w = weights_of(model)
    (image,) = formula.pictures(1, *size, channels=1)
    kind = "max" if name.endswith("max") else "average"

    def stage(x, size, stride):
        x = np.tanh(x)
        if name.endswith("rn"):
            x = contrast_by_loops(np.abs(x), 9)
        planes = [arithmetic.pool(x[..., c], size, stride, kind) for c in range(x.shape[-1])]
        return np.stack(planes, axis=-1)

    x = image.astype(float) / 127.5 - 1
    x = correlate_maps(x, w["stage1_conv/kernel"], [[(0, 0)]] * 64) + w["stage1_conv/bias"]
    x = stage(x, 10, 5)
    assert x.shape == maps
    table = [list(enumerate(row)) for row in caltech.TABLE]
    x = correlate_maps(x, w["stage2_conv/kernel"], table) + w["stage2_conv/bias"]
    x = stage(x, 6, 4).reshape(-1)
    assert_close(model(image[None])[0], x @ w["logits/kernel"] + w["logits/bias"])


@pytest.mark.parametrize("name", TEXT_CNNS)
def test_text_cnn_equals_loops_on_sentences_of_its_own_length(name):
    """64 words with the margins; tests/models/test_text_cnn.py has 15."""
    task = models.build_task(name, vocabulary=WORDS, num_classes=3)
    for weight in task.model.weights:
        if "vectors" not in weight.path:
            weight.assign(formula.weight(weight.path, weight.shape))
    numbers = np.random.default_rng(0).integers(0, len(WORDS) + 2, (2, 64))
    expected = np.stack([loops(task, row) for row in numbers])
    assert_close(task.model(numbers), expected)


def test_table_of_connections_is_drawn_once_and_evenly():
    table = caltech.TABLE
    assert table == connections.random_table(256, 16, 64, seed=0)
    assert table != connections.random_table(256, 16, 64, seed=1)
    assert all(len(set(row)) == 16 for row in table)
    seen = np.bincount(np.concatenate(table), minlength=64)
    assert seen.sum() == 4096
    assert seen.min() > 30  # of 64 expected


def test_table_conv_keeps_its_table_when_saved(tmp_path):
    image = keras.Input((9, 9, 3))
    layer = connections.TableConv([[0, 2], [1, 2]], 3, 2, kernel_initializer="he_normal")
    model = keras.Model(image, layer(image))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = formula.pictures(1, 9, 9)
    assert model.output_shape == (None, 4, 4, 2)
    np.testing.assert_array_equal(loaded(x), model(x))
    with pytest.raises(ValueError, match="as many connections"):
        connections.TableConv([[0], [1, 2]], 3)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("lecun1989", 28, "16x16 px, got 28x28: every unit"),
        ("caltech_convnet", 82, "at least 83x83 px, got 82x82"),
    ],
)
def test_wrong_sizes(name, size, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, input_size=(size, size))
