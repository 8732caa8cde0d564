"""Every network that a file is published of: each variable finds its tensor, none is left over.

Names and shapes alone, so that the deepest are quick: of torchvision and timm as
tests/parity/weights_reference.py wrote them down, of keras.applications from the functions
themselves, of Caffe as its authors number the layers. The outputs are compared elsewhere.
"""

from __future__ import annotations

import collections
import json
import lzma
import pathlib

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.keras_internals import without_values
from convoy.models.weights import keras_h5, load, sources, state_dict
from convoy.pipeline.networks.pretrained import WIDTHS
from tests import weights_page
from tests.models.test_parity import GOLDEN
from tests.models.weightless import weightless

CLASSES = 10
TORCH = json.loads(lzma.decompress((GOLDEN / "weights_torch.json.xz").read_bytes()))
ENDINGS = {"torch": ".pth", "keras": ".h5", "caffe": ".caffemodel", "darknet": ".weights"}


def named(kind: str) -> pathlib.Path:
    """No file: its name tells the format."""
    return pathlib.Path(f"published{ENDINGS[kind]}")


def blank(shape) -> np.ndarray:
    """Any size without memory; neither 0 nor 1, which other layers may do without."""
    return np.broadcast_to(np.float32(0.5), tuple(shape))


def check(network: str, kind: str, found: dict, model: keras.Model | None = None) -> load.Report:
    """All of the model, and of the file all that belongs to it, each part once."""
    model = model or weightless(network, num_classes=CLASSES)
    planned, report = load.plan(model, network, named(kind), lambda *_: found)
    assert (report.missing, report.mismatched) == ([], [])
    assert {v.path for v, _ in planned} == {v.path for v in model.weights}
    for variable, value in planned:
        assert value.shape == tuple(variable.shape)
    names = sources.of(kind, sources.BACKBONES.get(network, network)).names(
        [layer.name for layer in model.layers if layer.weights]
    )
    theirs = [
        name for each in names.values() for name in ([each] if isinstance(each, str) else each)
    ]
    assert max(collections.Counter(theirs).values()) == 1
    return report


@pytest.mark.parametrize("published", sorted(TORCH))
def test_torch(published):
    """torchvision's and timm's own names, of timm's VGG others than torchvision's."""
    tensors = {name: blank(shape) for name, shape in TORCH[published].items()}
    found = state_dict.layers(tensors)
    if published == "inception_resnet_v2":  # trained without scales: they are 1
        for parts in found.values():
            if "gamma" in parts:
                parts["gamma"] = np.ones(parts["gamma"].shape, np.float32)
    report = check(published.split(" of ")[0], "torch", found)
    heads = {name.split(".")[0] for name in report.unused}
    assert heads == ({"aux1", "aux2"} if published == "googlenet_bn" else set())


def test_every_torch_network_of_the_registry_is_among_them():
    known = {name for name in models.list_models() if sources.of("torch", name)}
    of_masks = {"mask_rcnn_resnet50_fpn", "mask_rcnn_resnet101_fpn"}  # test_weights_instance.py
    assert known - set(TORCH) == {"googlenet_bn_aux", *of_masks}  # below


def test_googlenet_with_its_heads():
    tensors = {name: blank(shape) for name, shape in TORCH["googlenet_bn"].items()}
    report = check("googlenet_bn_aux", "torch", state_dict.layers(tensors))
    assert report.unused == []


KERAS = [name for name in models.list_models() if sources.of("keras", name)]


@pytest.mark.parametrize(("network", "width"), [*((name, 1.0) for name in KERAS), *WIDTHS])
def test_keras(network, width):
    application = getattr(keras.applications, sources.of("keras", network).application)
    alpha = {} if width == 1.0 else {"alpha": width}
    with without_values():
        theirs = application(weights=None, classes=CLASSES, classifier_activation=None, **alpha)
    model = weightless(network, num_classes=CLASSES, **({} if width == 1.0 else {"width": width}))
    found = {
        layer.name: {variable.name: blank(variable.shape) for variable in layer.weights}
        for layer in theirs.layers
        if layer.weights
    }
    assert check(network, "keras", keras_h5.numbered(found), model).unused == []


def caffe_resnet(depths: tuple[int, ...]) -> dict[str, dict[str, np.ndarray]]:
    """As the ResNet authors' prototxt numbers it: a, b, c, ..., or a, b1, b2, ... if long."""
    found = {}

    def conv(name: str, outputs: int, inputs: int, side: int, bias: bool = False) -> None:
        end = "_conv1" if name == "conv1" else name.removeprefix("res")
        found[name] = {"kernel": blank((outputs, inputs, side, side))}
        if bias:
            found[name]["bias"] = blank((outputs,))
        found[f"bn{end}"] = {k: blank((outputs,)) for k in ("moving_mean", "moving_variance")}
        found[f"scale{end}"] = {k: blank((outputs,)) for k in ("gamma", "beta")}

    conv("conv1", 64, 3, 7, bias=depths == (3, 4, 6, 3))
    inputs = 64
    for stage, depth in enumerate(depths, start=2):
        width = 64 * 2 ** (stage - 2)
        letters = [chr(ord("a") + index) for index in range(depth)]
        if depth > 6 or (stage == 3 and depths[2] > 6):
            letters = ["a", *(f"b{index}" for index in range(1, depth))]
        for letter in letters:
            name = f"res{stage}{letter}_branch"
            if letter == "a":
                conv(f"{name}1", 4 * width, inputs, 1)
            conv(f"{name}2a", width, inputs, 1)
            conv(f"{name}2b", width, width, 3)
            conv(f"{name}2c", 4 * width, width, 1)
            inputs = 4 * width
    found["fc1000"] = {"kernel": blank((CLASSES, 2048)), "bias": blank((CLASSES,))}
    return found


@pytest.mark.parametrize(
    ("network", "depths"),
    [
        ("resnet50_v1", (3, 4, 6, 3)),
        ("resnet101_v1", (3, 4, 23, 3)),
        ("resnet152_v1", (3, 8, 36, 3)),
    ],
)
def test_caffe_resnets(network, depths):
    assert check(network, "caffe", caffe_resnet(depths)).unused == []


# Of BVLC's and the authors' prototxts: convolutions (outputs, inputs a group, side), full layers.
CAFFE_PLAIN = {
    "caffenet": (
        [(96, 3, 11), (256, 48, 5), (384, 256, 3), (384, 192, 3), (256, 192, 3)],
        [(4096, 9216), (4096, 4096)],
    ),
    "vgg_m_1024": (
        [(96, 3, 7), (256, 96, 5), (512, 256, 3), (512, 512, 3), (512, 512, 3)],
        [(4096, 18432), (1024, 4096)],
    ),
    "zf_caffe": (
        [(96, 3, 7), (256, 96, 5), (384, 256, 3), (384, 384, 3), (256, 384, 3)],
        [(4096, 9216), (4096, 4096)],
    ),
}


@pytest.mark.parametrize("network", CAFFE_PLAIN)
def test_caffe_classifiers_that_detectors_stand_on(network):
    convolutions, full = CAFFE_PLAIN[network]
    kernels = {f"conv{n}": (o, i, k, k) for n, (o, i, k) in enumerate(convolutions, start=1)}
    kernels |= {f"fc{n}": shape for n, shape in enumerate(full, start=6)}
    kernels["fc8"] = (CLASSES, full[-1][0])
    found = {
        name: {"kernel": blank(shape), "bias": blank(shape[:1])} for name, shape in kernels.items()
    }
    assert check(network, "caffe", found).unused == []


VGG_19 = {
    f"block{block}_conv{index}": (3, 3, inputs if index == 1 else outputs, outputs)
    for block, (depth, inputs, outputs) in enumerate(
        ((2, 3, 64), (2, 64, 128), (4, 128, 256), (4, 256, 512), (4, 512, 512)), start=1
    )
    for index in range(1, depth + 1)
}


@pytest.mark.parametrize("kind", ["keras", "caffe"])
def test_the_lower_part_of_a_body(kind):
    """OpenPose takes VGG-19 up to conv4_2; what is above stays in the file, and is no fault."""
    model = weightless("openpose_coco", input_size=(64, 64))
    kernels = VGG_19
    if kind == "caffe":
        kernels = {
            name.replace("block", "conv").replace("_conv", "_"): shape[::-1][:2] + shape[:2]
            for name, shape in VGG_19.items()
        }
    found = {
        name: {"kernel": blank(shape), "bias": blank(shape[:1] if kind == "caffe" else shape[3:])}
        for name, shape in kernels.items()
    }
    planned, report = load.plan(model, "openpose_coco", named(kind), lambda *_: found)
    assert {v.path.split("/")[0] for v, _ in planned} == {*list(VGG_19)[:10]}
    assert report.unused == list(kernels)[10:]
    assert {name.split("_")[0] for name in report.missing} == {
        "features",
        *(f"stage{n}" for n in range(1, 7)),
    }
    other = {**found, "conv9_9": found[next(iter(found))]}
    with pytest.raises(ValueError, match=r"in the file alone: conv9_9"):
        load.plan(model, "openpose_coco", named(kind), lambda *_: other)


def test_a_body_of_another_task():
    """WELDON takes ResNet-101's convolutions, and leaves its last layer in the file."""
    model = weightless("weldon_resnet101", num_classes=CLASSES)
    found = state_dict.layers({name: blank(shape) for name, shape in TORCH["resnet101"].items()})
    planned, report = load.plan(model, "weldon_resnet101", named("torch"), lambda *_: found)
    assert (report.unused, report.mismatched) == (["fc"], [])
    assert {path.split("/")[0] for path in report.missing} == {"scores"}
    assert len(planned) == len(model.weights) - 2


@pytest.mark.parametrize(
    ("network", "kind", "told"),
    [
        ("mobilenet_v2", "torch", "four sides.* take Keras .h5"),
        ("mobilenet_v3_large", "torch", "four sides.* take Keras .h5"),
        ("inception_v3", "torch", "inception_v3_aux.* take Keras .h5"),
        ("resnet50_v1", "torch", "resnet50 here.* take Keras .h5 or Caffe"),
        ("resnet50", "keras", "resnet50_v1 here.* take PyTorch"),
        ("resnet50_v2", "keras", "resnet50_v2_keras here"),
        ("cspdarknet53", "torch", "slope 0.01.* take Darknet"),
        ("googlenet_aux", "torch", "googlenet_bn_aux here"),
        ("resnet50", "darknet", "leaky ReLUs"),
        ("resnet50", "caffe", "resnet50_v1"),
        (
            "lenet5",
            "caffe",
            "not one of the networks of Caffe .caffemodel files that are known: alexnet",
        ),
        ("ssd300_vgg16", "darknet", "has no names"),
    ],
)
def test_what_only_looks_alike_is_refused_with_the_reason(network, kind, told):
    with pytest.raises(ValueError, match=f"published.*: .*{told}"):
        load.form(network, named(kind))


def test_no_network_is_both_known_and_refused():
    for kind in sources.SOURCES:
        for name in models.list_models():
            assert not (sources.of(kind, name) and sources.why_not(kind, name)), (kind, name)


def test_the_page_of_weights_is_the_tables():
    page = weights_page.PAGE.read_text()
    assert page == weights_page.text(), "run python -m tests.weights_page"
    for network, body in sources.BACKBONES.items():
        assert f"`{network}`" in page
        assert f"that of `{body}`" in page.replace("\n", " ")
