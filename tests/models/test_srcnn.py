"""SRCNN: counts, outputs by SciPy, strips, sub-images, first weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from convoy.models import count
from convoy.models.restoration import bicubic, enlarge, pieces, srcnn
from convoy.pipeline.evaluation.restoration import psnr

COUNTS = {  # by hand: 5,184 + 64 * 32 * f2^2 + 800, and 97 biases
    "srcnn_915": 8_129,
    "srcnn_935": 24_513,
    "srcnn_955": 57_281,
}


def random_weights(model, seed=0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(0, 0.1, w.shape).astype(np.float32) for w in model.get_weights()]


def by_scipy(y: np.ndarray, weights, padding: str) -> np.ndarray:
    """[H, W] in float64: each kernel of each map, correlated one by one."""
    maps = y[None].astype(np.float64) / 255
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        side = kernel.shape[0] // 2 if padding == "replicate" else 0
        maps = np.pad(maps, [(0, 0), (side, side), (side, side)], mode="edge")
        maps = np.stack([
            sum(
                scipy.signal.correlate2d(x, kernel[:, :, i, o], "valid")
                for i, x in enumerate(maps)
            )
            + bias[o]
            for o in range(kernel.shape[3])
        ])  # fmt: skip
        if kernel.shape[3] > 1:
            maps = np.maximum(maps, 0)
    return maps[0] * 255


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_counts_are_exact(name):
    model = srcnn.build(name)
    assert count.params(model) == COUNTS[name]
    side = 33 - 2 * srcnn.margin(name)
    assert model.output_shape == (None, side, side, 1)
    assert side == {"srcnn_915": 21, "srcnn_935": 19, "srcnn_955": 17}[name]


@pytest.mark.parametrize("padding", ["valid", "replicate"])
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_outputs_are_those_of_scipy(name, padding):
    model = srcnn.build(name, (None, None), padding=padding)
    weights = random_weights(model)
    model.set_weights(weights)
    y = np.random.default_rng(1).uniform(16, 235, (19, 22))
    found = model(tf.constant(y[None, ..., None], tf.float32)).numpy()[0, ..., 0]
    expected = by_scipy(y, weights, padding)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_first_weights_are_the_papers():
    model = srcnn.build("srcnn_955")
    for kernel, bias in zip(model.get_weights()[::2], model.get_weights()[1::2], strict=True):
        error = 4 * 0.001 / np.sqrt(2 * kernel.size)  # four of the deviation's own
        assert kernel.std() == pytest.approx(0.001, abs=error)
        assert not bias.any()


@pytest.mark.parametrize("strip", [1, 100, 700, 10**6])
def test_strips_are_the_whole_picture(strip):
    model = srcnn.build("srcnn_915", (None, None), padding="replicate")
    model.set_weights(random_weights(model))
    y = tf.random.stateless_uniform([31, 23, 1], [1, 2], 16.0, 235.0)
    traced = tf.function(
        lambda y: enlarge.restored(y, model, srcnn.margin("srcnn_915"), strip),
        input_signature=[tf.TensorSpec([None, None, 1], tf.float32)],
    )
    whole = model(y[None])[0].numpy()
    np.testing.assert_allclose(traced(y).numpy(), whole, atol=1e-5 * np.abs(whole).max())


def test_a_network_that_changes_nothing_enlarges_bicubically():
    picture = np.random.default_rng(2).integers(60, 190, (7, 9, 3)).astype(np.uint8)
    found = enlarge.enlarged(tf.constant(picture), 3, lambda y: y, 0).numpy()
    expected = bicubic.resize(tf.constant(picture, tf.float32), (21, 27)).numpy()
    assert (found.dtype, found.shape) == (np.uint8, (21, 27, 3))
    # There and back through Y in float32 moves what is rounded by less than one.
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-3


def test_only_y_changes():
    """10 more of Y is 10 * 255 / 219 more of each colour."""
    picture = np.full((4, 5, 3), (90, 120, 60), np.uint8)
    found = enlarge.enlarged(tf.constant(picture), 2, lambda y: y + 10.0, 0).numpy()
    np.testing.assert_array_equal(found, np.broadcast_to([102, 132, 72], (8, 10, 3)))


def test_sub_images_by_hand():
    """47 rows hold two of 33, 14 apart; 60 columns one more, at 0 and 14."""
    y = np.arange(47 * 60, dtype=np.float32).reshape(47, 60, 1)
    large, truth = pieces.pairs(tf.constant(y), tf.constant(-y), 6)
    corners = [(0, 0), (0, 14), (14, 0), (14, 14)]
    assert large.shape == (4, 33, 33, 1)
    assert truth.shape == (4, 21, 21, 1)
    for found, wanted, (top, left) in zip(large, truth, corners, strict=True):
        np.testing.assert_array_equal(found, y[top : top + 33, left : left + 33])
        np.testing.assert_array_equal(wanted, -y[top + 6 : top + 27, left + 6 : left + 27])
    assert pieces.sub_images(tf.constant(y[:32])).shape == (0, 33, 33, 1)


def test_what_it_cannot_take_is_named():
    with pytest.raises(ValueError, match="expected at least 13x13 px, got 12x33"):
        srcnn.build("srcnn_915", (12, 33))
    with pytest.raises(ValueError, match="padding: expected valid or replicate, got 'same'"):
        srcnn.build("srcnn_915", padding="same")
    with pytest.raises(ValueError, match="expected one of srcnn_915"):
        srcnn.build("srcnn_951")


def test_it_is_saved_and_loaded(tmp_path):
    model = srcnn.build("srcnn_915", (None, None), padding="replicate")
    model.save(tmp_path / "srcnn.keras")
    loaded = keras.saving.load_model(tmp_path / "srcnn.keras")
    y = tf.random.stateless_uniform([1, 9, 8, 1], [3, 4], 16.0, 235.0)
    np.testing.assert_array_equal(loaded(y), model(y))


@pytest.mark.slow
def test_it_learns_to_be_better_than_bicubic():
    """Sharp discs, a third of the size, and 1,500 steps: above bicubic on the discs it has seen.

    It begins far below, with a black picture; 0.39 dB above were measured.
    """
    keras.utils.set_random_seed(0)
    rows, columns = np.mgrid[:99, :99]
    draw = np.random.default_rng(0)
    truth = np.full((99, 99), 60.0, np.float32)
    for _ in range(12):
        y, x, radius = draw.uniform([0, 0, 6], [99, 99, 20])
        truth[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = draw.uniform(30, 220)
    truth = tf.constant(truth[..., None])
    large = bicubic.resize(bicubic.resize(truth, (33, 33)), (99, 99))
    model = srcnn.build("srcnn_915")
    model.compile(keras.optimizers.Adam(0.001), lambda a, b: tf.reduce_mean(((a - b) / 255) ** 2))
    inputs, targets = pieces.pairs(large, truth, srcnn.margin("srcnn_915"))
    model.fit(inputs, targets, batch_size=len(inputs), epochs=1500, verbose=0)
    whole = srcnn.build("srcnn_915", (99, 99), padding="replicate")
    whole.set_weights(model.get_weights())
    inside = slice(3, -3)
    before, after = (
        psnr(truth.numpy()[inside, inside, 0], np.asarray(y)[inside, inside, 0])
        for y in (large, whole(large[None])[0])
    )
    assert after > before
