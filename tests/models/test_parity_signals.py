"""Networks of sounds and series against NumPy loops in float64."""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from convoy.models.signals import spectrogram_cnn
from tests.models.test_parity import assert_close, fill

DRAW = np.random.default_rng(1)
# Layers of each group, and whether its maps are pooled, by the paper's table.
GROUPS = {
    "wave_m3": [(1, True), (1, True)],
    "wave_m5": [(1, True), (1, True), (1, True), (1, True)],
    "wave_m11": [(1, True), (2, True), (2, True), (3, True), (2, False)],
    "wave_m18": [(1, True), (4, True), (4, True), (4, True), (4, False)],
}


def convolved(x, kernel, bias=0.0, stride=1):
    """[T, C] by [width, C, F], padded as TensorFlow's "same"."""
    width = len(kernel)
    count = -(-len(x) // stride)
    missing = max((count - 1) * stride + width - len(x), 0)
    x = np.pad(x, [(missing // 2, missing - missing // 2), (0, 0)])
    windows = [x[i * stride : i * stride + width].ravel() for i in range(count)]
    return np.array(windows) @ kernel.reshape(-1, kernel.shape[-1]) + bias


def normalized(x, gamma, beta, mean, variance, epsilon=1e-3):
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def pooled(x, size):
    return np.array([x[i : i + size].max(0) for i in range(0, len(x) - size + 1, size)])


def weights(model, name):
    return [np.float64(value) for value in model.get_layer(name).get_weights()]


@pytest.mark.parametrize("name", ["series_fcn"])
@pytest.mark.parametrize("samples", [64, 61])
def test_series_equal_numpys_loops(name, samples):
    model = fill(models.build(name, series=(samples, 3), num_classes=4))
    x = DRAW.normal(size=(2, samples, 3))
    expected = []
    for row in x:
        for number in (1, 2, 3):
            row = convolved(row, *weights(model, f"conv{number}"))
            row = np.maximum(normalized(row, *weights(model, f"bn{number}")), 0)
        kernel, bias = weights(model, "logits")
        expected.append(row.mean(0) @ kernel + bias)
    assert_close(model(np.float32(x)), expected)


@pytest.mark.parametrize("name", ["wave_m3", "wave_m5", "wave_m11", "wave_m18"])
@pytest.mark.parametrize("samples", [1024, 1501])
def test_waves_equal_numpys_loops(name, samples):
    model = fill(models.build(name, samples=samples, num_classes=3))
    x = DRAW.normal(size=(samples, 1))
    row = x
    for group, (count, is_pooled) in enumerate(GROUPS[name], start=1):
        for number in range(1, count + 1):
            (kernel,) = weights(model, f"conv{group}_{number}")
            row = convolved(row, kernel, stride=4 if group == 1 else 1)
            row = np.maximum(normalized(row, *weights(model, f"conv{group}_{number}_bn")), 0)
        row = pooled(row, 4) if is_pooled else row
    kernel, bias = weights(model, "logits")
    assert_close(model(np.float32(x)[None])[0], row.mean(0) @ kernel + bias)


@pytest.mark.parametrize("name", ["cnn_trad_fpool3"])
@pytest.mark.parametrize(("samples", "columns"), [(4960, 32), (4481, 29)])
def test_spectrograms_equal_numpys_loops(name, samples, columns):
    """From the log-mel spectrogram on, which test_signals.py compares."""
    model = fill(models.build(name, samples=samples, num_classes=4))
    x = np.float32(DRAW.normal(size=(1, samples, 1)))
    maps = np.float64(spectrogram_cnn.LogMel(16_000)(x))[0]
    assert maps.shape == (columns, 40, 1)

    def valid(x, kernel, bias):
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (0, 1))
        return np.maximum(np.einsum("abchw,hwcf->abf", windows, kernel) + bias, 0)

    row = valid(maps, *weights(model, "conv1"))
    row = row[:, :33].reshape(columns - 19, 11, 3, 64).max(2)
    row = valid(row, *weights(model, "conv2")).ravel()
    for layer in ("low_rank", "dense", "logits"):
        kernel, bias = weights(model, layer)
        row = row @ kernel + bias
        row = np.maximum(row, 0) if layer == "dense" else row
    assert_close(model(x)[0], row)
