"""AlexNet and VGG out of Caffe's and Darknet's files: OpenCV runs the very file that we load."""

from __future__ import annotations

import struct

import cv2
import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity import assert_close
from tests.models.test_weights_caffe import layer
from tests.parity import formula

CLASSES = 10
# (layer's name, filters, side, stride, padding, groups), a pooling's side, or (name, outputs).
ALEXNET = [
    ("conv1", 96, 11, 4, 0, 1),
    3,
    ("conv2", 256, 5, 1, 2, 2),
    3,
    ("conv3", 384, 3, 1, 1, 1),
    ("conv4", 384, 3, 1, 1, 2),
    ("conv5", 256, 3, 1, 1, 2),
    3,
    ("fc6", 4096),
    ("fc7", 4096),
    ("fc8", CLASSES),
]
SINGLE = [
    (*part[:5], 1) if isinstance(part, tuple) and len(part) == 6 else part for part in ALEXNET
]


def vgg(depths: tuple[int, ...]) -> list:
    parts: list = []
    for block, depth in enumerate(depths, start=1):
        filters = min(64 * 2 ** (block - 1), 512)
        parts += [(f"conv{block}_{index + 1}", filters, 3, 1, 1, 1) for index in range(depth)] + [2]
    return [*parts, ("fc6", 4096), ("fc7", 4096), ("fc8", CLASSES)]


def drawn(parts: list, size: int, ceil: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> kernel (out, in, h, w) or (out, in), bias; kernels so large that no map fades."""
    found, channels = {}, 3
    for part in parts:
        if isinstance(part, int):
            size = -(-(size - part) // 2) + 1 if ceil else (size - part) // 2 + 1
            continue
        name, outputs = part[:2]
        if len(part) == 6:
            side, stride, padding, groups = part[2:]
            shape, size = (
                (side, side, channels // groups),
                (size + 2 * padding - side) // stride + 1,
            )
            kernel = formula.weight(f"{name}/kernel", (*shape, outputs)).transpose(3, 2, 0, 1)
            channels = outputs
        else:
            kernel = formula.weight(f"{name}/kernel", (channels * size * size, outputs)).T
            channels, size = outputs, 1
        bias = formula.weight(f"{name}/bias", (outputs,))
        found[name] = np.ascontiguousarray(kernel * np.float32(2**0.5)), bias
    return found


def caffe(parts: list, size: int, norms: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
    """A prototxt and its .caffemodel."""
    text = f"""layer {{ name: "data" type: "Input" top: "data"
      input_param {{ shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }} }} }}\n"""
    below, data = "data", b""

    def add(name: str, kind: str, parameters: str = "") -> str:
        nonlocal text
        ends = f'bottom: "{below}" top: "{name}"'
        text += f'layer {{ name: "{name}" type: "{kind}" {ends} {parameters} }}\n'
        return name

    values = drawn(parts, size, ceil=True)
    for index, part in enumerate(parts):
        if isinstance(part, int):
            pooling = f"pooling_param {{ pool: MAX kernel_size: {part} stride: 2 }}"
            below = add(f"pool{index}", "Pooling", pooling)
            continue
        name, outputs = part[:2]
        if len(part) == 6:
            side, stride, padding, groups = part[2:]
            told = f"kernel_size: {side} stride: {stride} pad: {padding} group: {groups}"
            told = f"convolution_param {{ num_output: {outputs} {told} }}"
            below = add(name, "Convolution", told)
            data += layer(name, "Convolution", *values[name])
        else:
            below = add(name, "InnerProduct", f"inner_product_param {{ num_output: {outputs} }}")
            data += layer(name, "InnerProduct", *values[name])
        if name != "fc8":
            below = add(f"{name}_relu", "ReLU")
        if name in norms:
            below = add(f"{name}_norm", "LRN", "lrn_param { local_size: 5 alpha: 1e-4 beta: 0.75 }")
    return text.encode(), data


def darknet(parts: list, size: int) -> tuple[bytes, bytes]:
    """A .cfg without its softmax and its .weights."""
    text = f"[net]\nheight={size}\nwidth={size}\nchannels=3\n"
    data = struct.pack("<3iQ", 0, 2, 0, 0)
    for part in parts:
        if isinstance(part, int):
            text += f"[maxpool]\nsize={part}\nstride=2\npadding=0\n"
            continue
        act = f"activation={'linear' if part[0] == 'fc8' else 'relu'}\n"
        if len(part) == 6:
            _, filters, side, stride, padding, _ = part
            text += f"[convolutional]\nfilters={filters}\nsize={side}\nstride={stride}\n"
            text += f"pad={int(padding > 0)}\n{act}"
        else:
            text += f"[connected]\noutput={part[1]}\n{act}"
    for kernel, bias in drawn(parts, size, ceil=False).values():
        data += bias.tobytes() + kernel.tobytes()
    return text.encode(), data


def opencv(net: cv2.dnn.Net, pixels: np.ndarray) -> np.ndarray:
    rows = []
    for picture in pixels:
        net.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        rows.append(net.forward().reshape(-1))
    return np.stack(rows)


def of_caffe(text: bytes, data: bytes, images: np.ndarray) -> np.ndarray:
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(data, np.uint8))
    return opencv(net, images[..., ::-1] - np.float32([103.939, 116.779, 123.68]))


def of_darknet(text: bytes, data: bytes, pixels: np.ndarray) -> np.ndarray:
    net = cv2.dnn.readNetFromDarknet(np.frombuffer(text, np.uint8), np.frombuffer(data, np.uint8))
    return opencv(net, pixels)


def loaded(network: str, size: int, path) -> keras.Model:
    model = models.build(network, num_classes=CLASSES, input_size=(size, size))
    report = load.load(model, network, path)
    assert len(report.matched) == len(model.weights)
    assert report.unused == []
    return model


@pytest.mark.parametrize(
    ("network", "size", "parts", "norms"),
    [
        ("alexnet", 95, ALEXNET, ("conv1", "conv2")),
        pytest.param("vgg16", 64, vgg((2, 2, 3, 3, 3)), (), marks=pytest.mark.slow),
        pytest.param("vgg19", 64, vgg((2, 2, 4, 4, 4)), (), marks=pytest.mark.slow),
    ],
)
def test_caffe(network, size, parts, norms, tmp_path):
    text, data = caffe(parts, size, norms)
    (tmp_path / "net.caffemodel").write_bytes(data)
    model = loaded(network, size, tmp_path / "net.caffemodel")
    images = formula.pictures(2, size, size)
    expected = of_caffe(text, data, images)
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.abs(expected).max()
    assert_close(model(images, training=False), expected)


def test_alexnet_of_darknet(tmp_path):
    """Pixels are RGB from 0 to 1 there; the first layer has no border: it is changed exactly."""
    text, data = darknet(SINGLE, 99)
    (tmp_path / "alexnet.weights").write_bytes(data)
    model = loaded("alexnet_single", 99, tmp_path / "alexnet.weights")
    images = formula.pictures(2, 99, 99)
    expected = of_darknet(text, data, images / 255)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max()
    assert_close(model(images, training=False), expected)


@pytest.mark.slow
def test_vgg16_of_darknet(tmp_path):
    """Pixels are RGB from -1 to 1 there; the first layer is exact but for its border."""
    parts = vgg((2, 2, 3, 3, 3))
    _, data = darknet(parts, 64)
    (tmp_path / "vgg-16.weights").write_bytes(data)
    model = loaded("vgg16", 64, tmp_path / "vgg-16.weights")
    values = drawn(parts, 64, ceil=False)
    ours = [layer.name for layer in model.layers if layer.weights]
    for name, (kernel, bias) in zip(ours[1:], list(values.values())[1:], strict=True):
        mine, my_bias = model.get_layer(name).get_weights()
        if name == "fc1":  # channels first there
            kernel = kernel.reshape(-1, 512, 2, 2).transpose(2, 3, 1, 0).reshape(mine.shape)
        else:
            kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
        np.testing.assert_array_equal(mine, kernel, name)
        np.testing.assert_array_equal(my_bias, bias)
    images = formula.pictures(1, 64, 64)
    maps = keras.Model(model.input, model.get_layer("block1_conv1").output)(images)
    kernel, bias = values["conv1_1"]
    expected = keras.ops.conv(images / 127.5 - 1, kernel.transpose(2, 3, 1, 0), padding="valid")
    assert_close(maps[:, 1:-1, 1:-1], keras.ops.relu(expected + bias))


@pytest.mark.slow
def test_a_classifier_of_caffe_becomes_an_fcn(tmp_path):
    """Its full layers are convolutions there; the scores start fresh, as the authors' do."""
    parts = vgg((2, 2, 3, 3, 3))
    _, data = caffe(parts, 224)
    (tmp_path / "VGG_ILSVRC_16_layers.caffemodel").write_bytes(data)
    model = models.build("fcn32s_vgg16", num_classes=3, input_size=(64, 64))
    report = load.load(model, "fcn32s_vgg16", tmp_path / "VGG_ILSVRC_16_layers.caffemodel")
    assert {path.split("/")[0] for path in report.missing} == {"s32_logits", "up32x"}
    assert (report.unused, report.mismatched) == (["fc8"], [])
    kernel, bias = drawn(parts, 224, ceil=True)["fc6"]
    picture = formula.pictures(1, 7, 7, 512)[0] / 255
    expected = kernel @ picture.transpose(2, 0, 1).ravel() + bias
    layer = model.get_layer("fc6")
    found = keras.ops.conv(picture[None], layer.kernel, padding="valid")[0, 0, 0] + layer.bias
    assert_close(found, expected)
