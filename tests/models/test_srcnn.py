"""SRCNN and its task: counts, outputs by SciPy, strips, what is compared, answers."""

from __future__ import annotations

import dataclasses
import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import count
from convoy.models.answering import answering
from convoy.models.restoration import bicubic, color, enlarge, srcnn, task
from convoy.pipeline.evaluation.restoration import psnr
from convoy.serving import signatures

COUNTS = {  # by hand: 5,184 + 64 * 32 * f2^2 + 800, and 97 biases
    "srcnn_915": 8_129,
    "srcnn_935": 24_513,
    "srcnn_955": 57_281,
}


def random_weights(model, seed=0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.normal(0, 0.1, w.shape).astype(np.float32) for w in model.get_weights()]


def picture(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_counts_are_exact(name):
    model = models.build(name)
    assert count.params(model) == COUNTS[name]
    side = 33 - 2 * srcnn.margin(model)
    assert model.output_shape == (None, side, side, 1)
    assert side == {"srcnn_915": 21, "srcnn_935": 19, "srcnn_955": 17}[name]


@pytest.mark.parametrize("strip", [1, 100, 700, 10**6])
def test_strips_are_the_whole_picture(strip):
    model = models.build("srcnn_915")
    whole = srcnn.whole(model)
    model.set_weights(random_weights(model))
    rgb = tf.constant(picture(31, 23), tf.float32)
    traced = tf.function(
        lambda rgb: enlarge.strips(rgb, whole, srcnn.margin(model), strip),
        input_signature=[tf.TensorSpec([None, None, 3], tf.float32)],
    )
    expected = whole(rgb[None])[0].numpy()
    np.testing.assert_allclose(traced(rgb).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_a_network_that_changes_nothing_enlarges_bicubically():
    small = np.random.default_rng(2).integers(60, 190, (7, 9, 3)).astype(np.uint8)
    network = srcnn.Brightness()
    found = enlarge.enlarged(tf.constant(small), 3, lambda x: 255.0 * network(x), 0).numpy()
    expected = bicubic.resize(tf.constant(small, tf.float32), (21, 27)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)  # there and back through Y, float32


def test_only_y_changes():
    """10 more of Y is 10 * 255 / 219 more of each colour."""
    small = np.full((4, 5, 3), (90, 120, 60), np.uint8)
    found = enlarge.enlarged(
        tf.constant(small), 2, lambda x: color.luma(x)[..., None] + 10.0, 0
    ).numpy()
    more = 10 * 255 / 219
    np.testing.assert_allclose(found[4, 4], [90 + more, 120 + more, 60 + more], atol=1e-3)
    assert found.shape == (8, 10, 3)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_what_is_compared_does_not_depend_on_where_the_part_ends(scale):
    """Of a part in the middle of a picture: what the network gives for the picture as a whole."""
    learnt = models.build_task("srcnn_915", input_size=(20, 24), scale=scale)
    learnt.model.set_weights(random_weights(learnt.model))
    rgb = picture(40, 44).astype(np.float32)
    large = bicubic.resize(tf.constant(rgb), (40 * scale, 44 * scale)) if scale > 1 else rgb
    whole = learnt.model(tf.convert_to_tensor(large)[None])[0].numpy()
    part = rgb[10:30, 9:33]
    found = learnt.forward({"image": tf.constant(part[None])})[0].numpy()
    cut = 6 + (2 * scale if scale > 1 else 0)
    expected = whole[10 * scale + cut : 30 * scale - cut, 9 * scale + cut : 33 * scale - cut]
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(whole).max())
    # Its truth is the Y of the same pixels.
    target = picture(20 * scale, 24 * scale, seed=5).astype(np.float32)
    y = learnt.encode({"target": tf.constant(target)})["truth"].numpy()
    inside = target[cut:-cut, cut:-cut].astype(np.float64)
    np.testing.assert_allclose(y[..., 0], color.luma(inside), atol=1e-4)
    assert y.shape == found.shape


def test_the_loss_by_hand():
    """Two values are off by 51 and 102: (0.2^2 + 0.4^2) over 8 values."""
    truth = np.zeros((2, 2, 2, 1), np.float32)
    found = truth.copy()
    found[0, 0, 1], found[1, 1, 0] = 51, -102
    total, number = task.loss({"truth": tf.constant(truth)}, tf.constant(found))["mse"]
    assert float(total) == pytest.approx(0.2)
    assert float(number) == 8.0


def test_pictures_of_any_sizes_are_answered_in_one_request():
    """Encoded ones, and pixels of one size: what the network gives for each, rounded."""
    learnt = models.build_task("srcnn_915", input_size=(33, 33), scale=2)
    learnt.model.set_weights([0.2 * w for w in random_weights(learnt.model)])
    build = {"labels": ["picture"], "input_size": (None, None)}
    served = signatures.build(learnt, learnt.model, **build)
    sent = [picture(9, 14), picture(21, 6, seed=2)]
    encoded = [tf.io.encode_png(pixels).numpy() for pixels in sent]
    answered = served["serving_default"](tf.constant(encoded))["image_bytes"].numpy()
    ask = answering(learnt, learnt.model, ["picture"], {})
    for pixels, data in zip(sent, answered, strict=True):
        found = np.asarray(PIL.Image.open(io.BytesIO(data)))
        assert found.shape == (2 * pixels.shape[0], 2 * pixels.shape[1], 3)
        alone = ask(tf.constant(pixels[None], tf.float32))["image_bytes"].numpy()
        np.testing.assert_array_equal(found, task.decoded_picture(alone[0]))
        network = learnt.around(learnt.model)(tf.constant(pixels[None], tf.float32))["image"][0]
        expected = np.clip(np.floor(network.numpy() + 0.5), 0, 255)
        assert np.abs(found - expected).max() <= 1  # another graph may round a half otherwise
        stacked = served["serving_tensor"](tf.constant(pixels[None]))["image"].numpy()
        np.testing.assert_array_equal(stacked[0], found)


def test_how_far_two_answers_are_apart():
    one, other = (np.full((1, 3, 4, 3), value, np.uint8) for value in (10, 10))
    other[0, 1, 1, 2] = 61
    png = [[tf.io.encode_png(values[0]).numpy()] for values in (one, other)]
    for pair in (({"image": one}, {"image": other}), [{"image_bytes": data} for data in png]):
        assert task.difference(*pair) == pytest.approx(0.2)
    assert task.difference({"image": one}, {"image": one[:, :2]}) == np.inf


def test_what_it_cannot_take_is_named():
    with pytest.raises(ValueError, match="expected at least 13x13 px, got 12x33"):
        models.build("srcnn_915", input_size=(12, 33))
    with pytest.raises(ValueError, match=r"at least \[17, 17\] at scale 1, got \[16, 33\]"):
        build_at((16, 33), 1)
    with pytest.raises(ValueError, match=r"at least \[10, 10\] at scale 3, got \[8, 20\]"):
        build_at((8, 20), 3)


def build_at(size, scale):
    """The task of srcnn_955, margin 8, however small a part may be for the network itself."""
    model = models.build("srcnn_955")
    info = models.build_task("srcnn_955", input_size=(33, 33)).info
    small = dataclasses.replace(info, preprocess=dataclasses.replace(info.preprocess, size=size))
    return task.build(model, small, scale)


def test_it_is_saved_and_loaded(tmp_path):
    model = srcnn.whole(models.build("srcnn_915"))
    model.save(tmp_path / "srcnn.keras")
    loaded = keras.saving.load_model(tmp_path / "srcnn.keras")
    rgb = tf.constant(picture(9, 8)[None], tf.float32)
    np.testing.assert_array_equal(loaded(rgb), model(rgb))


@pytest.mark.slow
def test_it_learns_to_be_better_than_bicubic():
    """Sharp discs, a third of the size, and 1,500 steps: 0.3 dB above bicubic on what it has seen.

    It begins far below, with a black picture; 0.39 dB above were measured.
    """
    keras.utils.set_random_seed(0)
    rows, columns = np.mgrid[:99, :99]
    draw = np.random.default_rng(0)
    truth = np.full((99, 99), 60.0, np.float32)
    for _ in range(12):
        y, x, radius = draw.uniform([0, 0, 6], [99, 99, 20])
        truth[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = draw.uniform(30, 220)
    truth = tf.repeat(tf.constant(truth[..., None]), 3, axis=-1)
    small = bicubic.resize(truth, (33, 33))
    learnt = models.build_task("srcnn_915", input_size=(33, 33), scale=3)
    targets = {name: value[None] for name, value in learnt.encode({"target": truth}).items()}
    optimizer = keras.optimizers.Adam(0.001)
    weights = learnt.model.trainable_variables
    optimizer.build(weights)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total, number = learnt.loss(targets, learnt.forward({"image": small[None]}))["mse"]
            mean = total / number
        optimizer.apply(tape.gradient(mean, [weight.value for weight in weights]), weights)

    for _ in range(1500):
        step()
    inside = slice(3, -3)
    sharp = learnt.around(learnt.model)(small[None])["image"][0]
    before, after = (
        psnr(*(color.luma(np.asarray(rgb, np.float64))[inside, inside] for rgb in (truth, found)))
        for found in (bicubic.resize(small, (99, 99)), sharp)
    )
    assert after > before + 0.3
