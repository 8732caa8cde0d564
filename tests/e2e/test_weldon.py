"""model.head weldon through the pipeline: trained, stored, exported, explained, from weights."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import yaml
from PIL import Image

from convoy import models
from convoy.models.classification import weldon
from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.config import Model, Train
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.networks import network
from convoy.serving import client
from tests.models.test_weights_torch import true_tensors, write_safetensors
from tests.models.test_weldon import CROSS, RING


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> pathlib.Path:
    """28 px pictures with one symbol of 5 px, a folder a class."""
    top = tmp_path_factory.mktemp("weldon")
    rng = np.random.default_rng(0)
    for part, number in (("train", 24), ("val", 8)):
        for name, shape in (("cross", CROSS), ("ring", RING)):
            for i in range(number):
                picture = rng.integers(0, 60, (28, 28))
                y, x = rng.integers(0, 23, 2)
                picture[y : y + 5, x : x + 5] += 180 * np.array(shape)
                path = top / "data" / part / name / f"{i:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.uint8(picture)).save(path)
    content = {
        "name": "symbols",
        "task": "classification",
        "run_dir": str(top / "run"),
        "data": {"format": "folder", "path": str(top / "data")},
        "model": {"name": "lenet5", "head": "weldon", "dropout": 0.1},
        "train": {"batch_size": 16, "epochs": 3, "optimizer": "adam", "learning_rate": 0.01},
        "evaluate": {"gallery": 2},
        "export": {"precision": "float32"},
    }
    path = top / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def result(recipe) -> dict:
    return steps.run(steps.Job(config.load(recipe)), "pusher")


@pytest.mark.e2e
def test_the_head_travels_with_the_weights(result):
    task, labels = network.load(result["artifacts"]["trainer"])
    assert labels == ["cross", "ring"]
    assert isinstance(task.model.get_layer("logits"), weldon.ExtremePool)
    images = [path.read_bytes() for path in _pictures(result)]
    served = client.load_local(result["model_dir"])(images)
    pixels = np.stack([np.asarray(Image.open(path), np.float32) for path in _pictures(result)])
    expected = task.decode(task.model(pixels[..., None], training=False))["scores"]
    np.testing.assert_allclose(served["scores"], expected, atol=1e-5)


def _pictures(result) -> list[pathlib.Path]:
    top = pathlib.Path(result["run_dir"]).parent
    return sorted((top / "data" / "val").rglob("*.png"))


@pytest.mark.e2e
def test_its_evidence_is_drawn(result, tmp_path, capsys):
    words = [result["run_dir"], str(_pictures(result)[0]), "-o", str(tmp_path), "--layer", "scores"]
    assert cli.main(["convoy", "explain", *words, "--json"]) == errors.OK
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["maps"] == [{"layer": "scores", "size": [5, 5, 2], "constant": 0}]
    assert told["gradcam"]["size"] == [5, 5]


@pytest.mark.e2e
def test_extraction_beside_it_has_its_own_head(recipe, result, capsys):
    """Also: another run's weights without the head's."""
    words = ["--set", f"model.init_from={result['run_dir']}", "--modes", "extract,fine_tune"]
    words += ["--set", "train.mode=fine_tune"]
    words += ["--set", "train.stages=[{unfreeze: head, epochs: 1, learning_rate: 0.01}]"]
    assert cli.main(["convoy", "compare", str(recipe), *words, "--json"]) == errors.OK
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    plain = models.describe("lenet5").params - 10 * 85
    assert [row["params"] for row in rows] == [
        plain + 2 * 85,
        156 + 2416 + 2 * 17,  # conv1, conv2, scores
    ]
    assert [row["learnt"] for row in rows] == [2 * 85, 2 * 17]


@pytest.mark.e2e
def test_it_can_be_pruned(result, tmp_path, capsys):
    """Half of conv1's 6 and conv2's 16 channels."""
    words = [result["run_dir"], "-o", str(tmp_path / "small"), "--keep", "0.5", "--epochs", "0"]
    assert cli.main(["convoy", "prune", *words, "--json"]) == errors.OK
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    task, _ = network.load(tmp_path / "small" / "pruned")
    one, two = (task.model.get_layer(name).filters for name in ("conv1", "conv2"))
    assert one + two == 11
    expected = one * 26 + two * (25 * one + 1) + 2 * (two + 1)
    assert rows[-1]["params"] == task.info.params == expected
    assert isinstance(task.model.get_layer("logits"), weldon.ExtremePool)


def test_published_weights_go_before_the_head(tmp_path):
    path = write_safetensors(tmp_path / "true.safetensors", true_tensors("resnet18"))
    model = Model(name="resnet18", head="weldon", input_size=(64, 64), weights=str(path))
    task = network.build(model, ["a", "b", "c"], Train())
    report = network.initialise(task, model, ["a", "b", "c"])
    assert report["missing"] == ["scores/kernel", "scores/bias"]
    assert not report["mismatched"]
    whole = network.build(model.model_copy(update={"head": "own"}), ["a", "b", "c"], Train())
    network.initialise(whole, model.model_copy(update={"head": "own"}), ["a", "b", "c"])
    for layer in weldon.backbone(task.model).layers:
        theirs = whole.model.get_layer(layer.name)
        for one, other in zip(layer.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_name_of_weldon_takes_its_backbones_file(tmp_path):
    path = write_safetensors(tmp_path / "true.safetensors", true_tensors("resnet18"))
    model = Model(name="weldon_resnet101", input_size=(64, 64), weights=str(path))
    task = network.build(model, ["a", "b"], Train())
    with pytest.raises(ValueError, match="does not hold the weights of resnet101"):
        network.initialise(task, model, ["a", "b"])


@pytest.mark.parametrize(
    ("task", "train", "message"),
    [
        ("classification", {"mode": "extract"}, "extract puts a linear layer on features"),
        ("localization", {}, "for classification and multilabel, not localization"),
        ("text", {}, "for classification and multilabel, not text"),
    ],
)
def test_where_a_recipe_cannot_have_it(task, train, message):
    model = {"name": "resnet18", "head": "weldon", "init_from": "run"}
    with pytest.raises(ConfigError, match=rf"model\.head: .*{message}"):
        config.parse({"name": "a", "task": task, "model": model, "train": train})
