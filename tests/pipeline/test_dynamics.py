"""Residual blocks as steps: lengths and k by hand, which layers are blocks, the verb's numbers."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from PIL import Image

from convoy.models.classification.lm_resnet import MultiStep
from convoy.pipeline import cli
from convoy.pipeline.tools.explain import dynamics
from tests.models.weightless import weightless


def scaled(x, factor: float, name: str):
    """A 1x1 convolution of one map: x -> factor x."""
    start = keras.initializers.Constant(factor)
    return keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer=start, name=name)(x)


def two_blocks() -> keras.Model:
    """x1 = x + 0.5 x, then 1.5 x steps by F = -0.2 x1 with k = -0.4 from x."""
    image = keras.Input((2, 3, 1), name="image")
    first = keras.layers.Add(name="first_add")([image, scaled(image, 0.5, "half")])
    branch = scaled(first, -0.2, "branch")
    last = MultiStep(name="second_step")([branch, first, image])
    model = keras.Model(image, last, name="steps")
    model.get_layer("second_step").k.assign(-0.4)
    return model


def test_lengths_by_hand():
    """F = -0.3 x; F + k (x - 1.5 x) = -0.3 x + 0.2 x = -0.1 x, of 1.5 x."""
    model = two_blocks()
    found = dynamics.blocks(model)
    draw = np.random.default_rng(0)
    images = [draw.normal(size=(2, 3, 1)), draw.normal(size=(2, 3, 1))]
    first, second = dynamics.steps(model, found, images)
    assert first == {
        "block": "first_add",
        "k": None,
        "euler": pytest.approx(0.5),
        "multistep": None,
    }
    assert (second["block"], second["k"]) == ("second_step", pytest.approx(-0.4))
    assert second["euler"] == pytest.approx(0.2)
    assert second["multistep"] == pytest.approx(0.1 / 1.5, rel=1e-5)


def test_the_mean_is_over_pictures_that_are_not_0():
    """|F| / |x| of a branch that squares: 2 for a picture of twos, 4 for one of fours."""
    image = keras.Input((1, 2, 1), name="image")
    squared = keras.layers.Multiply(name="squared")([image, scaled(image, 1.0, "same")])
    model = keras.Model(image, keras.layers.Add(name="block_add")([squared, image]))
    found = dynamics.blocks(model)
    images = [np.full((1, 2, 1), value) for value in (2.0, 4.0, 0.0)]
    assert dynamics.steps(model, found, images)[0]["euler"] == pytest.approx(3.0)
    assert dynamics.steps(model, found, images[2:])[0]["euler"] is None


@pytest.mark.parametrize(
    ("name", "count", "learnt"),
    [
        ("resnet18", 8, 0),
        ("resnet50_v2", 16, 0),
        ("lm_resnet20", 9, 6),
        ("mobilenet_v2", 10, 0),
    ],
)
def test_the_blocks_of_networks(name, count, learnt, monkeypatch):
    """As many as the papers have; of mobilenet_v2 those of 17 without a change of shape."""
    model = weightless(name)
    for layer in model.layers:
        if isinstance(layer, MultiStep):
            monkeypatch.setattr(layer, "k", 0.0)
    found = dynamics.blocks(model)
    assert len(found) == count
    assert sum(block.k is not None for block in found) == learnt


def test_the_verb(capfd, tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(draw.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / name)
    out = tmp_path / "out"
    words = ["lm_resnet20", tmp_path / "a.png", tmp_path / "b.png", "-o", out, "--random"]
    assert cli.main(["convoy", "explain", *map(str, words), "--dynamics", "--json"]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told == json.loads((out / "explain.json").read_text())
    assert len(told["images"]) == 2
    rows = told["blocks"]
    assert [row["block"] for row in rows[:3]] == [
        "stage1_block1_add",
        "stage1_block2_step",
        "stage1_block3_step",
    ]
    assert all(-0.1 <= row["k"] <= 0 for row in rows if row["k"] is not None)
    assert all(row["euler"] > 0 for row in rows)
    assert sum(row["multistep"] is not None for row in rows) == 6
    assert np.asarray(Image.open(out / "dynamics.png")).std() > 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("lenet5", "--random"), 1, "--dynamics: lenet5 has no residual blocks"),
        (("ssd_mobilenet_v1", "--random"), 1, "expected a network whose scores are of pictures"),
        (("resnet18",), 1, "is a network's name"),
        (("resnet18", "--random", "--class", "owl"), 2, "--dynamics: --class is of the other"),
    ],
)
def test_messages(capfd, tmp_path, words, code, message):
    name, *flags = words
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    out = tmp_path / "out"
    command = ["convoy", "explain", name, str(tmp_path / "a.png"), "-o", str(out), "--dynamics"]
    assert cli.main([*command, *flags]) == code
    assert message in capfd.readouterr().err
    assert not out.exists()
