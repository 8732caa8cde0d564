"""`convoy explain --interactive`: which layers, what their planes hold, the page as one file."""

from __future__ import annotations

import io
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from convoy.models import structure
from convoy.pipeline import cli
from convoy.pipeline.tools.explain import walk
from tests.models.weightless import weightless


@pytest.fixture
def photograph(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a<b>.png")
    return tmp_path / "a<b>.png"


def tiles_of(plane: walk.Plane) -> list[np.ndarray]:
    """Places in the palette of each map."""
    page = np.asarray(Image.open(io.BytesIO(plane.png)))
    height, width = plane.tile
    places = [divmod(index, plane.columns) for index in range(len(plane.maps))]
    return [page[r * (height + 1) :, c * (width + 1) :][:height, :width] for r, c in places]


def test_maps_by_hand():
    """Each map from its least to its largest value; one that is the same everywhere is dark."""
    values = np.zeros((2, 2, 3), np.float32)
    values[..., 0] = [[0, 1], [2, 4]]
    values[..., 1] = [[-2, -2], [-1, -2]]
    found = walk.plane("conv", values)
    assert found.title == "conv: 3 of 3 maps of 2 x 2"
    assert found.maps == ((0, 0.0, 4.0), (1, -2.0, -1.0), (2, 0.0, 0.0))
    expected = [[[0, 64], [128, 255]], [[0, 0], [255, 0]], [[0, 0], [0, 0]]]
    np.testing.assert_array_equal(tiles_of(found), expected)
    (picture,) = [Image.open(io.BytesIO(found.png))]
    assert picture.getpalette()[:3] == [68, 1, 84]  # the dark end of viridis


def test_the_strongest_maps_are_kept_in_order():
    values = np.zeros((2, 1, 70), np.float32)
    values[0] = np.arange(70) % 35 - 17  # 0 at 17 and 52, the largest at the ends
    found = walk.plane("conv", values)
    assert found.title == "conv: 64 of 70 maps of 2 x 1"
    kept = [number for number, _, _ in found.maps]
    assert kept == [n for n in range(70) if n not in (16, 17, 18, 51, 52, 53)]


def test_large_maps_are_made_smaller_by_means():
    values = np.zeros((224, 448, 1), np.float32)
    values[:, 224:] = 1
    found = walk.plane("conv", values)
    assert found.tile == (56, 112)
    (tile,) = tiles_of(found)
    assert (tile[:, :56] == 0).all()
    assert (tile[:, 56:] == 255).all()


def test_units_share_their_scale():
    found = walk.plane("logits", np.float32([1, 3, 2]))
    assert found.title == "logits: 3 of 3 units"
    np.testing.assert_array_equal(np.ravel(tiles_of(found)), [0, 255, 128])


def test_layers_of_a_small_network():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="alone")(image)
    x = keras.layers.Conv2D(2, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, keras.layers.Dense(3, name="logits")(x))
    assert walk.chosen(structure.lines(model)) == ["alone", "relu", "mean", "logits"]


@pytest.mark.parametrize(("name", "count"), [("lenet5", 7), ("vgg16", 21), ("resnet50", 28)])
def test_layers_of_networks(name, count):
    """In order, the last of each size among them, and the scores."""
    lines = structure.lines(weightless(name))
    chosen = walk.chosen(lines)
    assert len(chosen) == count
    order = [line.name for line in lines]
    assert [order.index(n) for n in chosen] == sorted(order.index(n) for n in chosen)
    assert chosen[-1] == order[-1]
    sizes = {line.name: line.size for line in lines}
    assert {sizes[n][0] for n in chosen if len(sizes[n]) == 3} == {
        "lenet5": {28, 14, 10, 5},
        "vgg16": {224, 112, 56, 28, 14, 7},
        "resnet50": {112, 56, 28, 14, 7},
    }[name]


def test_the_page_is_one_file(photograph, tmp_path, capsys):
    words = ["lenet5", str(photograph), "-o", str(tmp_path / "out"), "--random", "--interactive"]
    assert cli.main(["convoy", "explain", *words]) == 0
    text = (tmp_path / "out" / "walk.html").read_text("utf-8")
    assert "8 planes" in capsys.readouterr().out
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "http" not in text
    told = json.loads(re.search(r"const told = (.*);", text)[1])
    assert len(told) == text.count('<figure class="plane"') == 8
    assert [len(row["maps"]) for row in told] == [1, 6, 6, 16, 16, 120, 84, 10]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["lenet5", "--random"], 2, "one picture"),
        (["lenet5", "PHOTO", "--random", "--dynamics"], 2, "give one of them"),
        (["lenet5", "PHOTO", "--random", "--class", "3"], 2, "--class is of the other pictures"),
        (["lenet5", "nothing.jpg", "--random"], 1, "nothing.jpg: no such file"),
        (["text_cnn_rand", "PHOTO", "--random"], 1, "expected a network of pictures"),
        (["srcnn_915", "PHOTO", "--random"], 1, "it takes pictures of any"),
        (["nowhere", "PHOTO"], 1, "nowhere: no such folder"),
    ],
)
def test_errors(photograph, tmp_path, capsys, words, code, message):
    words = [str(photograph) if word == "PHOTO" else word for word in words]
    asked = ["convoy", "explain", *words, "-o", str(tmp_path / "out"), "--interactive"]
    assert cli.main(asked) == code
    assert message in capsys.readouterr().err
