"""Neural style: losses by hand and by a NumPy network, the verb, its pictures and its messages."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from convoy.models.structure import lines
from convoy.pipeline import cli, config
from convoy.pipeline.tools.style import losses, maps, pictures, run
from tests.pipeline.test_explain import left_by_a_run


def test_gram_by_hand():
    """Two positions (1, 2) and (3, 4): the mean of their outer products."""
    found = losses.gram(tf.constant([[[[1.0, 2.0], [3.0, 4.0]]]]))
    np.testing.assert_array_equal(found, [[5.0, 7.0], [7.0, 10.0]])


def test_losses_by_hand():
    one = tf.constant([[[[1.0, 2.0], [3.0, 4.0]]]])
    other = tf.constant([[[[1.0, 0.0], [0.0, 4.0]]]])
    assert float(losses.content_loss(one, other)) == 0.5 * (4 + 9)
    # Gram matrices [[5, 7], [7, 10]] and [[.5, 0], [0, 8]], N = 2.
    expected = (4.5**2 + 2 * 7.0**2 + 2.0**2) / 16
    assert float(losses.style_loss(one, losses.gram(other))) == expected
    targets = losses.Targets(
        {"b": other}, {"a": losses.gram(one), "b": losses.gram(other)}, 3.0, 10.0
    )
    parts = losses.total({"a": one, "b": one}, targets)
    assert float(parts["content_loss"]) == 3 * 6.5
    assert float(parts["style_loss"]) == pytest.approx(10 * (0 + expected) / 2)
    assert float(parts["loss"]) == pytest.approx(float(parts["content_loss"] + parts["style_loss"]))


def small_network() -> keras.Model:
    """conv 3x3 of 4 with ReLU, maximum pool, conv 3x3 of 5 with ReLU, pool; a layer behind."""
    image = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="one")(image)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="two")(x)
    x = keras.layers.Flatten(name="flat")(keras.layers.MaxPooling2D(2, name="last")(x))
    return keras.Model(image, keras.layers.Dense(2, name="logits")(x), name="small")


def numpy_maps(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """The same network with averages, in float64 and by sums over shifted pictures."""

    def convolved(x, layer):
        kernel, bias = (value.astype(np.float64) for value in layer.get_weights())
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        high, wide = x.shape[:2]
        total = sum(
            padded[i : i + high, j : j + wide] @ kernel[i, j] for i in range(3) for j in range(3)
        )
        return np.maximum(total + bias, 0.0)

    one = convolved(image, model.get_layer("one"))
    high, wide = (side // 2 for side in one.shape[:2])
    pooled = one[: 2 * high, : 2 * wide].reshape(high, 2, wide, 2, -1).mean((1, 3))
    return {"one": one, "two": convolved(pooled, model.get_layer("two"))}


def numpy_loss(found, content, style, weights) -> float:
    """As the paper writes it, each Gram matrix over its own number of positions."""

    def gram(values):
        flat = values.reshape(-1, values.shape[-1])
        return sum(np.outer(row, row) for row in flat) / len(flat)

    loss = weights[0] * 0.5 * ((found["two"] - content["two"]) ** 2).sum()
    for name in ("one", "two"):
        difference = gram(found[name]) - gram(style[name])
        loss += weights[1] / 2 * (difference**2).sum() / (4 * found[name].shape[-1] ** 2)
    return loss


@pytest.mark.parametrize("weights", [(1.5, 0.0), (0.0, 40.0), (1.5, 40.0)])
def test_loss_and_gradient_equal_numpy(weights):
    """The gradient by central differences; the pictures have other sizes than the network's."""
    keras.utils.set_random_seed(3)
    network = small_network()
    network.get_layer("one").bias.assign([0.1, -0.2, 0.3, 0.0])
    draw = np.random.default_rng(0)
    image, content = draw.uniform(0, 1, (2, 6, 8, 3))
    style = draw.uniform(0, 1, (9, 7, 3))
    model = maps.averaging(network, ["one", "two"], 3)

    def of(values):
        return model(tf.constant(values[None], tf.float32), training=False)

    grams = {name: losses.gram(value) for name, value in of(style).items()}
    targets = losses.Targets({"two": of(content)["two"]}, grams, *weights)
    call = run.value_and_gradient(lambda x: model(x, training=False), targets)
    parts, gradient = call(tf.constant(image[None], tf.float32))

    wanted = [numpy_maps(network, picture) for picture in (content, style)]

    def loss(values):
        return numpy_loss(numpy_maps(network, values), *wanted, weights)

    assert float(parts["loss"]) == pytest.approx(loss(image), rel=1e-4)
    expected = np.zeros_like(image)
    for place in np.ndindex(*image.shape):
        step = np.zeros_like(image)
        step[place] = 1e-6
        expected[place] = (loss(image + step) - loss(image - step)) / 2e-6
    assert np.count_nonzero(expected) == expected.size
    np.testing.assert_allclose(gradient[0], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_means_are_of_both_pictures():
    model = maps.averaging(small_network(), ["one"], 3)
    images = [tf.ones((1, 8, 8, 3)), 3 * tf.ones((1, 4, 6, 3))]
    values = [np.abs(model(image)["one"].numpy()).mean() for image in images]
    assert float(maps.mean_activations(model, images)["one"]) == pytest.approx(np.mean(values))
    model.get_layer("one").set_weights([np.zeros((3, 3, 3, 4)), np.zeros(4)])
    with pytest.raises(ValueError, match="one: its maps of both pictures are 0"):
        maps.mean_activations(model, images)


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "vgg19"])
def test_the_layers_of_the_paper(name):
    from tests.models.weightless import weightless

    kind = "relu" if name.endswith("_bn") else "conv"
    content, style = maps.default_layers(weightless(name))
    assert content == f"block4_{kind}2"
    assert style == [f"block{block}_{kind}1" for block in range(1, 6)]


def test_the_layers_of_another():
    from tests.models.weightless import weightless

    content, style = maps.default_layers(weightless("resnet18"))
    network = {line.name: line for line in lines(weightless("resnet18"))}
    assert [network[name].size[0] for name in style] == [112, 56, 28, 14, 7]
    assert content == style[-2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> pathlib.Path:
    keras.utils.set_random_seed(0)
    model = config.Model(name="mobilenet_v1", input_size=(32, 32), width=0.25)
    return left_by_a_run(tmp_path_factory.mktemp("run"), model)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
    """A gray ramp (48x36) and a CMYK picture of stripes."""
    folder = tmp_path_factory.mktemp("two")
    ramp = np.tile(np.linspace(0, 255, 48), (36, 1)).astype(np.uint8)
    Image.fromarray(ramp).save(folder / "ramp.png")
    stripes = np.zeros((40, 40, 4), np.uint8)
    stripes[::4, :, 0] = stripes[1::4, :, 1] = 255
    Image.fromarray(stripes, "CMYK").save(folder / "stripes.jpg")
    return folder / "ramp.png", folder / "stripes.jpg"


@pytest.mark.parametrize("start", ["content", pytest.param("noise", marks=pytest.mark.slow)])
def test_the_verb(capfd, trained, two, tmp_path, start):
    words = ["style", *two, "-o", tmp_path / "out.png", "--weights", trained, "--size", 32]
    words += ["--iterations", 5, "--every", 2, "--start", start, "--json"]
    if start == "noise":
        words += ["--content_layer", "block3_pointwise_relu"]
        words += ["--style_layers", "block1_pointwise_relu,block2_pointwise_relu"]
    assert cli.main(["convoy", *map(str, words)]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out.splitlines()[-1])
    assert told["loss"] < told["loss_before"]
    assert told["losses"] == sorted(told["losses"], reverse=True)
    assert told["loss"] == pytest.approx(told["losses"][-1])
    assert (told["content"], told["style"], told["network"]) == (*map(str, two), "mobilenet_v1")
    assert told["loss"] == pytest.approx(told["content_loss"] + told["style_loss"])
    assert told["iterations"] == 5 == len(told["losses"])
    assert "iteration 5/5" in err
    assert "[================] 100%" in err
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out.png", "out_0002.png", "out_0004.png"]
    for name in names:
        pixels = np.asarray(Image.open(tmp_path / name))
        assert pixels.shape == (24, 32, 3)
        assert pixels.std() > 5


@pytest.mark.parametrize(
    ("content", "style", "more", "message"),
    [
        ("ramp.png", "tiny.png", (), "tiny.png: expected at least 32 px per side, got 10x10"),
        ("huge.png", "ramp.png", (), "huge.png: 10001x10000 = 100,010,000 pixels, more than"),
        (
            "long.png",
            "ramp.png",
            (),
            "long.png: 400x32 becomes 64x5 at --size 64: expected",
        ),
        ("ramp.png", "none.png", (), "none.png: no such file"),
        ("text.png", "ramp.png", (), "text.png"),
        ("ramp.png", "ramp.png", ("-o", "ramp.png"), "ramp.png exists: remove it, or choose"),
        ("ramp.png", "ramp.png", ("-o", "out.gif"), "expected a name that ends in .png"),
        ("ramp.png", "ramp.png", ("-o", "nowhere/out.png"), "no folder"),
        ("ramp.png", "ramp.png", ("--size", "2000"), "--size: expected 32 to 1024 px, got 2000"),
        ("ramp.png", "ramp.png", ("--start", "black"), "--start: expected content or noise, got"),
        ("ramp.png", "ramp.png", ("--iterations", "0"), "--iterations: expected at least 1, got 0"),
        ("ramp.png", "ramp.png", ("--style_weight", "-1"), "numbers of at least 0"),
        ("ramp.png", "ramp.png", ("--style_layers", "conv9"), "has no layer 'conv9'"),
        ("ramp.png", "ramp.png", ("--network", "vgg16"), "is a training's folder and has its own"),
    ],
)
def test_messages(capfd, trained, two, tmp_path, monkeypatch, content, style, more, message):
    """One line each, and nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ramp.png").write_bytes(two[0].read_bytes())
    Image.new("RGB", (10, 10)).save("tiny.png")
    Image.new("L", (400, 32)).save("long.png")
    (tmp_path / "text.png").write_text("no picture")
    if content == "huge.png":
        Image.new("1", (10001, 10000)).save("huge.png")
    before = sorted(tmp_path.iterdir())
    words = ["style", content, style, "-o", "out.png", "--weights", str(trained), "--size", "64"]
    assert cli.main(["convoy", *words, *more]) == 1
    err = capfd.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_without_published_weights(capfd, served, two, tmp_path, monkeypatch):
    from convoy.pipeline.networks import pretrained

    monkeypatch.setitem(pretrained.IMAGENET, "vgg11", f"{served[1]}/vgg11.pth")
    words = ["style", *two, "-o", tmp_path / "out.png", "--network", "vgg11"]
    assert cli.main(["convoy", *map(str, words)]) == 1
    err = capfd.readouterr().err
    assert "no weights of vgg11 here" in err
    assert "--weights RUN_DIR, the folder of any classifier trained here" in err


def test_a_detector_paints_nothing(capfd, two, tmp_path):
    words = ["style", *two, "-o", tmp_path / "out.png", "--network", "ssd300_vgg16"]
    assert cli.main(["convoy", *map(str, words)]) == 1
    assert "ssd300_vgg16: expected a network that classifies pictures" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "I;16"])
def test_pictures_of_every_kind(tmp_path, mode):
    """A gray of 100 stays 100 in each."""
    path = tmp_path / "a.tif"
    if mode == "I;16":
        Image.fromarray(np.full((40, 60), 100 * 257, np.uint16)).save(path)
    else:
        picture = Image.new("RGB", (60, 40), (100, 100, 100))
        (picture.quantize(4) if mode == "P" else picture.convert(mode)).save(path)
    for channels in (1, 3):
        values = pictures.read(str(path), 48, channels)
        assert (values.shape, values.dtype) == ((1, 32, 48, channels), np.float32)
        assert np.abs(values - 100).max() <= (0 if mode != "CMYK" else 1)


def test_written_as_read(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (1, 33, 40, 3)).astype(np.float32)
    pictures.write(tmp_path / "a.png", values + 0.4)
    expected = np.minimum(np.round(values + 0.4), 255)
    np.testing.assert_array_equal(pictures.read(str(tmp_path / "a.png"), 40, 3), expected)


@pytest.mark.slow  # a process of its own imports TensorFlow
def test_killed_on_the_way(trained, two, tmp_path):
    """What is there after SIGKILL is whole; the result is not there."""
    words = ["style", *two, "-o", tmp_path / "out.png", "--weights", trained, "--size", 32]
    words += ["--iterations", 100000, "--every", 1]
    code = "import sys; from convoy.pipeline import cli; sys.exit(cli.main(sys.argv))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out_0005.png").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    found = [path for path in tmp_path.iterdir() if path.suffix == ".png"]
    assert len(found) >= 5
    assert tmp_path / "out.png" not in found
    for path in found:
        assert np.asarray(Image.open(path)).shape == (24, 32, 3)
