"""Darknet's files of whole detectors and of their bodies, in the order of the authors' .cfg."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.keras_internals import without_values
from convoy.models.weights import convert, load, sources
from tests.parity import darknet_cfg
from tests.parity.darknet_reference import channels, sections

# yolov1_darknet's file is in test_parity_yolov1.py.
DETECTORS = [name for name in models.list_models("detection") if name in darknet_cfg.LINES]
TINY, SIZE = "yolov3_tiny", (64, 64)
BODY = 6  # convolutions of its backbone


def test_every_detector_of_darknet_s_files_is_among_them():
    known = {name for name in models.list_models("detection") if sources.of("darknet", name)}
    assert known - set(DETECTORS) == {"yolov1_darknet"}


def file(path, classes: int) -> bytes:
    data = darknet_cfg.weights(darknet_cfg.cfg(TINY, classes, *SIZE))
    path.write_bytes(data)
    return data


def build(classes: int = 3) -> keras.Model:
    return models.build_task(TINY, num_classes=classes, input_size=SIZE).model


@pytest.mark.parametrize("network", DETECTORS)
def test_layers_come_in_the_order_of_the_cfg(network):
    """Kernel's shape and whether it is normalised, of every convolution; none is left over."""
    with without_values():
        model = models.build_task(network).model
    graph = convert.Graph(model)
    order = sources.of("darknet", network).names(graph.layers)
    kernels = [graph.layers[name].kernel.shape for name in order]
    ours = [
        (inputs, outputs, side, name in graph.norms)
        for name, (side, _, inputs, outputs) in zip(order, kernels, strict=True)
    ]
    classes = models.describe(network).num_classes
    cfg = darknet_cfg.cfg(network, classes, *models.describe(network).preprocess.size)
    assert ours == channels(sections(cfg))
    assert len(order) == len([layer for layer in model.layers if hasattr(layer, "kernel")])


def test_heads_of_other_classes_start_fresh(tmp_path):
    model, path = build(3), tmp_path / "net.weights"
    fresh = [np.array(weight) for weight in model.get_layer("s16_logits").weights]
    file(path, 5)
    report = load.load(model, TINY, path)
    heads = {f"s{stride}_logits" for stride in (16, 32)}
    assert {entry.split("/")[0] for entry in report.mismatched} == heads
    assert "s32_logits/kernel (1, 1, 512, 30) -> (1, 1, 512, 24)" in report.mismatched
    for ours, before in zip(model.get_layer("s16_logits").weights, fresh, strict=True):
        np.testing.assert_array_equal(ours, before)

    other = build(5)
    assert load.load(other, TINY, path).mismatched == []
    for name in ("stage1_conv1", "s16_conv1", "s16_conv1_norm"):  # the last one behind a head
        for ours, theirs in zip(
            model.get_layer(name).weights, other.get_layer(name).weights, strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_lengths_have_to_fit(tmp_path):
    model, path = build(), tmp_path / "net.weights"
    whole = file(path, 3)
    for data in (whole[:-4], whole + bytes(4), whole[:4_000_020]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="weights of another network, or cut off"):
            load.load(model, TINY, path)


def test_a_file_cut_off_behind_the_body(tmp_path):
    """darknet partial net.cfg net.weights net.conv.11 11: the layers before the last pooling."""
    model, path = build(), tmp_path / "net.conv.11"
    fresh = np.array(model.get_layer("s32_conv1").kernel)
    whole = file(path, 3)
    parts = channels(sections(darknet_cfg.cfg(TINY, 3, *SIZE)))[:BODY]
    count = sum(out * (4 + side * side * inputs) for inputs, out, side, _ in parts)
    path.write_bytes(whole[: 20 + 4 * count])
    report = load.load(model, TINY, path)
    assert {entry.split("/")[0][:5] for entry in report.matched} == {"stage"}
    assert len(report.matched) == BODY * 5
    np.testing.assert_array_equal(model.get_layer("s32_conv1").kernel, fresh)
    with pytest.raises(ValueError, match="expected"):
        load.load(model, TINY, path.rename(tmp_path / "net.weights"))


def test_a_detector_on_another_body_takes_that_body_s_files():
    with pytest.raises(ValueError, match=r"does not hold resnet50: .*leaky ReLUs"):
        load.form("yolov3", pathlib.Path("yolov3.weights"), backbone="resnet50")
