"""Caffe's .caffemodel into our networks: encoded here by hand, and read by OpenCV as well.

tests/golden/inception_caffe.npz holds what OpenCV computes with bvlc_googlenet under weights of
the same formula (tests/parity/torch_inception.py).
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from convoy import models
from convoy.models.weights import caffe, load, sources
from tests.models.test_parity import GOLDEN, assert_close
from tests.parity import formula


def varint(n: int) -> bytes:
    out = b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def message(*fields) -> bytes:
    """(number, int | str | bytes) one after the other."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def blob(value) -> bytes:
    value = np.ascontiguousarray(value, np.float32)
    shape = message((1, b"".join(map(varint, value.shape))))
    return message((7, shape), (5, value.tobytes()))


def layer(name: str, kind: str, *blobs) -> bytes:
    fields = [(1, name), (2, kind), (3, "bottom"), (4, name), *((7, blob(b)) for b in blobs)]
    return message((100, message(*fields)))


def layer_v1(name: str, kind: int, *blobs) -> bytes:
    """As before 2014: blobs of four sides, the layer's type by number, in another field."""
    encoded = []
    for value in blobs:
        value = np.asarray(value, np.float32)
        sides = (1,) * (4 - value.ndim) + value.shape
        encoded.append(message(*enumerate(sides, start=1), (5, value.tobytes())))
    return message((2, message((2, "bottom"), (4, name), (5, kind), *((6, b) for b in encoded))))


def arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {
        "kernel": (4, 2, 3, 3),
        "bias": (4,),
        "mean": (4,),
        "scale": (4,),
        "shift": (4,),
        "fc": (5, 36),
        "fc_bias": (5,),
    }
    return {k: draw.standard_normal(v).astype(np.float32) for k, v in shapes.items()}


def test_reads_what_opencv_reads(tmp_path):
    a = arrays()
    variance = np.float32([1.0, 2.0, 3.0, 4.0])
    data = (
        message((1, "net"))
        + layer("conv", "Convolution", a["kernel"], a["bias"])
        + layer("bn", "BatchNorm", a["mean"] * 4, variance * 4, np.float32([4]))
        + layer("scale", "Scale", a["scale"], a["shift"])
        + layer("relu", "ReLU")
        + layer("fc", "InnerProduct", a["fc"], a["fc_bias"])
    )
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    found = caffe.read(path)
    assert list(found) == ["conv", "bn", "scale", "fc"]
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape {
      dim: 1 dim: 4 dim: 5 dim: 5 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 group: 2 } }
    layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn"
      batch_norm_param { eps: 0.00001 } }
    layer { name: "scale" type: "Scale" bottom: "bn" top: "scale"
      scale_param { bias_term: true } }
    layer { name: "fc" type: "InnerProduct" bottom: "scale" top: "fc"
      inner_product_param { num_output: 5 } }
    """
    net = cv2.dnn.readNetFromCaffe(
        np.frombuffer(text.encode(), np.uint8), np.frombuffer(data, np.uint8)
    )
    image = np.random.default_rng(1).standard_normal((1, 4, 5, 5)).astype(np.float32)
    net.setInput(image)
    expected = net.forward()[0]

    maps = np.zeros((4, 3, 3))
    for output in range(4):
        group = slice(0, 2) if output < 2 else slice(2, 4)
        for y in range(3):
            for x in range(3):
                patch = image[0, group, y : y + 3, x : x + 3]
                maps[output, y, x] = (patch * found["conv"]["kernel"][output]).sum()
    sides = (slice(None), None, None)
    maps += found["conv"]["bias"][sides]
    maps -= found["bn"]["moving_mean"][sides]
    maps /= np.sqrt(found["bn"]["moving_variance"] + 1e-5)[sides]
    maps = maps * found["scale"]["gamma"][sides] + found["scale"]["beta"][sides]
    outputs = found["fc"]["kernel"] @ maps.reshape(-1) + found["fc"]["bias"]
    assert_close(outputs, expected, 1e-5)


def test_the_older_layout_reads_alike(tmp_path):
    a = arrays()
    path = tmp_path / "old.caffemodel"
    path.write_bytes(
        layer_v1("conv", 4, a["kernel"], a["bias"])
        + layer_v1("relu", 18)
        + layer_v1("fc", 14, a["fc"], a["fc_bias"])
        + layer_v1("one", 14, a["fc"][:1], a["fc_bias"][:1])
    )
    found = caffe.read(path)
    assert list(found) == ["conv", "fc", "one"]
    for name, key, bias in (("conv", "kernel", "bias"), ("fc", "fc", "fc_bias")):
        np.testing.assert_array_equal(found[name]["kernel"], a[key])
        np.testing.assert_array_equal(found[name]["bias"], a[bias])
    assert found["one"]["kernel"].shape == (1, 36)
    whole = path.read_bytes()
    for length in (0, 5, 90, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"old\.caffemodel"):
            caffe.read(path)


def formula_layer(model, name: str, theirs: str, flattened=None) -> bytes:
    """One of ours with a kernel, drawn by formula, under Caffe's name and in its layout."""
    ours = model.get_layer(name)
    value = formula.weight(f"{name}/kernel", tuple(ours.kernel.shape))
    if flattened:
        value = value.reshape(*flattened, -1).transpose(3, 2, 0, 1)
        value = value.reshape(len(value), -1)
    else:
        value = value.T if value.ndim == 2 else value.transpose(3, 2, 0, 1)
    blobs = [value]
    if ours.use_bias:
        blobs.append(formula.weight(f"{name}/bias", tuple(ours.bias.shape)))
    return layer(theirs, "Convolution" if value.ndim == 4 else "InnerProduct", *blobs)


def test_googlenet_of_bvlc(tmp_path):
    model = models.build("googlenet_aux", num_classes=10, input_size=(79, 79))
    data = formula_layer(model, "stem_conv1", "conv1/7x7_s2")
    data += formula_layer(model, "stem_conv2", "conv2/3x3_reduce")
    data += formula_layer(model, "stem_conv3", "conv2/3x3")
    branches = {
        "1x1": "branch1_conv1",
        "3x3_reduce": "branch2_conv1",
        "3x3": "branch2_conv2",
        "5x5_reduce": "branch3_conv1",
        "5x5": "branch3_conv2",
        "pool_proj": "branch4_conv2",
    }
    for part in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        for theirs, ours in branches.items():
            data += formula_layer(model, f"inception{part}_{ours}", f"inception_{part}/{theirs}")
    for head in ("1", "2"):
        flattened = model.get_layer(f"aux{head}_conv").output.shape[1:]
        flattened = tuple(flattened)
        data += formula_layer(model, f"aux{head}_conv", f"loss{head}/conv")
        data += formula_layer(model, f"aux{head}_fc", f"loss{head}/fc", flattened)
        data += formula_layer(model, f"aux{head}_logits", f"loss{head}/classifier")
    data += formula_layer(model, "logits", "loss3/classifier")
    path = tmp_path / "bvlc_googlenet.caffemodel"
    path.write_bytes(data)
    report = load.load(model, "googlenet_aux", path)
    assert len(report.matched) == len(model.weights)
    outputs = model(formula.pictures(2, 79, 79), training=False)
    golden = np.load(GOLDEN / "inception_caffe.npz")
    for key, value in outputs.items():
        assert_close(value, golden[f"googlenet_aux_79x79_{key}"])
    plain = models.build("googlenet", num_classes=10, input_size=(79, 79))
    report = load.load(plain, "googlenet", path)
    assert len(report.unused) == 6
    assert_close(plain(formula.pictures(2, 79, 79)), outputs["logits"], 1e-6)


@pytest.mark.slow
def test_resnet50_of_its_authors(tmp_path):
    """conv1 has a bias there; norms are BatchNorm and Scale; blocks are a, b, c, ..."""
    model = models.build("resnet50_v1", num_classes=10, input_size=(32, 32))
    bias = formula.weight("conv1/bias", (64,))
    data, pairs = b"", {"stem": ("conv1", "bn_conv1", "scale_conv1")}
    for stage, blocks in enumerate(("abc", "abcd", "abcdef", "abc"), start=2):
        for index, block in enumerate(blocks, start=1):
            for branch, ours in (("1", "shortcut_{}"), ("2a", "{}1"), ("2b", "{}2"), ("2c", "{}3")):
                if branch == "1" and block != "a":
                    continue
                theirs = f"{stage}{block}_branch{branch}"
                pairs[f"stage{stage - 1}_block{index}_{ours}"] = (
                    f"res{theirs}",
                    f"bn{theirs}",
                    f"scale{theirs}",
                )
    for ours, (conv, bn, scale) in pairs.items():
        ours = ours if "{}" in ours else f"{ours}_{{}}"
        ours_conv, ours_norm = ours.format("conv"), ours.format("norm")
        kernel = model.get_layer(ours_conv).kernel
        value = formula.weight(f"{ours_conv}/kernel", tuple(kernel.shape))
        biases = (bias,) if conv == "conv1" else ()
        data += layer(conv, "Convolution", value.transpose(3, 2, 0, 1), *biases)
        norm = {
            kind: formula.weight(f"{ours_norm}/{kind}", (value.shape[3],))
            for kind in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        mean = norm["moving_mean"] + bias if biases else norm["moving_mean"]
        data += layer(bn, "BatchNorm", 2 * mean, 2 * norm["moving_variance"], np.float32([2]))
        data += layer(scale, "Scale", norm["gamma"], norm["beta"])
    data += formula_layer(model, "logits", "fc1000")
    path = tmp_path / "ResNet-50-model.caffemodel"
    path.write_bytes(data)
    report = load.load(model, "resnet50_v1", path)
    assert len(report.matched) == len(model.weights)
    assert report.notes == ["stem_norm: took the bias that its convolution lacks here"]
    for name in ("stem_norm", "stage1_block1_shortcut_norm", "stage3_block6_norm3"):
        found = {v.name: v for v in model.get_layer(name).weights}
        for kind, value in found.items():
            expected = formula.weight(f"{name}/{kind}", tuple(value.shape))
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    last = model.get_layer("stage4_block3_conv3").kernel
    np.testing.assert_array_equal(
        last, formula.weight("stage4_block3_conv3/kernel", tuple(last.shape))
    )


@pytest.mark.parametrize(
    ("network", "depths", "expected"),
    [
        ("resnet101_v1", (3, 4, 23, 3), ("res3b3_branch2c", "res4b22_branch2c", "res5c_branch2c")),
        ("resnet152_v1", (3, 8, 36, 3), ("res3b7_branch2c", "res4b35_branch2c", "res5c_branch2c")),
    ],
)
def test_long_resnets_number_their_blocks(network, depths, expected):
    ours = [
        f"stage{stage}_block{block}_conv3"
        for stage, depth in enumerate(depths, start=1)
        for block in range(1, depth + 1)
    ]
    found = sources.of("caffe", network).names(ours)
    ends = [found[f"stage{stage}_block{depths[stage - 1]}_conv3"] for stage in (2, 3, 4)]
    assert tuple(ends) == expected
    assert found["stage1_block2_conv3"] == "res2b_branch2c"


def test_alexnet_and_vgg_of_caffe(tmp_path):
    """The tables name every layer, and nothing else."""
    convs = [f"conv{i}" for i in range(1, 6)]
    alexnet = sources.of("caffe", "alexnet").names([*convs, "fc6", "fc7", "logits", "norm1"])
    assert list(alexnet.values()) == [*convs, "fc6", "fc7", "fc8"]
    layers = ["block1_conv1", "block5_conv3", "fc1", "fc2", "logits"]
    vgg = sources.of("caffe", "vgg16").names(layers)
    assert list(vgg.values()) == ["conv1_1", "conv5_3", "fc6", "fc7", "fc8"]
