"""Larger maps by hand numbers and loops: deconvolution, resizing, unpooling by places."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import arithmetic, count, upsampling
from convoy.models.keras_internals import without_values
from convoy.models.segmentation.dilated import BORDER, DILATIONS, LARGE, Identity, context
from convoy.models.upsampling import BilinearDeconvolution, MaxPoolWithPlaces, Resize, Unpool


def test_filters_by_hand():
    np.testing.assert_array_equal(upsampling.bilinear_filter(4), [0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(upsampling.bilinear_filter(3), [0.5, 1, 0.5])
    assert upsampling.bilinear_filter(63).argmax() == 31


def test_a_deconvolution_enlarges_each_channel_alone():
    """[4, 8] twice as large, by a filter of 1/4, 3/4, 3/4, 1/4: in the middle 4, 5, 7, 8."""
    x = np.zeros((1, 2, 2, 2), np.float32)
    x[0, :, 0, 0], x[0, :, 1, 0] = 4, 8
    layer = BilinearDeconvolution(4, 2)
    found = np.asarray(layer(x))
    assert found.shape == (1, 6, 6, 2)
    np.testing.assert_allclose(found[0, 2, 1:5, 0], [3, 5, 7, 6])
    assert not found[..., 1].any()
    assert layer.trainable_weights == []
    assert layer.kernel.shape == (4, 4, 2, 2)


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (16, 8), (63, 32)])
def test_a_deconvolution_keeps_what_is_flat(size, stride):
    """Away from the border the filter's values at each place sum to 1."""
    found = np.asarray(BilinearDeconvolution(size, stride)(np.ones((1, 4, 5, 1), np.float32)))
    assert found.shape[1:3] == (3 * stride + size, 4 * stride + size)
    np.testing.assert_allclose(found[:, size - 1 : -size + 1, size - 1 : -size + 1], 1, rtol=1e-6)


def test_macs_of_a_transposed_convolution_are_of_its_input():
    image = keras.Input((5, 7, 3))
    model = keras.Model(image, keras.layers.Conv2DTranspose(4, 2, 2)(image))
    assert count.macs(model) == 5 * 7 * 2 * 2 * 3 * 4


def resized(map_: np.ndarray, size) -> np.ndarray:
    """Bilinear between the centres of pixels, by loops."""
    found = np.zeros((*size, map_.shape[-1]))
    for y, x in np.ndindex(*size):
        place = [
            (at + 0.5) * n / m - 0.5 for at, n, m in zip((y, x), map_.shape, size, strict=False)
        ]
        place = [min(max(p, 0), n - 1) for p, n in zip(place, map_.shape, strict=False)]
        (a, b), (c, d) = map(int, place), [p % 1 for p in place]
        up, left = min(a + 1, map_.shape[0] - 1), min(b + 1, map_.shape[1] - 1)
        top = map_[a, b] * (1 - d) + map_[a, left] * d
        found[y, x] = top * (1 - c) + (map_[up, b] * (1 - d) + map_[up, left] * d) * c
    return found


@pytest.mark.parametrize("size", [(24, 40), (7, 11), (3, 5)])
def test_resize_against_loops(size):
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 2)).astype(np.float32)
    found = np.asarray(Resize(size)(x))
    np.testing.assert_allclose(found[0], resized(x[0], size), atol=1e-5)


def test_the_first_of_equal_values_is_taken():
    """Rows before columns; a window beyond the border sees what is there."""
    x = np.float32([[1, 9, 0], [9, 9, 0], [4, 5, -7]])[None, ..., None]
    values, places = MaxPoolWithPlaces()(x)
    assert np.asarray(values)[0, ..., 0].tolist() == [[9, 0], [5, -7]]
    assert np.asarray(places)[0, ..., 0].tolist() == [[1, 0], [1, 0]]
    back = Unpool((3, 3))([values, places])
    expected = [[0, 9, 0], [0, 0, 0], [0, 5, -7]]
    assert np.asarray(back)[0, ..., 0].tolist() == expected


def test_places_are_those_of_the_slides():
    """arithmetic.max_pool_mask and unpool, on a map that two divides."""
    x = np.random.default_rng(3).permutation(64).reshape(8, 8).astype(np.float32)
    values, places = MaxPoolWithPlaces()(x[None, ..., None])
    back = np.asarray(Unpool((8, 8))([values, places]))[0, ..., 0]
    mask = arithmetic.max_pool_mask(x)
    np.testing.assert_array_equal(back, arithmetic.unpool(np.asarray(values)[0, ..., 0], mask))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_odd_sides_come_back_exactly(dtype):
    """45 -> 23 -> 12 -> 23 -> 45; what was the maximum is where it was, all else 0."""
    x = np.random.default_rng(1).permutation(45 * 60 * 2).reshape(1, 45, 60, 2) / 5400 + 1
    x = tf.cast(x, dtype)
    half, places = MaxPoolWithPlaces(dtype=dtype)(x)
    quarter, deep = MaxPoolWithPlaces(dtype=dtype)(half)
    assert [tuple(t.shape[1:3]) for t in (half, quarter)] == [(23, 30), (12, 15)]
    up = Unpool((23, 30), dtype=dtype)([quarter, deep])
    whole = Unpool((45, 60), dtype=dtype)([up, places])
    assert whole.dtype == x.dtype
    assert whole.shape == x.shape
    found, before = np.asarray(whole, np.float32), np.asarray(x, np.float32)
    assert np.count_nonzero(found) == 12 * 15 * 2
    np.testing.assert_array_equal(found[found > 0], before[found > 0])


def test_the_gradient_goes_to_one_place():
    """Of four equal values the first learns alone; keras' and TensorFlow's maximum would share."""
    x = tf.ones((1, 2, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        values, _ = MaxPoolWithPlaces()(x)
    assert np.asarray(tape.gradient(values, x))[0, ..., 0].tolist() == [[1, 0], [0, 0]]


def test_layers_are_saved_with_their_sizes(tmp_path):
    image = keras.Input((9, 7, 3), name="image")
    values, places = MaxPoolWithPlaces(name="pool")(image)
    x = Unpool((9, 7), name="unpool")([values, places])
    x = Resize((5, 6), name="resize")(BilinearDeconvolution(4, 2, name="up")(x))
    model = keras.Model(image, x)
    model.save(tmp_path / "m.keras")
    pixels = np.random.default_rng(0).standard_normal((2, 9, 7, 3)).astype(np.float32)
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model(pixels), again(pixels))


def test_a_window_beyond_the_map_is_refused():
    with pytest.raises(ValueError, match=r"crop: a window of \(4, 4\) at \(2, 0\) is not inside"):
        upsampling.cropped(keras.Input((5, 9, 1)), (4, 4), (2, 0), name="crop")


@pytest.mark.parametrize("widths", [(1,) * 7, LARGE])
def test_a_context_module_starts_as_the_identity(widths, monkeypatch):
    """Without noise and of scores above 0, in maps that the dilations fit into."""
    monkeypatch.setattr(Identity.__init__, "__defaults__", (0.0,))
    scores = keras.Input((10, 12, 3))
    model = keras.Model(scores, context(scores, widths))
    x = np.random.default_rng(0).uniform(0, 1, (1, 10, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(model(x), x, atol=1e-5)


def test_noise_of_the_identity():
    keras.utils.set_random_seed(0)
    value = np.asarray(Identity(4)((3, 3, 8, 16)))
    same = np.arange(8)[:, None] // 2 == np.arange(16)[None] // 4
    np.testing.assert_array_equal(value[1, 1][same], 0.5)
    others = value[~(np.arange(9).reshape(3, 3) == 4)]
    assert others.std() == pytest.approx(0.01, rel=0.1)


def test_context_counts_are_the_paper_s():
    """Basic: 64 C^2 without biases (paper, section 3); large: that of the authors' prototxt."""
    for widths, expected in (((1,) * 7, 28_392), (LARGE, 6_803_139)):
        with without_values():
            scores = keras.Input((66, 66, 21))
            model = keras.Model(scores, context(scores, widths))
        assert count.params(model) == expected
    assert sum(DILATIONS) == BORDER  # each convolution takes its dilation from each side
    assert 64 * 21**2 == 28_392 - 8 * 21
