"""Our networks against independent ones under identical random weights.

keras.applications runs here; torchvision's outputs were written by tests/parity/torch_reference.py;
LeNet-5 of 1998 is checked against NumPy loops.
"""

from __future__ import annotations

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import anchors, boxes
from convoy.models.classification import lenet
from tests.parity import formula

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def fill(model: keras.Model) -> keras.Model:
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(formula.weight(f"{layer.name}/{variable.name}", variable.shape))
    return model


def assert_close(ours, reference, tolerance: float = 1e-4) -> None:
    """Largest error, relative to the largest reference value."""
    ours, reference = np.asarray(ours), np.asarray(reference)
    assert ours.shape == reference.shape
    assert np.std(reference) > 0
    assert np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


def copy_weights(source: keras.Model, target: keras.Model, name_of=None) -> None:
    """Random weights into `source`, the same into `target`.

    name_of maps the name of a layer to that of its twin; None where both have the same order.
    A bias of a convolution that the target lacks is subtracted from its running mean.
    """
    draw = np.random.default_rng(0)
    chains = (source.layers, target.layers)
    sequence = [[layer for layer in chain if layer.weights] for chain in chains]
    biases = {}
    for layer, twin in zip(*sequence, strict=True):
        twin = target.get_layer(name_of(layer.name)) if name_of else twin
        values = [_random(draw, variable) for variable in layer.weights]
        layer.set_weights(values)
        if len(values) > len(twin.weights):
            biases[twin.name.replace("conv", "norm")] = values.pop()
        if twin.name in biases:
            values[2] = values[2] - biases.pop(twin.name)
        values = [v.reshape(w.shape) for v, w in zip(values, twin.weights, strict=True)]
        twin.set_weights(values)
    assert not biases


def resnet_name(name: str) -> str:
    """Keras' conv3_block1_2_bn -> stage2_block1_norm2; _0_ is the shortcut."""
    fixed = {"conv1_conv": "stem_conv", "conv1_bn": "stem_norm", "predictions": "logits"}
    if name in fixed:
        return fixed[name]
    stage, block, index, kind = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(\w+)", name).groups()
    kind = kind.replace("bn", "norm")
    part = f"shortcut_{kind}" if index == "0" else f"{kind}{index}"
    return f"stage{int(stage) - 1}_block{block}_{part}"


def _random(draw, variable) -> np.ndarray:
    shape = tuple(variable.shape)
    if variable.name == "moving_variance":
        return draw.uniform(0.5, 1.5, shape)
    scale = 0.05 if len(shape) == 1 else np.sqrt(1.0 / np.prod(shape[:-1]))
    if "depthwise" in variable.path:
        scale = 1 / 3
    return scale * draw.standard_normal(shape) + (variable.name == "gamma")


def reference_input(name: str, images):
    """Keras' networks expect normalised pixels; ours normalise inside."""
    mode = "tf" if name.startswith("mobilenet") else "caffe"
    module = keras.applications.mobilenet if mode == "tf" else keras.applications.resnet50
    return module.preprocess_input(images.copy())


APPLICATIONS = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50_v1": "ResNet50",
    "resnet101_v1": "ResNet101",
    "resnet152_v1": "ResNet152",
    "mobilenet_v1": "MobileNet",
}
QUICK = ("vgg16", "resnet50_v1", "mobilenet_v1")


@pytest.mark.parametrize("size", [pytest.param((64, 64), marks=pytest.mark.slow), (75, 65)])
@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in APPLICATIONS],
)
def test_equals_keras_applications(name, size):
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, APPLICATIONS[name])
    reference = build(weights=None, classes=12, classifier_activation=None, input_shape=(*size, 3))
    ours = models.build(name, num_classes=12, input_size=size)
    copy_weights(reference, ours, resnet_name if "resnet" in name else None)
    images = formula.pictures(2, *size)
    expected = reference(reference_input(name, images), training=False)
    assert_close(ours(images, training=False), expected)


DEEP = ("resnet34", "resnet101", "resnet152", "resnet200", "resnet200_v1")


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", *(pytest.param(n, marks=pytest.mark.slow) for n in DEEP)],
)
def test_equals_torchvision_resnet(name):
    golden = np.load(GOLDEN / "torch_resnet.npz")
    for height, width in ((64, 64), (75, 81)):
        model = fill(models.build(name, num_classes=10, input_size=(height, width)))
        images = formula.pictures(2, height, width)
        assert_close(model(images, training=False), golden[f"{name}_{height}x{width}"])


@pytest.mark.parametrize("size", [pytest.param((64, 96), marks=pytest.mark.slow), (161, 129)])
def test_weldon_equals_torchvision_and_the_authors_pooling(size):
    """Of 6 positions one is the highest fifth, of 30 six."""
    model = fill(models.build("weldon_resnet101", num_classes=10, input_size=size))
    golden = np.load(GOLDEN / "torch_weldon.npz")
    assert_close(
        model(formula.pictures(2, *size), training=False), golden["x".join(map(str, size))]
    )


def test_equals_torchvision_ssd300():
    golden = np.load(GOLDEN / "torch_ssd300.npz")
    task = models.build_task("ssd300_vgg16", num_classes=20)
    fill(task.model)
    outputs = task.model(formula.pictures(2, 300, 300), training=False)
    assert outputs["cls"].shape == (2, 8732, 21)
    assert_close(outputs["cls"][:, ::113], golden["cls"])
    assert_close(outputs["box"][:, ::113], golden["box"])

    priors = task.priors.boxes
    np.testing.assert_allclose(priors[::113], golden["priors"], atol=1e-4)
    np.testing.assert_allclose(priors.sum(0, dtype=np.float64), golden["prior_sum"], rtol=1e-6)

    targets = [
        task.encode({"boxes": boxes, "classes": classes, "valid": np.ones(len(boxes), bool)})
        for boxes, classes in formula.objects()
    ]
    targets = {key: tf.stack([t[key] for t in targets]) for key in ("cls", "box")}
    positives = np.count_nonzero(targets["cls"], axis=1)
    np.testing.assert_array_equal(positives, golden["matched"])
    for name, (value, normalizer) in task.loss(targets, outputs).items():
        assert float(normalizer) == golden["matched"].sum()
        np.testing.assert_allclose(value / normalizer, golden[f"{name}_loss"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 512)])
def test_ssd512_vgg16_equals_torchvision_s_parts(size):
    """Its priors are by hand in test_ssd.py."""
    golden = np.load(GOLDEN / "torch_ssd512.npz")
    model = fill(models.build("ssd512_vgg16", num_classes=10))
    outputs = model(formula.pictures(1, *size), training=False)
    assert outputs["cls"].shape == (1, 24_564, 11)
    assert_close(outputs["cls"][:, ::311], golden["cls"])
    assert_close(outputs["box"][:, ::311], golden["box"])


def test_lenet5_1998_equals_loops():
    model = fill(models.build("lenet5_1998"))
    images = formula.pictures(2, 32, 32, channels=1)
    w = {f"{v.path}": v.numpy() for layer in model.layers for v in layer.weights}

    def squash(x):
        return 1.7159 * np.tanh(2 * x / 3)

    def convolve(x, kernel, bias, table=None):
        out = np.zeros((x.shape[0] - 4, x.shape[1] - 4, len(bias)))
        for o in range(len(bias)):
            sources = range(x.shape[2]) if table is None else table[o]
            for i in range(out.shape[0]):
                for j in range(out.shape[1]):
                    patch = x[i : i + 5, j : j + 5]
                    total = sum((patch[:, :, s] * kernel(s, o)).sum() for s in sources)
                    out[i, j, o] = total + bias[o]
        return squash(out)

    def subsample(x, coefficient, bias):
        sums = x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]
        return squash(sums * coefficient + bias)

    table = lenet.C3_TABLE
    pairs = [(s, o) for o, sources in enumerate(table) for s in sources]
    centers = lenet.bitmaps()
    expected = []
    for image in images:
        x = image / 255 * 1.275 - 0.1
        x = convolve(x, lambda s, o: w["c1/kernel"][:, :, s, o], w["c1/bias"])
        x = subsample(x, w["s2/coefficient"], w["s2/bias"])
        x = convolve(x, lambda s, o: w["c3/kernel"][:, :, pairs.index((s, o))], w["c3/bias"], table)
        x = subsample(x, w["s4/coefficient"], w["s4/bias"])
        x = convolve(x, lambda s, o: w["c5/kernel"][:, :, s, o], w["c5/bias"])
        x = squash(x.reshape(-1) @ w["f6/kernel"] + w["f6/bias"])
        expected.append(-((x - centers) ** 2).sum(1))
    assert_close(model(images), np.stack(expected))


def test_lenet5_1998_bitmaps_are_digits_of_their_own():
    bitmaps = lenet.bitmaps()
    assert bitmaps.shape == (10, 84)
    assert set(np.unique(bitmaps)) == {-1.0, 1.0}
    differing = (bitmaps[:, None] != bitmaps[None]).sum(-1)
    assert differing[~np.eye(10, dtype=bool)].min() >= 5
    top_of_seven = bitmaps[7].reshape(12, 7)[1]
    np.testing.assert_array_equal(top_of_seven, np.ones(7))


def test_prior_order_is_that_of_the_heads():
    """The last prior of the first row's second cell: a tiny map with marked channels says so."""
    level = anchors.Level(grid=(2, 3), step=(8.0, 8.0), shapes=((4.0, 4.0), (6.0, 6.0)))
    rows = anchors.priors([level])
    map_of_centers = np.zeros((2, 3, 2, 2), np.float32)
    for y in range(2):
        for x in range(3):
            map_of_centers[y, x] = [8 * y + 4, 8 * x + 4]
    flat = keras.layers.Reshape((12, 2))(map_of_centers.reshape(1, 2, 3, 4))[0]
    np.testing.assert_array_equal((rows[:, :2] + rows[:, 2:]) / 2, flat)
    np.testing.assert_array_equal(boxes.area(rows)[:4], [16, 36, 16, 36])
