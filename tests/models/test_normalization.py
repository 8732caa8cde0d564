"""Local normalisation against loops over each value."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy.models.normalization import (
    LocalContrastNorm,
    LocalResponseNorm,
    WithinChannelNorm,
    gaussian,
)


def maps(*shape):
    return np.random.default_rng(0).normal(0, 30, shape).astype(np.float32)


@pytest.mark.parametrize("mean", [False, True])
def test_response_norm_is_its_formula(mean):
    x = maps(2, 3, 2, 7)
    expected = np.empty_like(x)
    rate = 1e-2 / 5 if mean else 1e-2
    for index in np.ndindex(x.shape):
        c = index[-1]
        near = x[index[:-1]][max(0, c - 2) : c + 3]
        expected[index] = x[index] / (2 + rate * (near**2).sum()) ** 0.75
    found = LocalResponseNorm(5, k=2.0, alpha=1e-2, beta=0.75, mean=mean)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_response_norm_by_hand():
    """Of (3, 4) in a window of 3 with k = 0, alpha 1, beta 1/2: both over 5."""
    x = np.float32([[[[3, 4]]]])
    found = LocalResponseNorm(3, k=0.0, alpha=1.0, beta=0.5)(x)
    np.testing.assert_allclose(found, [[[[0.6, 0.8]]]], rtol=1e-6)


def test_within_channel_norm_counts_the_border_as_zeros():
    x = maps(1, 4, 5, 2)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.empty_like(x)
    for b, i, j, c in np.ndindex(x.shape):
        mean = (padded[b, i : i + 3, j : j + 3, c] ** 2).sum() / 9
        expected[b, i, j, c] = x[b, i, j, c] / (1 + 1e-2 * mean) ** 0.75
    found = WithinChannelNorm(3, alpha=1e-2)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def contrast_by_loops(x, size):
    """[H, W, C], Jarrett's two equations position by position."""
    weights, reach = gaussian(size, size / 4).astype(float), size // 2

    def around(values):
        out = np.zeros(values.shape[:2])
        for i, j in np.ndindex(out.shape):
            total = weight = 0.0
            for a, b in np.ndindex(size, size):
                y, z = i + a - reach, j + b - reach
                if 0 <= y < out.shape[0] and 0 <= z < out.shape[1]:
                    total += weights[a, b] * values[y, z].mean()
                    weight += weights[a, b]
            out[i, j] = total / weight
        return out

    v = x - around(x)[:, :, None]
    deviation = np.sqrt(around(v**2))
    return v / np.maximum(deviation, deviation.mean())[:, :, None]


def test_contrast_norm_is_its_formula():
    x = maps(2, 7, 6, 3)
    expected = np.stack([contrast_by_loops(each.astype(float), 5) for each in x])
    np.testing.assert_allclose(LocalContrastNorm(5)(x), expected, rtol=1e-4, atol=1e-5)


def test_contrast_norm_forgets_brightness_and_contrast():
    x = maps(1, 12, 12, 1)
    norm = LocalContrastNorm(5)
    np.testing.assert_allclose(norm(3 * x + 50), norm(x), atol=1e-4)


def test_flat_picture_has_a_finite_gradient():
    import tensorflow as tf

    x = tf.ones((1, 8, 8, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = LocalContrastNorm(5)(x)
    np.testing.assert_allclose(y, 0, atol=1e-2)
    assert np.isfinite(tape.gradient(y, x)).all()


def test_gaussian_sums_to_one():
    kernel = gaussian(9, 2.25)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert kernel[4, 4] / kernel[4, 7] == pytest.approx(np.exp(9 / (2 * 2.25**2)), rel=1e-5)


@pytest.mark.parametrize("layer", [LocalResponseNorm, WithinChannelNorm, LocalContrastNorm])
def test_even_windows_have_no_centre(layer):
    with pytest.raises(ValueError, match="odd size, got 4"):
        layer(4)


@pytest.mark.parametrize(
    "layer",
    [LocalResponseNorm(3, 1.0, 0.5, 0.7, True), WithinChannelNorm(5, 0.2), LocalContrastNorm(7)],
    ids=lambda layer: type(layer).__name__,
)
def test_saved_settings_come_back(layer):
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    x = maps(1, 9, 9, 4)
    np.testing.assert_array_equal(twin(x), layer(x))
    assert twin.compute_output_shape(x.shape) == x.shape
