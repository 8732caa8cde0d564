"""Linear heads on cached features: their optimum, and the network that carries them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import log_softmax

from convoy.pipeline import steps, tasks
from convoy.pipeline.components import feature_gen, trainer
from convoy.pipeline.config import parse
from convoy.pipeline.evaluation import predict
from convoy.pipeline.networks import network
from convoy.pipeline.training import head
from tests.training import train_once

MODEL = {"name": "mobilenet_v1", "input_size": [32, 32], "width": 0.25}


@pytest.fixture(scope="module")
def source(class_records, tmp_path_factory):
    """A trainer's folder, of a network that tells the pictures apart: its features differ."""
    folder = tmp_path_factory.mktemp("source")
    learns = {"steps": 72, "learning_rate": 0.03, "clip_norm": None, "ema": None}
    trainer.run({"examples": class_records}, train_once.params(model=MODEL, **learns), folder)
    return folder


def _recipe(source, run_dir="unused", **train):
    return parse(
        {
            "name": "test",
            "task": "classification",
            "run_dir": str(run_dir),
            "data": {"format": "folder", "path": "unused", "val": "val"},
            "model": {**MODEL, "init_from": str(source)},
            "train": {"mode": "extract", "batch_size": 16, **train},
        }
    )


@pytest.fixture(scope="module")
def features(class_records, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    params = feature_gen.params_of(_recipe(source))
    feature_gen.run({"examples": class_records}, params, folder)
    return folder


def test_features_are_those_of_the_network(class_records, source, features):
    x, y = feature_gen.load(features, "val")
    assert x.shape == (20, 256)
    assert sorted(y) == sorted([0, 1, 2, 3] * 5)
    task, labels = network.load(source, "float32")
    logits = task.model.get_layer("logits")
    kernel, bias = logits.get_weights()
    stream = _stream(class_records, task)
    pairs = list(predict.answers(predict.predictor(task, labels, {}), stream))
    assert [sample.labels[0] for sample, _ in pairs] == y.tolist()
    mine = log_softmax(x @ kernel[0, 0] + bias, axis=1)
    scores = [answer["scores"] for _, answer in pairs]
    np.testing.assert_allclose(np.exp(mine), scores, atol=1e-5)


def _stream(records, task):
    from convoy.data.input.input import Stream

    return Stream(records, "val", ("labels",), task.info.preprocess, task.encode)


@pytest.mark.parametrize(
    ("train", "least"),
    [
        pytest.param({"head": "logistic", "feature_scale": "rcnn"}, 0.5, marks=pytest.mark.slow),
        ({"head": "svm", "feature_scale": "rcnn", "head_c": 0.001}, 0.5),
        pytest.param(
            {"head": "linear", "feature_scale": "l2", "learning_rate": 3.0, "epochs": 40},
            0.5,
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value.get("head") if isinstance(value, dict) else "",
)
def test_the_trained_network_answers_as_the_head_does(
    class_records, source, features, tmp_path, train, least
):
    params = trainer.params_of(_recipe(source, **train))
    trainer.run({"examples": class_records, "features": features}, params, tmp_path)
    task, labels = network.load(tmp_path, "float32")
    stream = _stream(class_records, task)
    answers = list(predict.answers(predict.predictor(task, labels, {}), stream))
    top1 = predict.measure(tasks.of("classification").Metrics(labels), answers)["top1"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert top1 == pytest.approx(rows[-1]["top1"])  # what the fit said of data.val
    assert top1 >= least  # chance is 0.25
    if train["head"] != "linear":
        assert rows[-1]["epoch"] == 1  # scikit-learn sees all pictures at once
    x, _ = feature_gen.load(features, "val")
    if train["head"] == "linear":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    kernel, bias = task.model.get_layer("logits").get_weights()
    scores = [answer["scores"] for _, answer in answers]
    np.testing.assert_allclose(np.exp(log_softmax(x @ kernel + bias, 1)), scores, atol=2e-5)
    about = json.loads((tmp_path / "training.json").read_text())
    assert about["learnt"] == 4 * 257
    before, _ = network.load(source, "float32")
    mean = "block7_pointwise_norm"
    for mine, theirs in zip(
        task.model.get_layer(mean).get_weights(),
        before.model.get_layer(mean).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_softmax_regression_reaches_the_optimum_of_logistic_regression():
    """Both minimise the mean cross entropy + |w|^2 / (2 N) (C = 1), the bias free."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    x = (rng.normal(size=(120, 5)) + np.eye(5)[y] * 1.5).astype(np.float32)
    kernel, bias = head.fit(x, y, 3, "logistic", 1.0)
    loss = _objective(x, y, kernel, bias)
    for _ in range(20):  # no step away from it is better
        away = rng.normal(size=kernel.shape) * 0.02
        assert _objective(x, y, kernel + away, bias) > loss
    assert _objective(x, y, kernel, bias + np.eye(3)[0] * 0.05) > loss


def _objective(x, y, kernel, bias) -> float:
    log_p = log_softmax(x @ kernel + bias, axis=1)
    return -log_p[np.arange(len(y)), y].mean() + (kernel**2).sum() / (2 * len(y))


def test_an_svm_by_hand():
    """Points -1 and 1 on a line: with a large C the margin is w = 1, b = 0."""
    x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
    kernel, bias = head.fit(x, y, 2, "svm", 100.0)
    np.testing.assert_allclose(kernel, [[-0.5, 0.5]], atol=1e-2)  # their difference is w
    np.testing.assert_allclose(bias, [0, 0], atol=1e-2)


def test_a_class_without_pictures_is_never_called():
    x, y = np.array([[-1.0], [1.0], [3.0]], np.float32), np.array([0, 2, 3])
    kernel, bias = head.fit(x, y, 4, "logistic", 100.0)
    assert kernel[0, 1] == 0
    assert np.all((x @ kernel + bias).argmax(1) == y)
    with pytest.raises(ValueError, match="expected pictures of two classes, got 1"):
        head.fit(x, np.zeros(3, int), 2, "svm", 1.0)


def test_rcnn_scaling_makes_the_mean_norm_20():
    x = np.array([[3.0, 4.0], [0.0, 15.0]], np.float32)  # norms 5 and 15
    scaled = head.scaled(x, "rcnn", head.MEAN_NORM / 10)
    assert np.linalg.norm(scaled, axis=1).tolist() == [10, 30]


def test_features_are_cached_across_heads_and_made_anew_for_other_weights(
    class_records, source, tmp_path
):
    from convoy.pipeline.artifacts import Artifact

    def made(recipe):
        job = steps.Job(recipe, store=tmp_path / "store")
        job.done["example_gen"] = Artifact(class_records, "known", cached=True)
        inputs = steps.inputs_of(job, "trainer")
        assert set(inputs) == {"examples", "init0", "features"}
        return inputs["features"]

    first = made(_recipe(source))
    again = made(_recipe(source, head="svm", feature_scale="rcnn"))
    assert not first.cached
    assert again.cached
    assert again.key == first.key
    other = tmp_path / "other"
    other.mkdir()
    trainer.run({"examples": class_records}, train_once.params(model=MODEL, steps=2), other)
    assert made(_recipe(other)).key != first.key
