"""Pooling layers against models/arithmetic.py, Keras and bins by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import arithmetic
from convoy.models.pooling import AdaptivePool, Pool, SpatialPyramid, adaptive_pool


def maps(*shape):
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("kind", ["max", "average", "l2"])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_equals_the_arithmetic(kind, size, stride):
    x = maps(2, 9, 8, 3)
    found = np.asarray(Pool(kind, size, stride)(x))
    for b, c in np.ndindex(2, 3):
        expected = arithmetic.pool(x[b, :, :, c], size, stride, kind)
        np.testing.assert_allclose(found[b, :, :, c], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_distance_pooling_is_a_correlation_with_its_weights(size):
    x = maps(2, 7, 6, 3)
    found = np.asarray(Pool("distance", size, 2)(x))
    for b, c in np.ndindex(2, 3):
        expected = arithmetic.correlate(x[b, :, :, c], arithmetic.distance_weights(size))
        np.testing.assert_allclose(found[b, :, :, c], expected[::2, ::2], rtol=1e-5, atol=1e-6)


def caffe_by_loops(x, kind, size, stride, padding):
    """Caffe's rules: sizes up; averages over the window without what hangs beyond the padding."""
    outputs = [-(-(n + 2 * padding - size) // stride) + 1 for n in x.shape]
    found = np.empty(outputs)
    for i, j in np.ndindex(*outputs):
        starts = [k * stride - padding for k in (i, j)]
        ends = [min(s + size, n + padding) for s, n in zip(starts, x.shape, strict=True)]
        count = (ends[0] - starts[0]) * (ends[1] - starts[1])
        window = x[tuple(slice(max(s, 0), e) for s, e in zip(starts, ends, strict=True))]
        found[i, j] = window.max() if kind == "max" else window.sum() / count
    return found


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("sides", [(8, 7), (9, 10), (55, 6)])
def test_rounds_up_as_caffe_does(kind, padding, sides):
    x = maps(*sides) - 5  # a maximum that saw zeros would show
    pool = Pool(kind, 3, 2, padding=padding, ceil=True)
    found = np.asarray(pool(x[None, :, :, None]))
    expected = caffe_by_loops(x, kind, 3, 2, padding)
    np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=1e-5)
    assert pool.compute_output_shape((1, *sides, 1)) == found.shape


def test_sizes_of_alexnet_and_zfnet():
    """55 -> 27 -> 13 -> 6 either way; 110 -> 55 and 26 -> 13 only upwards."""
    shape = Pool("max", 3, 2, ceil=True).compute_output_shape
    assert [shape((None, n, None, 8)) for n in (55, 110, 26)] == [
        (None, 27, None, 8),
        (None, 55, None, 8),
        (None, 13, None, 8),
    ]
    assert Pool("max", 3, 2).compute_output_shape((None, 110, 26, 8)) == (None, 54, 12, 8)


def test_l2_of_zeros_has_a_finite_gradient():
    x = tf.zeros((1, 4, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = Pool("l2", 2)(x)
    assert np.isfinite(tape.gradient(y, x)).all()


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"kind of max, .*, got 'mean'"):
        Pool("mean")
    with pytest.raises(ValueError, match="padding 2 is too large for windows of 3"):
        Pool("max", 3, 2, padding=2, ceil=True)


def test_bins_by_hand():
    """Of 0..6, five bins are 0-1, 1-2, 2-4, 4-5, 5-6."""
    x = np.float32([0, 1, 2, 3, 4, 5, 6])[None, :, None, None]
    np.testing.assert_array_equal(adaptive_pool(x, 5)[0, :, 0, 0], [1, 2, 4, 5, 6])
    averages = adaptive_pool(x, 5, "average")[0, :, 0, 0]
    np.testing.assert_allclose(averages, [0.5, 1.5, 3, 4.5, 5.5])


def test_more_bins_than_positions_repeat():
    x = np.float32([7, 9])[None, :, None, None]
    np.testing.assert_array_equal(adaptive_pool(x, 3)[0, :, 0, 0], [7, 9, 9])


@pytest.mark.parametrize("n", [6, 3, 2, 1])
def test_bins_are_the_papers_windows_at_its_own_size(n):
    """a = 13: max pooling by ceil(a / n) at stride floor(a / n)."""
    x = maps(2, 13, 13, 4)
    windows = keras.ops.max_pool(x, -(-13 // n), 13 // n)
    np.testing.assert_array_equal(adaptive_pool(x, n), windows)


def test_pyramid_has_one_length_and_order():
    """Level by level, each row by row, channels last; sizes known or not."""
    pyramid = SpatialPyramid((2, 1))
    x = np.arange(2 * 5 * 4 * 3, dtype=np.float32).reshape(2, 5, 4, 3)
    quarters = [x[:, :3, :2], x[:, :3, 2:], x[:, 2:, :2], x[:, 2:, 2:], x]
    expected = np.concatenate([q.max((1, 2)) for q in quarters], axis=1)
    np.testing.assert_array_equal(pyramid(x), expected)
    image = keras.Input((None, None, 3))
    any_size = keras.Model(image, pyramid(image))
    assert any_size.output_shape == (None, 15)
    in_graph = tf.function(any_size, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_array_equal(in_graph(x), expected)


@pytest.mark.parametrize(
    "layer",
    [Pool("average", 3, 2, padding=1, ceil=True), AdaptivePool(3, "max"), SpatialPyramid((3, 1))],
    ids=lambda layer: type(layer).__name__,
)
def test_saved_settings_come_back(layer):
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    x = maps(1, 8, 9, 2)
    np.testing.assert_array_equal(twin(x), layer(x))
    assert twin.compute_output_shape(x.shape) == layer(x).shape
