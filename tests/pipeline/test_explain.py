"""Looking inside: occlusion of a linear model, Grad-CAM by hand, grids, and the verb's pictures."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from convoy import models
from convoy.models import structure
from convoy.models.weights import load
from convoy.pipeline import cli, config
from convoy.pipeline.networks import network, pretrained
from convoy.pipeline.tools.explain import gradcam, heat, run, tiles
from convoy.pipeline.tools.explain.occlusion import occlusion, places
from tests.models.test_weights_torch import true_tensors, write_safetensors
from tests.models.weightless import weightless


def test_places_cover_every_pixel():
    np.testing.assert_array_equal(places(10, 4, 3), [0, 3, 6])
    np.testing.assert_array_equal(places(11, 4, 3), [0, 3, 6, 7])
    np.testing.assert_array_equal(places(4, 4, 4), [0])
    for window, stride in ((0, 1), (11, 1), (4, 0), (4, 5)):
        with pytest.raises(ValueError, match="expected 1 to"):
            places(10, window, stride)


def test_occlusion_of_a_linear_model():
    """score = sum w x, so that a square of gray takes away sum w (x - gray) below it."""
    draw = np.random.default_rng(0)
    image, weights = draw.uniform(0, 255, (7, 9, 3)), draw.normal(size=(7, 9, 3))
    sizes = []

    def score(images):
        sizes.append(len(images))
        return np.tensordot(images, weights, 3)

    found = occlusion(score, image, 3, 2, gray=100.0, batch=5)
    assert max(sizes) == 5
    assert found.drops.shape == (3, 4)
    lost = (weights * (image - 100.0)).sum(-1)
    for r, top in enumerate((0, 2, 4)):
        for c, left in enumerate((0, 2, 4, 6)):
            expected = lost[top : top + 3, left : left + 3].sum()
            assert found.drops[r, c] == pytest.approx(expected, rel=1e-3, abs=0.01)
    assert found.heat[0, 0] == pytest.approx(found.drops[0, 0])
    assert found.heat[1, 2] == pytest.approx(found.drops[0, :2].mean())  # below two squares
    assert found.heat[2, 2] == pytest.approx(found.drops[:2, :2].mean())  # below four


def two_map_network(pooled: bool = True) -> keras.Model:
    """1x1 convolution to maps A1 = 2x, A2 = -x (ReLU), averages, logits [3 a1 - a2, a1 + 4 a2]."""
    image = keras.Input((2, 2, 1), name="image")
    x = keras.layers.Conv2D(2, 1, name="conv")(image)
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(2, name="logits")(x)
    model = keras.Model(image, x)
    model.get_layer("conv").set_weights([np.float32([[[[2, -1]]]]), np.zeros(2, np.float32)])
    model.get_layer("logits").set_weights([np.float32([[3, 1], [-1, 4]]), np.zeros(2, np.float32)])
    return model


def test_gradcam_by_hand():
    """d y / d A_k = w_k / 4 everywhere, so alpha = w / 4; L = ReLU(3/4 A1 - 1/4 A2) for class 0."""
    image = np.float32([[1, -2], [0, 3]])[..., None]
    model = two_map_network()
    found, alpha = gradcam.gradcam(model, image, 0, "relu")
    np.testing.assert_allclose(alpha, [0.75, -0.25])
    np.testing.assert_allclose(found, [[1.5, 0.0], [0.0, 4.5]])  # A1 = 2, 0, 0, 6; A2 = 0, 2, 0, 0
    found, alpha = gradcam.gradcam(model, image, 1, "relu")
    np.testing.assert_allclose(alpha, [0.25, 1.0])
    np.testing.assert_allclose(found, [[0.5, 2.0], [0.0, 1.5]])
    # Before the ReLU the gradient is 0 where the map was negative: 2 of 4 for A1, 1 of 4 for A2.
    _, alpha = gradcam.gradcam(model, image, 1, "conv")
    np.testing.assert_allclose(alpha, [0.25 * 2 / 4, 1.0 * 1 / 4])


def test_gradcam_says_what_cannot_be_explained():
    model, image = two_map_network(), np.zeros((2, 2, 1), np.float32)
    with pytest.raises(ValueError, match="has no layer 'stage9'"):
        gradcam.gradcam(model, image, 0, "stage9")
    with pytest.raises(ValueError, match="pool: expected a layer of maps"):
        gradcam.gradcam(model, image, 0, "pool")


@pytest.mark.parametrize(
    ("name", "size", "last", "ends"),
    [
        (
            "vgg16",
            (64, 64),
            "block5_conv3",
            [f"block{block}_conv{n}" for block, n in enumerate((2, 2, 3, 3, 3), start=1)],
        ),
        (
            "resnet18",
            (64, 64),
            "stage4_block2_relu",
            ["stem_relu", *(f"stage{stage}_block2_relu" for stage in (1, 2, 3, 4))],
        ),
        # At 32 px the last stage has one position: nothing to see there.
        (
            "resnet18",
            (32, 32),
            "stage3_block2_relu",
            ["stem_relu", *(f"stage{stage}_block2_relu" for stage in (1, 2, 3))],
        ),
        (
            "inception_v3",
            (139, 139),
            "mixed7c",
            ["stem_relu3", "stem_relu5", "mixed5d", "mixed6e", "mixed7c"],
        ),
        (
            "mobilenet_v1",
            (64, 64),
            "block13_pointwise_relu",
            [f"block{block}_pointwise_relu" for block in (1, 3, 5, 11, 13)],
        ),
    ],
)
def test_default_layers(name, size, last, ends):
    found = structure.lines(weightless(name, input_size=size))
    assert gradcam.last_maps(found) == last
    assert gradcam.stage_ends(found) == ends


def test_filters_are_stretched_one_by_one_in_colour():
    kernel = np.zeros((1, 2, 3, 2), np.float32)
    kernel[0, :, :, 0] = [[0, 1, 2], [3, 4, 5]]
    first, second = tiles.filters(kernel)
    np.testing.assert_array_equal(first, [[[0, 51, 102], [153, 204, 255]]])
    np.testing.assert_array_equal(second, np.full((1, 2, 3), 128))
    np.testing.assert_array_equal(tiles.filters(kernel, "bgr")[0], first[:, :, ::-1])
    (gray,) = tiles.filters(np.float32([[1, 3], [5, 1]]).reshape(2, 2, 1, 1))
    np.testing.assert_array_equal(gray[..., 0], [[0, 128], [255, 0]])
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])


def test_maps_and_grid():
    values = np.zeros((2, 2, 5))
    values[..., 1] = [[0, 1], [2, 4]]
    shown = tiles.maps(values)
    dark, bright = shown[0][0, 0], shown[1][1, 1]
    assert (shown[0] == dark).all()  # a dead map
    np.testing.assert_array_equal(shown[1][0, 0], dark)
    assert bright.sum() > 2 * dark.sum()
    page = np.asarray(tiles.grid(shown, least_px=4, gap_px=1))
    assert page.shape == (2 * 5 + 1, 3 * 5 + 1, 3)  # five tiles of 4 px in 2 rows of 3
    np.testing.assert_array_equal(page[4, 9], bright)
    np.testing.assert_array_equal(page[6:, 11:], np.full((5, 5, 3), tiles.PAPER))


def test_heat_lies_where_the_network_looked():
    """A 200x100 picture whose centre square was seen at half its size; the heat is at its right."""
    picture = Image.fromarray(np.full((100, 200, 3), 100, np.uint8))
    matrix = np.array([[0.5, 0, -25], [0, 0.5, 0], [0, 0, 1]])
    spots = np.zeros((50, 50), np.float32)
    spots[:, 25:] = 3.0
    drawn = np.asarray(heat.over(picture, spots, matrix, signed=True), int)
    assert drawn.shape == (160, 320, 3)  # enlarged by 1.6
    np.testing.assert_array_equal(drawn[80, 40], [40, 40, 40])  # not seen: darkened
    np.testing.assert_array_equal(drawn[80, 120], [100, 100, 100])  # seen, no heat
    red = drawn[80, 200]
    assert red[0] > 180 > 60 > red[1] == red[2]
    blue = np.asarray(heat.over(picture, -spots, matrix, signed=True), int)[80, 200]
    np.testing.assert_array_equal(blue, red[::-1])


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> pathlib.Path:
    """90x60, with an EXIF orientation of 6: upright it is 60 wide and 90 high."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    ramp = np.mgrid[0:60, 0:90].transpose(1, 2, 0) * 2.5
    pixels = np.dstack([ramp, np.full((60, 90), 90.0)]).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif, quality=95)
    return path


def left_by_a_run(top: pathlib.Path, model: config.Model) -> pathlib.Path:
    """A trainer's folder as a run leaves it, of fresh weights."""
    folder = top / "artifacts" / "trainer" / "0123"
    folder.mkdir(parents=True)
    train, labels = config.Train(precision="mixed_bfloat16"), ["cat", "dog", "owl"]
    task = network.build(model, labels, train)
    task.model.save_weights(folder / network.WEIGHTS)
    network.describe(folder, model, labels, train)
    keras.config.set_dtype_policy("float32")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> pathlib.Path:
    model = config.Model(name="mobilenet_v1", input_size=(64, 64), width=0.25)
    return left_by_a_run(tmp_path_factory.mktemp("run"), model)


def check_picture(path: str) -> np.ndarray:
    pixels = np.asarray(Image.open(path))
    assert min(pixels.shape[:2]) > 60
    assert pixels.std() > 5
    return pixels


def test_the_verb_explains_a_run(capfd, photograph, trained, tmp_path):
    words = ["explain", trained.parents[2], photograph, "-o", tmp_path, "--class", "owl", "--json"]
    assert cli.main(["convoy", *map(str, words)]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "explain.json").read_text())
    assert (told["class"], told["class_id"], told["input"]) == ("owl", 2, [64, 64, 3])
    names = [pathlib.Path(path).stem for path in told["pictures"]]
    stages = [f"maps_block{block}_pointwise_relu" for block in (1, 3, 5, 11, 13)]
    assert names == ["filters", *stages, "occlusion", "gradcam"]
    for path in told["pictures"]:
        check_picture(path)
    assert told["filters"]["kernel"] == [3, 3, 3, 8]
    assert (told["occlusion"]["window_px"], told["occlusion"]["stride_px"]) == (9, 4)
    # 0, 4, ..., 52 and the last place 55: 15 a side.
    assert told["occlusion"]["squares"] == 15 * 15
    height, width = check_picture(tmp_path / "gradcam.png").shape[:2]
    assert height > width  # upright; a long line of text makes the page wider

    task, _ = network.load(trained, "float32")
    _, image, _ = run.fitted(str(photograph), task.info.preprocess)
    scores = task.decode(task.model(image[None], training=False))["scores"][0]
    assert told["score"] == pytest.approx(float(scores[2]), abs=1e-5)
    assert told["top"][0]["score"] == pytest.approx(float(max(scores)), abs=1e-5)


def test_one_layer(photograph, trained, tmp_path):
    told = run.run(
        str(trained), str(photograph), tmp_path, layer="block5_depthwise_relu", window=32, stride=32
    )
    assert [row["layer"] for row in told["maps"]] == ["block5_depthwise_relu"]
    assert told["maps"][0]["size"] == [8, 8, 64]
    assert told["gradcam"] == told["gradcam"] | {"layer": "block5_depthwise_relu", "size": [8, 8]}
    assert told["occlusion"]["squares"] == 4


def test_random_weights_and_gray(photograph, tmp_path):
    told = run.run("lenet5", str(photograph), tmp_path, random=True)
    assert (told["class"], told["filters"]["kernel"]) == (
        f"class {told['class_id']}",
        [5, 5, 1, 6],
    )
    assert [row["layer"] for row in told["maps"]] == ["conv1", "conv2"]


def test_a_detector_shows_filters_and_maps(photograph, tmp_path):
    model = config.Model(name="ssd_mobilenet_v1", input_size=(96, 96), width=0.25)
    told = run.run(str(left_by_a_run(tmp_path / "run", model)), str(photograph), tmp_path)
    assert "need the score of a whole picture" in told["note"]
    assert not {"class", "occlusion", "gradcam"} & told.keys()
    assert [row["layer"] for row in told["maps"]][:2] == [
        "block1_pointwise_relu",
        "block3_pointwise_relu",
    ]
    for path in told["pictures"]:
        check_picture(path)


def one_square(network: str, photograph, output, weights: str) -> dict:
    """Explained with the whole picture covered at once, which is quick."""
    return run.run(network, str(photograph), output, weights=weights, window=224, stride=224)


@pytest.mark.slow
def test_published_weights(photograph, tmp_path):
    """A file for ten classes makes a network of ten."""
    path = write_safetensors(tmp_path / "r.safetensors", true_tensors("resnet18"))
    told = one_square("resnet18", photograph, tmp_path, str(path))
    task = models.build_task("resnet18", num_classes=10)
    for layer, theirs in (("stem_conv", "conv1"), ("stage4_block2_conv2", "layer4.1.conv2")):
        kernel = run.published("resnet18", str(path))[0].model.get_layer(layer).kernel
        expected = true_tensors("resnet18")[f"{theirs}.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(kernel, expected)
    load.load(task.model, "resnet18", path)
    _, image, _ = run.fitted(str(photograph), task.info.preprocess)
    scores = np.asarray(task.decode(task.model(image[None], training=False))["scores"])[0]
    best = int(scores.argmax())
    assert (told["class"], told["class_id"]) == (f"class {best}", best)
    assert told["score"] == pytest.approx(float(scores[best]), abs=1e-5)
    assert told["weights"] == str(path)


@pytest.mark.slow
def test_imagenet_has_names_where_they_can_be_fetched(served, photograph, tmp_path, monkeypatch):
    folder, url = served
    write_safetensors(folder / "r.safetensors", true_tensors("resnet18"))
    monkeypatch.setitem(pretrained.IMAGENET, "resnet18", f"{url}/r.safetensors")
    monkeypatch.setattr(pretrained, "CLASSES", f"{url}/index.json")
    told = one_square("resnet18", photograph, tmp_path, "imagenet")
    assert told["class"] == f"class {told['class_id']}"
    names = {str(k): [f"n{k}", f"name_{k}"] for k in range(10)}
    (folder / "index.json").write_text(json.dumps(names))
    assert run.load_network("resnet18", False, "imagenet")[1] == [f"name_{k}" for k in range(10)]


def test_a_file_without_the_last_layer_explains_nothing(photograph, tmp_path):
    tensors = {k: v for k, v in true_tensors("resnet18").items() if not k.startswith("fc.")}
    path = write_safetensors(tmp_path / "r.safetensors", tensors)
    with pytest.raises(ValueError, match="expected the whole of resnet18, it lacks logits/kernel"):
        one_square("resnet18", photograph, tmp_path, str(path))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["resnet18"], 2, "expected a run or a model"),
        (["resnet18", "PHOTO", "-o", "OUT"], 1, "resnet18 is a network's name"),
        (["nowhere", "PHOTO", "-o", "OUT"], 1, "nowhere: no such folder"),
        (["TRAINED", "PHOTO", "-o", "OUT", "--random"], 1, "--random: expected a network's name"),
        (["TRAINED", "PHOTO", "-o", "OUT", "--weights", "x"], 1, "--weights: expected a network's"),
        (["resnet8", "PHOTO", "-o", "OUT", "--weights", "imagenet"], 1, "the closest names are"),
        (["lenet5", "PHOTO", "-o", "OUT", "--weights", "imagenet"], 1, "no published weights of"),
        (["resnet18", "PHOTO", "-o", "OUT", "--weights", "x.h5"], 1, "x.h5: no such file"),
        (["ssd300_vgg16", "PHOTO", "-o", "OUT", "--weights", "imagenet"], 1, "is for detection"),
        (["resnet18", "PHOTO", "-o", "OUT", "--weights", "imagenet", "--random"], 2, "one of them"),
        (["TRAINED", "nothing.jpg", "-o", "OUT"], 1, "nothing.jpg: no such file"),
        (["TRAINED", "PHOTO", "-o", "OUT", "--class", "cow"], 1, "the closest classes are"),
        (["TRAINED", "PHOTO", "-o", "OUT", "--layer", "x"], 1, "has no layer 'x'"),
        (["OUT", "PHOTO", "-o", "OUT"], 1, "expected a trainer's folder"),
        (
            ["text_cnn_rand", "PHOTO", "-o", "OUT", "--random"],
            1,
            "text_cnn_rand: expected a network of pictures, it is of text",
        ),
    ],
)
def test_errors(capfd, photograph, trained, tmp_path, words, code, message):
    named = {"PHOTO": str(photograph), "OUT": str(tmp_path), "TRAINED": str(trained)}
    assert cli.main(["convoy", "explain", *(named.get(word, word) for word in words)]) == code
    assert message in capfd.readouterr().err
