"""How the weights of every family start, beside its paper's or its reference's numbers.

Equal outputs under copied weights do not show a wrong start, which costs accuracy. The rows are in
initial_laws.py. Tolerances follow from the number of weights in a layer.
"""

from __future__ import annotations

import fnmatch
import itertools
import math

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import registry
from tests.models import initial_laws
from tests.models.initial_laws import Law, uniform
from tests.models.initial_laws_captioning import CAPTIONERS
from tests.models.initial_laws_detection import DETECTORS
from tests.models.initial_laws_pose import POSES
from tests.models.initial_laws_restoration import RESTORERS
from tests.models.initial_laws_segmentation import SEGMENTERS
from tests.models.smallest import CASES, DEEP

ROWS = {**initial_laws.ROWS, **CAPTIONERS, **DETECTORS, **POSES, **RESTORERS, **SEGMENTERS}
SIGMAS = 5.0  # of the sampling error: a draw passes it once in two million
CLASSES = 100  # so that biases are many enough to measure


def networks() -> list[str]:
    return [name for names in ROWS for name in names]


def built(name: str, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    options = {key: value for key, value in CASES[name].options.items() if key != "words"}
    if name not in ("lecun1989", "lenet5_1998"):
        options["num_classes"] = CLASSES
    return models.build_task(name, **options).model


def kernel_shape(layer: keras.Layer) -> tuple[int, ...]:
    """[taps..., inputs that an output sees, outputs that an input reaches] of any layer."""
    kernel = getattr(layer, "kernel", None)
    return (1, 1) if kernel is None else tuple(kernel.shape)


def law_of(laws: dict[str, Law], path: str) -> Law:
    for pattern, law in laws.items():
        if fnmatch.fnmatchcase(path, pattern):
            return law
    raise AssertionError(f"no law for {path}: add it to the row, with its source")


def check(path: str, law: Law, shape: tuple[int, ...], drawn: np.ndarray) -> None:
    """drawn follows the law, as far as so many numbers can show."""
    if law.kind == "any":
        return
    if law.kind == "constant":
        np.testing.assert_array_equal(drawn, np.float32(law.mean), err_msg=path)
        return
    deviation, count = law.deviation(shape), drawn.size
    # The sampling error of a mean is 1 / sqrt(n) deviations, that of a normal law's deviation
    # 1 / sqrt(2 n); a law with shorter tails has less.
    assert abs(drawn.mean()) < SIGMAS * deviation / math.sqrt(count), path
    error = drawn.std() / deviation - 1
    assert abs(error) < SIGMAS / math.sqrt(2 * count), (path, drawn.std(), deviation)
    largest = np.abs(drawn).max() / deviation
    if law.kind == "uniform":
        assert largest <= math.sqrt(3) * 1.000001, path
    if law.kind == "truncated":
        assert largest <= 2 / 0.87962566 * 1.000001, path
    if law.kind == "normal" and count >= 5000:  # 1 in 370 lies beyond 3 deviations
        assert largest > 3, path


def test_every_family_has_a_row():
    covered = {registry.MODELS[name].family.module for name in networks()}
    missing = {row.family.module for row in registry.MODELS.values()} - covered
    assert not missing, f"add the start of {', '.join(sorted(missing))}, with its source"


@pytest.mark.parametrize(
    "names",
    [pytest.param(n, marks=[pytest.mark.slow] if n[0] in DEEP else []) for n in ROWS],
    ids=lambda names: names[0],
)
def test_weights_start_as_the_source_says(names):
    laws, by_hand = ROWS[names].laws, dict(ROWS[names].by_hand)
    for name in names:
        for layer in built(name).layers:
            shape = kernel_shape(layer)
            for weight in layer.weights:
                path = f"{layer.name}/{weight.name}"
                law = law_of(laws, path)
                check(f"{name}: {path}", law, shape, np.array(weight))
                if path in by_hand:
                    assert law.deviation(shape) == pytest.approx(by_hand.pop(path), rel=1e-4), path
    assert not by_hand, "layers that no network of the row has"


@pytest.mark.parametrize(
    ("name", "reference", "options"),
    [
        ("mobilenet_v1", "MobileNet", {}),
        ("mobilenet_v2", "MobileNetV2", {}),
        ("mobilenet_v3_small", "MobileNetV3Small", {"include_preprocessing": False}),
    ],
)
def test_kernels_are_as_large_as_kerases(name, reference, options):
    """keras.applications' network and ours, drawn and measured kernel by kernel."""
    keras.utils.set_random_seed(0)
    ours = models.build(name, input_size=(96, 96), num_classes=CLASSES, width=0.75)
    theirs = getattr(keras.applications, reference)(
        input_shape=(96, 96, 3), alpha=0.75, weights=None, classes=CLASSES, **options
    )
    drawn = [
        [np.squeeze(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")]
        for model in (ours, theirs)
    ]
    for index, (one, other) in enumerate(zip(*drawn, strict=True)):
        assert one.shape == other.shape
        # Both are uniform: the error of each deviation is below 1 / sqrt(4 n).
        assert abs(one.std() / other.std() - 1) < SIGMAS / math.sqrt(2 * one.size), (
            index,
            one.shape,
        )


def test_lenet_draws_each_connection_by_its_unit():
    """Maps of C3 see 3, 4 or 6 maps of S2: +-2.4 / 75, +-2.4 / 100, +-2.4 / 150."""
    kernel = np.array(built("lenet5_1998").get_layer("c3").kernel)
    places = np.cumsum([0, 6 * 3, 9 * 4, 6])
    for (first, last), fan in zip(itertools.pairwise(places), (75, 100, 150), strict=True):
        check("c3", uniform(2.4 / fan), (1, 1), kernel[..., first:last])


def test_no_two_layers_of_one_shape_start_alike():
    """They would if they shared an initialiser: an object has one seed."""
    for name in ("alexnet", "googlenet_bn_aux", "mobilenet_v2"):
        network = built(name)
        drawn = {}
        for layer in network.layers:
            for weight in layer.weights:
                numbers = np.array(weight).ravel()
                if numbers.std() > 0:  # whatever the scale
                    key = tuple(np.round(numbers[1:4] / numbers[0], 3).tolist())
                    drawn.setdefault(key, []).append(layer.name)
        assert not [layers for layers in drawn.values() if len(layers) > 1], name


@pytest.mark.parametrize("name", ["lm_resnet20", "lenet5_1998", "mobilenet_v1", "text_cnn_rand"])
def test_the_seed_decides(name):
    first, again, other = (
        [np.array(weight) for weight in built(name, seed).weights] for seed in (3, 3, 4)
    )
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    moved = [
        not np.array_equal(one, another)
        for one, another in zip(first, other, strict=True)
        if one.std() > 0
    ]
    assert moved
    assert all(moved)
