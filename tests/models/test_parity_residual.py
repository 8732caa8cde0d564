"""Pre-activation ResNets against timm, keras.applications and the authors' LM-ResNet.

tests/golden/residual.npz is written by tests/parity/residual_reference.py.
"""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import count
from convoy.models.classification import lm_resnet, resnet_v2
from tests.models.test_parity import GOLDEN, assert_close, copy_weights, fill
from tests.parity import formula


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


DEEP = ("resnet34_v2", "resnet101_v2", "resnet152_v2", "resnet200_v2")


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "residual.npz")


@pytest.mark.parametrize("name", ["resnet18_v2", "resnet50_v2", *slow(*DEEP)])
@pytest.mark.parametrize("size", [(64, 64), (75, 81)])
def test_equals_timm(name, size, golden):
    model = fill(models.build(name, num_classes=10, input_size=size))
    images = formula.pictures(2, *size)
    assert_close(model(images, training=False), golden[f"{name}_{size[0]}x{size[1]}"])


@pytest.mark.parametrize(
    "name", ["lm_resnet20", *slow(*(f"lm_resnet{n}" for n in (32, 44, 56, 110, 164)))]
)
def test_equals_the_authors_lm_resnet(name, golden):
    for size in ((32, 32), (37, 34)):
        model = fill(models.build(name, input_size=size))
        images = formula.pictures(2, *size)
        assert_close(model(images, training=False), golden[f"{name}_{size[0]}x{size[1]}"])
    _, bottleneck = lm_resnet.VARIANTS[name]
    # A norm, the k of three blocks, and a projection 16 -> 64 with its norm.
    unused = 2 * 16 + 3 + (0 if bottleneck else 2 * 16 + 16 * 64)
    assert count.params(model) == golden[f"{name}_params"] - unused


def test_multi_step_by_hand():
    """k = -0.25: 1.25 x - 0.25 previous + branch."""
    layer = lm_resnet.MultiStep()
    branch, x, previous = (np.full((1, 1, 1, 1), v, np.float32) for v in (3.0, 8.0, 4.0))
    layer.build([x.shape] * 3)
    layer.k.assign(-0.25)
    assert float(layer([branch, x, previous])[0, 0, 0, 0]) == 3.0 + 1.25 * 8.0 - 0.25 * 4.0


@pytest.mark.parametrize("size", [(5, 4), (1, 2)])
def test_stem_pool_has_no_zeros_at_its_border(size):
    x = np.random.default_rng(0).uniform(-2, -1, (1, *size, 1)).astype(np.float32)
    found = resnet_v2.StemPool()(x)
    rows, columns = ((side + 1) // 2 for side in size)
    for i in range(rows):
        for j in range(columns):
            window = x[0, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2]
            assert float(found[0, i, j, 0]) == window.max()
    assert found.shape == (1, rows, columns, 1)
    assert resnet_v2.StemPool().compute_output_shape((None, *size, 1))[1:3] == (rows, columns)


def keras_name(name: str) -> str:
    """Keras' conv3_block1_preact_bn -> stage2_block1_norm1; its _1_bn follows conv1."""
    fixed = {"conv1_conv": "stem_conv", "post_bn": "head_norm", "predictions": "logits"}
    if name in fixed:
        return fixed[name]
    stage, block, part = re.fullmatch(r"conv(\d)_block(\d+)_(.*)", name).groups()
    parts = {"preact_bn": "norm1", "1_bn": "norm2", "2_bn": "norm3", "0_conv": "shortcut_conv"}
    part = parts.get(part) or re.sub(r"(\d)_conv", r"conv\1", part)
    return f"stage{int(stage) - 1}_block{block}_{part}"


APPLICATIONS = {
    "resnet50_v2_keras": "ResNet50V2",
    "resnet101_v2_keras": "ResNet101V2",
    "resnet152_v2_keras": "ResNet152V2",
}
QUICK = ("resnet50_v2_keras",)


@pytest.mark.parametrize("size", [*slow((64, 64)), (75, 65)])
@pytest.mark.parametrize("name", [*QUICK, *slow(*(n for n in APPLICATIONS if n not in QUICK))])
def test_equals_keras_applications(name, size):
    application = getattr(keras.applications, APPLICATIONS[name])
    reference = application(
        weights=None, classes=12, classifier_activation=None, input_shape=(*size, 3)
    )
    ours = models.build(name, num_classes=12, input_size=size)
    copy_weights(reference, ours, keras_name)
    assert count.params(ours) == count.params(reference)
    images = formula.pictures(2, *size)
    expected = reference(keras.applications.resnet_v2.preprocess_input(images.copy()))
    assert_close(ours(images, training=False), expected)
    maps = models.build(name, num_classes=None, input_size=size).output
    sides = {key: value.shape[1] for key, value in maps.items()}
    assert sides == {f"s{2**k}": -(-size[0] // 2**k) for k in range(2, 6)}
