"""The timing table: twins are the same networks, gradients are computed, turns are taken."""

from __future__ import annotations

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import count, layers
from convoy.models.keras_internals import without_values
from convoy.pipeline import cli, errors
from convoy.pipeline.tools import benchmark

TWINS = sorted(benchmark.TWINS)
QUICK = ("vgg16", "resnet50_v1", "mobilenet_v1", "inception_v3")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TWINS]
)
def test_a_twin_does_the_same_work(name):
    info = models.describe(name)
    with without_values():
        twin = benchmark.build_twin(name, info.preprocess.shape, info.num_classes)
    assert count.macs(twin) == info.macs
    # Keras' residual networks have biases before BatchNorm, less than 0.5 % of all.
    assert info.params <= count.params(twin) <= 1.005 * info.params
    assert twin.output.shape == (None, info.num_classes)


def test_what_keras_does_not_have_is_timed_beside_its_own_batchnorm():
    assert benchmark.build_twin("resnet18", (32, 32, 3), 4) is None
    model = models.build("resnet18", input_size=(32, 32), num_classes=4)
    twin = benchmark.plain(model)
    kinds = {type(layer) for layer in twin.layers}
    assert keras.layers.BatchNormalization in kinds
    assert layers.BatchNorm not in kinds
    assert [x.name for x in twin.layers] == [x.name for x in model.layers]
    twin.set_weights(model.get_weights())
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(twin(pictures), model(pictures), rtol=1e-4, atol=1e-4)


def test_a_network_without_batchnorm_has_no_plain_twin():
    assert benchmark.plain(models.build("lenet5")) is None


@pytest.fixture(scope="module")
def measured() -> dict:
    return benchmark.measure("mobilenet_v1", (32, 48), batch=2, rounds=3)


def test_a_row(measured):
    assert (measured["input"], measured["depth"], measured["batch"]) == ([32, 48, 3], 28, 2)
    assert measured["params"] == measured["keras_params"] == 4_231_976
    assert measured["peak_gb"] > 0.1
    ours = measured["forward_ms"] + measured["backward_ms"]
    theirs = measured["keras_forward_ms"] + measured["keras_backward_ms"]
    assert measured["ratio"] == pytest.approx(ours / theirs, abs=0.01)


def test_the_second_number_is_of_the_gradients():
    """Loss and the first value of each gradient, against one without a graph."""
    keras.utils.set_random_seed(0)
    task = models.build_task("lenet5")
    images, targets = benchmark._batch(task, 3)
    assert images.shape == (3, 28, 28, 1)
    steps = benchmark._steps(task.model, task.loss, images, targets)
    with tf.GradientTape() as tape:
        value, normalizer = task.loss(targets, task.forward({"image": images}))["cls"]
        value = value / normalizer
    gradients = tape.gradient(value, [v.value for v in task.model.trainable_variables])
    firsts = sum(float(np.ravel(gradient)[0]) for gradient in gradients)
    assert firsts != 0
    np.testing.assert_allclose(steps["both"](), [float(value), firsts], rtol=1e-4)
    np.testing.assert_allclose(steps["forward"](), float(value), rtol=1e-5)


def test_a_detector_has_targets():
    task = models.build_task("ssd_mobilenet_v1", input_size=(96, 96), width=0.25)
    images, targets = benchmark._batch(task, 2)
    steps = benchmark._steps(task.model, task.loss, images, targets)
    assert np.isfinite(steps["both"]()).all()
    assert np.count_nonzero(targets["cls"], axis=1).min() >= 1


def test_medians_take_turns(monkeypatch):
    """A clock that the calls themselves move: backward is the difference, ratio of the sums."""
    now, order = [0.0], []
    clock = lambda: now[0]  # noqa: E731
    monkeypatch.setattr(
        benchmark, "time", types.SimpleNamespace(perf_counter=clock, process_time=clock)
    )

    def call(who, seconds):
        def run():
            order.append(who)
            now[0] += seconds[min(order.count(who), len(seconds)) - 1]

        return run

    calls = {
        "ours": {"forward": call("of", [9.0, 0.1]), "both": call("ob", [0.3])},
        "keras": {"forward": call("kf", [0.2]), "both": call("kb", [0.6])},
    }
    row = benchmark._medians(calls, 3)
    assert order == ["of", "kf", "ob", "kb", "kb", "ob", "kf", "of", "of", "kf", "ob", "kb"]
    expected = {"forward_ms": 100, "backward_ms": 200, "ratio": 0.5, "cpu_ratio": 0.5}
    assert row == pytest.approx({**expected, "keras_forward_ms": 200, "keras_backward_ms": 400})


def test_the_table():
    row = {"name": "vgg16", "input": [224, 224, 3], "params": 138_357_544, "depth": 16}
    row |= {"forward_ms": 185.294, "backward_ms": 437.9, "peak_gb": 3.456}
    twin = {"keras_forward_ms": 190.0, "keras_backward_ms": 440.0, "ratio": 0.989}
    failed = {"name": "resnet200", "error": "resnet200: ended with -9"}
    wide = {**row, **twin, "input": [240, 320, 3]}
    lines = [line.split() for line in benchmark.text([row, wide, failed]).splitlines()]
    assert lines[0][:6] == ["Model", "Input", "Param", "Depth", "Fwd", "ms"]
    assert lines[1] == ["vgg16", "224", "138.4M", "16", "185.29", "437.90", "3.46"]
    assert lines[2][1:] == (
        ["240x320", "138.4M", "16", "185.29", "437.90", "190.00", "440.00", "0.989", "3.46"]
    )
    assert lines[3] == ["resnet200", *["-"] * 9]


def test_the_verb(capfd):
    """In a process of its own."""
    words = ["benchmark", "--batch", "2", "--rounds", "1", "lenet5", "--json"]
    assert cli.main(["convoy", *words]) == 0
    out = capfd.readouterr().out
    (row,) = json.loads(out.splitlines()[-1])["benchmark"]
    assert (row["name"], row["batch"], row["rounds"], row["depth"]) == ("lenet5", 2, 1, 5)
    assert "ratio" not in row
    assert out.splitlines()[1].split()[:4] == ["lenet5", "28", "0.1M", "5"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected at least one NAME"),
        (["vgg61"], "unknown network 'vgg61'"),
        (["vgg16@big"], "NAME@SIDE"),
        (["vgg16", "--batch", "0"], "batch"),
        (["text_cnn"], "it is for text"),
        (["show_and_tell"], "it learns words as well"),
        (["vgg16", "resnet18@16"], "resnet18@16: resnet18: expected at least 32x32 px"),
        (["lenet5@64"], "lenet5: expected an input of 28x28 px"),
    ],
)
def test_wrong_usage(capfd, words, message):
    if words == ["text_cnn"]:
        texts = models.list_models("text")
        words = texts[:1] or pytest.skip("no network of texts")
    assert cli.main(["convoy", "benchmark", *words]) == errors.USAGE
    assert message in capfd.readouterr().err


def test_a_child_that_fails_is_named(capfd, monkeypatch):
    """Keras in the child knows no such backend."""
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    assert cli.main(["convoy", "benchmark", "--batch", "1", "lenet5"]) == errors.FAILURE
    captured = capfd.readouterr()
    assert captured.out.splitlines()[1].split()[:2] == ["lenet5", "-"]
    assert "1 of 1 networks failed: Unable to import backend : abacus" in captured.err
