"""Networks of other channels than RGB, and their first kernel out of one for RGB."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import rows
from convoy.models.layers import Normalize
from convoy.models.spec import Channels, Preprocess
from convoy.models.weights import convert
from convoy.models.weights.load import Report, _other_pixels
from convoy.pipeline.config import Model, Train
from convoy.pipeline.networks import network
from convoy.serving.card import model_card


@pytest.fixture(autouse=True)
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def five(bits=16):
    return Channels(5, bits, (1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 1.0, 2.0, 2.0, 4.0))


def test_each_channel_is_standardised_by_its_own_mean_and_deviation():
    looks = five().of(rows.CAFFE)
    assert (looks.channels, looks.shape, looks.resize) == (5, (224, 224, 5), "crop")
    layer = Normalize(looks.scale, looks.mean, looks.std, looks.channel_order)
    pixel = np.array([[[[2.0, 2.0, 7.0, 0.0, 13.0]]]], np.float32)
    assert np.asarray(layer(pixel)).ravel().tolist() == [1.0, 0.0, 2.0, -2.0, 2.0]


def test_what_a_network_was_made_for_stays_as_it_is():
    assert Channels(3).of(rows.CAFFE) is rows.CAFFE
    assert Channels(1).of(rows.GRAY_28) is rows.GRAY_28
    assert Channels(3, 16).of(rows.TORCH).channel_order == "bands"
    assert Channels(1).of(rows.TORCH).channels == 1


@pytest.mark.parametrize("name", ["resnet18", "lenet5", "ssd_mobilenet_v1", "unet"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_networks_take_so_many_channels(name, count):
    built = models.build_task(name, channels=Channels(count, 16))
    assert built.model.input.shape[-1] == count
    assert (built.info.preprocess.channels, built.info.preprocess.bits) == (count, 16)


def test_another_backbone_sees_the_same_channels():
    built = models.build_task("ssd", backbone="resnet18", channels=five())
    assert built.model.input.shape[-1] == 5
    assert built.info.preprocess.mean == five().mean


def test_networks_that_see_something_else_refuse():
    with pytest.raises(ValueError, match=r"sees no pictures: leave data\.channels out, got 5"):
        models.build_task(models.list_models("text")[0], channels=five())
    with pytest.raises(ValueError, match="is given more than pictures"):
        models.build_task("fast_rcnn_vgg16", channels=five())


def test_a_kernel_is_spread_by_hand():
    """1x1, red 1, green 2, blue 6: mean 3. Five channels get 3 * 3 / 5, one gets the sum."""
    kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
    spread, bias = convert.spread(kernel, rows.TORCH, 5)
    assert bias is None
    np.testing.assert_allclose(spread.ravel(), [1.8] * 5)
    np.testing.assert_allclose(convert.spread(kernel, rows.TORCH, 1)[0].ravel(), [9.0])
    np.testing.assert_allclose(convert.spread(kernel, rows.TORCH, 3)[0].ravel(), [1, 2, 6])


def test_a_kernel_of_other_pixels_is_spread_by_hand():
    """BGR, mean 100 each, no deviation. ImageNet's are 58.395, 57.12, 57.375 (red first).

    A colour one deviation above the mean is 58.395 brighter: red's weight counts as often.
    """
    theirs = Preprocess((8, 8), mean=(100.0,), channel_order="bgr")
    kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)  # blue, green, red
    deviations = 57.375 * 1 + 57.12 * 2 + 58.395 * 6
    means = (103.53 - 100) * 1 + (116.28 - 100) * 2 + (123.675 - 100) * 6
    spread, bias = convert.spread(kernel, theirs, 4)
    np.testing.assert_allclose(spread.ravel(), [deviations / 4] * 4, rtol=1e-6)
    np.testing.assert_allclose(bias, [means], rtol=1e-6)


def test_an_importer_spreads_the_first_kernel_and_says_so():
    layer = keras.layers.Conv2D(2, 1, name="conv1")
    layer.build((None, 8, 8, 5))
    looks = five().of(rows.TORCH)
    normalize = Normalize(looks.scale, looks.mean, looks.std, looks.channel_order)
    values, report = {"kernel": np.arange(6.0).reshape(1, 1, 3, 2)}, Report()
    _other_pixels(values, layer, normalize, rows.TORCH, report)
    np.testing.assert_allclose(values["kernel"][0, 0], [[2 * 0.6, 3 * 0.6]] * 5)
    assert report.notes == ["conv1: from red, green and blue to 5 channels"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v1", "vgg11"])
def test_alike_channels_are_seen_as_a_gray_picture_was(name, tmp_path):
    """All five channels one deviation above their mean: the RGB network at ImageNet's likewise."""
    size, labels = (64, 64), ("a", "b")
    model, train = Model(name=name, input_size=size), Train()
    rgb = network.build(model, labels, train, seed=3)
    for variable in rgb.model.variables:  # running means that are not 0, variances not 1
        if "moving" in variable.path:
            rng = np.random.default_rng(len(variable.path))
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    network.describe(tmp_path, model, labels, train, task="classification")
    rgb.model.save_weights(tmp_path / network.WEIGHTS)
    other = network.build(model, labels, train, seed=4, channels=five())
    network.init_from(other, tmp_path, labels)
    steps = np.random.default_rng(0).normal(size=(1, *size, 1)).astype(np.float32)
    first = rgb.model.get_layer(convert.Graph(rgb.model).first.name)
    after = convert.Graph(rgb.model).norms.get(first.name, first).name
    mean = np.array([123.675, 116.28, 103.53], np.float32)
    std = np.array([58.395, 57.12, 57.375], np.float32)
    ours = np.array(five().mean, np.float32) + steps * np.array(five().std, np.float32)
    theirs = mean + steps * std
    maps = [
        keras.Model(built.model.input, built.model.get_layer(after).output)(picture).numpy()
        for built, picture in ((rgb, theirs), (other, ours))
    ]
    inside = np.s_[:, 4:-4, 4:-4]  # at the border padding stands for another colour
    np.testing.assert_allclose(maps[1][inside], maps[0][inside], rtol=1e-3, atol=1e-4)


def test_a_training_of_five_channels_is_loaded_again(tmp_path):
    model, labels, train = Model(name="resnet18", input_size=(32, 32)), ("a", "b"), Train()
    built = network.build(model, labels, train, seed=3, channels=five())
    network.describe(tmp_path, model, labels, train, task="classification", channels=five())
    built.model.save_weights(tmp_path / network.WEIGHTS)
    again, _ = network.load(tmp_path)
    assert dataclasses.asdict(again.info.preprocess) == dataclasses.asdict(built.info.preprocess)
    picture = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 5)).astype(np.float32)
    np.testing.assert_array_equal(again.model(picture), built.model(picture))


def test_the_model_card_says_what_pictures_it_takes():
    info = models.build_task("lenet5", channels=five()).info
    text = model_card(info, {"input_size": [28, 28], "tolerance": 0.02}, ["a", "b"], {})
    assert "28 x 28 pixels, pictures of 5 channels of 16 bits fitted by 'stretch'" in text
    assert "transparency" not in text
