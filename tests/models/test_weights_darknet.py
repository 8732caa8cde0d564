"""Darknet's .weights into our networks: written here in the .cfg's order, byte by byte.

tests/golden/darknet.npz holds what OpenCV computes with the authors' .cfg files and the same
numbers (tests/parity/darknet_reference.py).
"""

from __future__ import annotations

import pathlib
import struct

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.weights import darknet, load
from tests.models.test_parity import GOLDEN, assert_close
from tests.parity import formula
from tests.parity.darknet_reference import GAIN, names_of

OLD, NEW = struct.pack("<4i", 0, 1, 0, 32_013_312), struct.pack("<3iQ", 0, 2, 5, 32_013_312)


def kernel(model: keras.Model, name: str) -> np.ndarray:
    """Formula weights as the golden outputs were computed with, in darknet's layout."""
    shape = tuple(model.get_layer(name).kernel.shape)
    if len(shape) == 2:  # a 1x1 convolution in the .cfg
        shape = (1, 1, *shape)
    return GAIN * formula.weight(f"{name}/kernel", shape).transpose(3, 2, 0, 1)


def write(path: pathlib.Path, network: str, model: keras.Model, header=NEW, head=True) -> bytes:
    values = []
    for name in names_of(network)[: None if head else -1]:
        filters = kernel(model, name)
        if name == "logits":
            values.append(formula.weight("logits/bias", (len(filters),)))
        else:
            kinds = ("beta", "gamma", "moving_mean", "moving_variance")
            rows = [formula.weight(f"{name}_norm/{kind}", (len(filters),)) for kind in kinds]
            rows[3] = (np.sqrt(rows[3] + 1e-5) - 1e-6) ** 2  # darknet.py, the other way round
            values += rows
        values.append(filters)
    data = header + b"".join(np.ascontiguousarray(v, np.float32).tobytes() for v in values)
    path.write_bytes(data)
    return data


def build(network: str, num_classes: int = 10) -> keras.Model:
    return models.build(network, num_classes=num_classes, input_size=(64, 64))


@pytest.mark.parametrize(
    ("network", "header"),
    [
        ("darknet19", OLD),
        pytest.param("darknet53", NEW, marks=pytest.mark.slow),
        pytest.param("cspdarknet53", NEW, marks=pytest.mark.slow),
    ],
)
def test_outputs_are_opencv_s(network, header, tmp_path):
    model = build(network)
    write(tmp_path / "net.weights", network, model, header)
    report = load.load(model, network, tmp_path / "net.weights")
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    outputs = model(formula.pictures(2, 64, 64), training=False)
    assert_close(outputs, np.load(GOLDEN / "darknet.npz")[f"{network}_64x64"], 1e-5)


def test_lengths_have_to_fit(tmp_path):
    model, path = build("darknet19"), tmp_path / "net.weights"
    whole = write(path, "darknet19", model)
    first = model.get_layer("stage1_conv1").kernel
    fresh = np.asarray(first)
    for data in (whole[:-4], whole + bytes(4), whole[:-3], whole[:10], OLD + whole[20:-4]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"net\.weights"):
            load.load(model, "darknet19", path)
    np.testing.assert_array_equal(first, fresh)

    other = build("darknet19", num_classes=3)
    path.write_bytes(whole)
    report = load.load(other, "darknet19", path)
    assert len(report.mismatched) == 2
    assert "logits/kernel (1, 1, 1024, 10) -> (1, 1, 1024, 3)" in report.mismatched

    cut = tmp_path / "darknet19.conv.23"
    write(cut, "darknet19", model, head=False)
    assert load.load(model, "darknet19", cut).missing == ["logits/kernel", "logits/bias"]
    np.testing.assert_allclose(first, kernel(model, "stage1_conv1").transpose(2, 3, 1, 0))


@pytest.mark.slow
def test_a_body_leaves_the_head_in_the_file(tmp_path):
    """Without a head the file's classes are not known: any number of them is."""
    path, body = tmp_path / "net.weights", build("darknet19", num_classes=None)
    for classes in (10, 7):
        whole = write(path, "darknet19", build("darknet19", num_classes=classes))
        report = load.load(body, "darknet19", path)
        assert (report.unused, report.missing, report.mismatched) == (["logits"], [], [])
    first = body.get_layer("stage1_conv1").kernel
    np.testing.assert_allclose(first, kernel(body, "stage1_conv1").transpose(2, 3, 1, 0))
    path.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match="weights of another network, or cut off"):
        load.load(body, "darknet19", path)


def test_connected_layers_are_turned_in_versions_over_1000(tmp_path):
    """biases, then (out, in), or (in, out) where minor > 1000; 16 bytes of header there."""
    weights = np.arange(6, dtype=np.float32)
    units = [darknet.Unit("fc", (3, 2))]
    for minor, expected in ((1, weights.reshape(2, 3)), (1001, weights.reshape(3, 2).T)):
        header = struct.pack("<4i", 0, minor, 0, 0)
        path = tmp_path / "fc.weights"
        path.write_bytes(header + np.float32([8, 9]).tobytes() + weights.tobytes())
        found = darknet.read(path, units)["fc"]
        np.testing.assert_array_equal(found["bias"], [8, 9])
        np.testing.assert_array_equal(found["kernel"], expected)
