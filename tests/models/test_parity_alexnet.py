"""AlexNet, ZFNet, SPP-net, OverFeat and VGG against Caffe networks, PyTorch and torchvision.

Their outputs were written by tests/parity/classics_reference.py.
"""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.classification import alexnet, zfnet
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.models.weightless import weightless
from tests.parity import formula

CAFFE = np.load(GOLDEN / "classics_caffe.npz")
TORCHVISION = np.load(GOLDEN / "classics_torchvision.npz")


SLOW = (
    *("alexnet_owt_224x224", "spp_net_zf5_180x180", "alexnet_single_112x75"),
    "zfnet_large_93x75",
    *("overfeat_fast_103x119", "overfeat_accurate_77x77"),
    *("vgg11_75x65", "vgg11_bn_64x97"),
)
DEEP = ("vgg13", "vgg16", "vgg19")


def cases(names) -> list:
    """SLOW ones, and all of VGG with more layers than vgg11, wait for -m slow."""
    slow = {name for name in names if name in SLOW or name.startswith(DEEP)}
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in names]


def sides(case: str) -> tuple[str, tuple[int, int]]:
    """ "alexnet_95x95" -> ("alexnet", (95, 95))."""
    name, size = case.rsplit("_", 1)
    height, width = map(int, size.split("x"))
    return name, (height, width)


def logits(name, size, count=2):
    model = fill(models.build(name, num_classes=10, input_size=size))
    return model(formula.pictures(count, *size), training=False)


@pytest.mark.parametrize("case", cases(sorted(CAFFE)))
def test_equals_caffe_and_torch(case):
    assert_close(logits(*sides(case)), CAFFE[case])


@pytest.mark.parametrize("case", cases(["alexnet_owt_224x224", "alexnet_owt_75x131"]))
def test_equals_torchvision_alexnet(case):
    assert_close(logits(*sides(case)), TORCHVISION[case])


VGGS = ("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16_bn", "vgg19_bn")


@pytest.mark.parametrize("name", cases(VGGS))
def test_maps_equal_torchvision_vgg(name):
    for size in ((64, 64), (75, 65)):
        backbone = fill(models.build(name, num_classes=None, input_size=size))
        maps = backbone(formula.pictures(2, *size), training=False)
        assert_close(maps["s32"][..., ::16], TORCHVISION[f"{name}_{size[0]}x{size[1]}"])


@pytest.mark.parametrize(
    "case", cases([f"{n}_{size}" for n in VGGS for size in ("75x65", "64x97")])
)
def test_equals_torchvision_vgg(case):
    """The full layers take maps of 2 x 2 and of 2 x 3 here."""
    name, size = sides(case)
    assert_close(logits(name, size), TORCHVISION[f"{name}_logits_{size[0]}x{size[1]}"])


@pytest.mark.slow
def test_equals_torchvision_vgg_at_its_own_size():
    assert_close(logits("vgg11", (224, 224), count=1), TORCHVISION["vgg11_224x224"])


# (positions, kernel, inputs a group, outputs) of every convolution, then widths of the full layers.
FULL = (4096, 4096, 1000)
AS_PUBLISHED = {
    "alexnet_single": (
        [
            (55, 11, 3, 96),
            (27, 5, 96, 256),
            (13, 3, 256, 384),
            (13, 3, 384, 384),
            (13, 3, 384, 256),
        ],
        (9216, *FULL),
    ),
    "zfnet": (
        [
            (110, 7, 3, 96),
            (26, 5, 96, 256),
            (13, 3, 256, 384),
            (13, 3, 384, 384),
            (13, 3, 384, 256),
        ],
        (9216, *FULL),
    ),
    "zfnet_large": (
        [
            *[(110, 7, 3, 96), (26, 5, 96, 256), (13, 3, 256, 512)],
            *[(13, 3, 512, 1024), (13, 3, 1024, 512)],
        ],
        (18432, *FULL),
    ),
    "spp_net_zf5": (
        [
            (110, 7, 3, 96),
            (26, 5, 96, 256),
            (13, 3, 256, 384),
            (13, 3, 384, 384),
            (13, 3, 384, 256),
        ],
        (12800, *FULL),
    ),
    "overfeat_fast": (
        [
            (56, 11, 3, 96),
            (24, 5, 96, 256),
            (12, 3, 256, 512),
            (12, 3, 512, 1024),
            (12, 3, 1024, 1024),
        ],
        (36864, 3072, 4096, 1000),
    ),
    "overfeat_accurate": (
        [
            *[(108, 7, 3, 96), (30, 7, 96, 256), (15, 3, 256, 512), (15, 3, 512, 512)],
            *[(15, 3, 512, 1024), (15, 3, 1024, 1024)],
        ],
        (25600, *FULL),
    ),
}


@pytest.mark.parametrize("name", AS_PUBLISHED)
def test_counts_are_the_sums_of_the_published_layers(name):
    convolutions, full = AS_PUBLISHED[name]
    pairs = list(itertools.pairwise(full))
    params = sum((k * k * i + 1) * o for _, k, i, o in convolutions)
    macs = sum(n * n * k * k * i * o for n, k, i, o in convolutions)
    info = models.describe(name)
    assert info.params == params + sum((i + 1) * o for i, o in pairs)
    assert info.macs == macs + sum(i * o for i, o in pairs)


def test_filters_of_zfnet_stay_within_their_radius():
    """A filter of root mean square 0.3 comes back at 0.1, one of 0.05 stays."""
    image = keras.Input((9, 9, 3))
    kernel = (
        keras.Model(image, zfnet.conv(image, 2, 7, 2, 1, name="conv1")).get_layer("conv1").kernel
    )
    values = np.ones((7, 7, 3, 2), np.float32) * [0.3, 0.05]
    kernel.assign(values)
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build([kernel])
    optimizer.apply([np.zeros_like(values)], [kernel])
    np.testing.assert_allclose(kernel[..., 0], 0.1, rtol=1e-5)
    np.testing.assert_allclose(kernel[..., 1], 0.05, rtol=1e-5)


def test_alexnet_starts_as_the_paper_says():
    keras.utils.set_random_seed(0)
    model = models.build("alexnet", num_classes=2, input_size=(63, 63))
    for name in ("conv2", "conv4", "conv5", "fc6", "fc7"):
        np.testing.assert_array_equal(model.get_layer(name).bias, 1.0)
    for name in ("conv1", "conv3", "logits"):
        np.testing.assert_array_equal(model.get_layer(name).bias, 0.0)
    assert np.std(model.get_layer("conv3").kernel) == pytest.approx(0.01, rel=0.01)
    assert model.get_layer("conv2").kernel.shape == (5, 5, 48, 256)
    assert alexnet.VARIANTS["alexnet"].groups == 2


SMALLEST = {
    "alexnet": 63,
    "alexnet_owt": 63,
    "zfnet": 47,
    "spp_net_zf5": 31,
    "overfeat_fast": 71,
    "overfeat_accurate": 77,
}


@pytest.mark.parametrize("name", SMALLEST)
def test_smallest_inputs(name):
    size = SMALLEST[name]
    model = weightless(name, num_classes=None, input_size=(size, size))
    *_, last = model.output.values()
    assert min(last.shape[1:]) >= 1
    with pytest.raises(ValueError, match=f"at least {size}x{size} px, got {size}x{size - 1}"):
        models.build(name, input_size=(size, size - 1))
