"""Writes tests/golden/inception_*.npz: GoogLeNet and Inception v3 under formula weights.

Run by hand, in the environment that classics_reference.py tells how to make:

    PYTHONPATH=. tv/bin/python tests/parity/torch_inception.py

The networks with BatchNorm are torchvision's. The paper's GoogLeNet is written out as a Caffe
network, both heads included, which OpenCV runs.
"""

from __future__ import annotations

import re

import cv2
import numpy as np
import torch

from tests.parity import formula
from tests.parity.classics_reference import bias, blob, dense_kernel, message, torch_kernel
from tests.parity.torch_reference import GOLDEN, VARIABLES, fill, import_torchvision

CLASSES = 10
CAFFE_MEAN = np.float32([104, 117, 123])
# bvlc_googlenet: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pooling projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Caffe:
    """A prototxt and its caffemodel, written layer by layer; each method returns the top's name."""

    def __init__(self, height: int, width: int):
        sides = " ".join(f"dim: {n}" for n in (1, 3, height, width))
        shape = f"input_param {{ shape {{ {sides} }} }}"
        self.text = f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n'
        self.weights = b""

    def layer(self, name, kind, bottoms, parameters="", values=()):
        ends = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.text += (
            f'layer {{ name: "{name}" type: "{kind}" {ends} top: "{name}" {parameters} }}\n'
        )
        if values:
            blobs = [(7, blob(value)) for value in values]
            self.weights += message((100, message((1, name), *blobs)))
        return name

    def conv(self, name, bottom, channels, filters, kernel, stride=1):
        """Convolution with a ReLU; padded so that stride 1 keeps the size."""
        values = (torch_kernel(name, (kernel, kernel, channels, filters)).numpy(),)
        parameters = (
            f"convolution_param {{ num_output: {filters} kernel_size: {kernel} "
            f"stride: {stride} pad: {kernel // 2} }}"
        )
        self.layer(name, "Convolution", [bottom], parameters, (*values, bias(name, filters)))
        return self.layer(f"{name}_relu", "ReLU", [name])

    def dense(self, name, bottom, shape, outputs):
        values = (dense_kernel(name, shape, outputs), bias(name, outputs))
        parameters = f"inner_product_param {{ num_output: {outputs} }}"
        return self.layer(name, "InnerProduct", [bottom], parameters, values)

    def pool(self, name, bottom, kind, kernel, stride, pad=0):
        parameters = f"pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad}"
        return self.layer(name, "Pooling", [bottom], f"pooling_param {{ {parameters} }}")

    def lrn(self, name, bottom):
        parameters = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
        return self.layer(name, "LRN", [bottom], parameters)

    def module(self, name, bottom, channels, widths):
        ones, reduce3, threes, reduce5, fives, projection = widths
        branch = f"{name}_branch"
        small = self.conv(f"{branch}2_conv1", bottom, channels, reduce3, 1)
        large = self.conv(f"{branch}3_conv1", bottom, channels, reduce5, 1)
        pooled = self.pool(f"{branch}4_pool1", bottom, "MAX", 3, 1, 1)
        ends = [
            self.conv(f"{branch}1_conv1", bottom, channels, ones, 1),
            self.conv(f"{branch}2_conv2", small, reduce3, threes, 3),
            self.conv(f"{branch}3_conv2", large, reduce5, fives, 5),
            self.conv(f"{branch}4_conv2", pooled, channels, projection, 1),
        ]
        return self.layer(name, "Concat", ends), ones + threes + fives + projection

    def head(self, name, bottom, channels, map_shape):
        """bvlc_googlenet's loss1 and loss2; map_shape is (height, width) of the bottom."""
        sides = tuple(-(-(n - 5) // 3) + 1 for n in map_shape)
        x = self.pool(f"{name}_pool", bottom, "AVE", 5, 3)
        x = self.conv(f"{name}_conv", x, channels, 128, 1)
        x = self.dense(f"{name}_fc", x, (128, *sides), 1024)
        x = self.layer(f"{name}_fc_relu", "ReLU", [x])
        return self.dense(f"{name}_logits", x, (1024, 1, 1), CLASSES)

    def run(self, pixels, names):
        network = cv2.dnn.readNetFromCaffe(
            np.frombuffer(self.text.encode(), np.uint8), np.frombuffer(self.weights, np.uint8)
        )
        outputs = []
        for picture in pixels:
            network.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
            outputs.append([top.reshape(-1) for top in network.forward(names)])
        return [np.stack(rows) for rows in zip(*outputs, strict=True)]


def googlenet(height: int, width: int) -> dict[str, np.ndarray]:
    """Of two pictures: the answers of all three heads."""
    net = Caffe(height, width)
    x = net.conv("stem_conv1", "data", 3, 64, 7, 2)
    x = net.lrn("lrn1", net.pool("pool1", x, "MAX", 3, 2))
    x = net.conv("stem_conv2", x, 64, 64, 1)
    x = net.lrn("lrn2", net.conv("stem_conv3", x, 64, 192, 3))
    x, channels = net.pool("pool2", x, "MAX", 3, 2), 192
    middle = [((n + 1) // 2) // 8 for n in (height, width)]
    for part, widths in MODULES.items():
        if part in ("4a", "5a"):
            x = net.pool(f"pool_{part}", x, "MAX", 3, 2)
        x, channels = net.module(f"inception{part}", x, channels, widths)
        if part in ("4a", "4d"):
            net.head({"4a": "aux1", "4d": "aux2"}[part], x, channels, middle)
    last = [n // 2 for n in middle]
    parameters = f"pool: AVE kernel_h: {last[0]} kernel_w: {last[1]} stride: 1"
    x = net.layer("pool", "Pooling", [x], f"pooling_param {{ {parameters} }}")
    net.dense("logits", x, (1024, 1, 1), CLASSES)
    names = ["logits", "aux1_logits", "aux2_logits"]
    pixels = formula.pictures(2, height, width)[..., ::-1] - CAFFE_MEAN
    return dict(zip(("logits", "aux1", "aux2"), net.run(pixels, names), strict=True))


def layer_variable(place: str, index, name: str) -> str:
    """("stem", 1, "...bn.weight") -> "stem_norm1/gamma"."""
    kind, variable = name.rsplit(".", 2)[1:]
    if kind == "bn":
        return f"{place}_norm{index}/{VARIABLES[variable]}"
    return f"{place}_conv{index}/kernel"


def dense_variable(layer: str, name: str) -> str:
    return f"{layer}/{'kernel' if name.endswith('weight') else 'bias'}"


def googlenet_name(name: str, tensor) -> str:
    del tensor
    if name.startswith("fc."):
        return dense_variable("logits", name)
    if found := re.match(r"conv(\d)\.", name):
        return layer_variable("stem", found[1], name)
    if found := re.match(r"(aux\d)\.fc(\d)", name):
        return dense_variable(f"{found[1]}_{'fc' if found[2] == '1' else 'logits'}", name)
    if found := re.match(r"(aux\d)\.conv\.", name):
        return layer_variable(found[1], "", name)
    module, branch, step = re.match(r"(inception\d\w)\.branch(\d)\.(?:(\d)\.)?", name).groups()
    return layer_variable(f"{module}_branch{branch}", int(step or 0) + 1, name)


STEM = {"1a": 1, "2a": 2, "2b": 3, "3b": 4, "4a": 5}
BRANCHES = {
    "5": ("1x1", "5x5", "3x3dbl", "_pool"),
    "6a": ("3x3", "3x3dbl"),
    "6": ("1x1", "7x7", "7x7dbl", "_pool"),
    "7a": ("3x3", "7x7x3"),
    "7": ("1x1", "3x3", "3x3dbl", "_pool"),
}


def inception_v3_name(name: str, tensor) -> str:
    del tensor
    if name.startswith(("fc.", "AuxLogits.fc.")):
        return dense_variable("logits" if name.startswith("fc.") else "aux1_logits", name)
    if found := re.match(r"Conv2d_(\d\w)_", name):
        return layer_variable("stem", STEM[found[1]], name)
    if found := re.match(r"AuxLogits\.conv(\d)", name):
        return layer_variable("aux1", int(found[1]) + 1, name)
    part, branch, step, side = re.match(
        r"Mixed_(\d\w)\.branch(_pool|\dx\d(?:dbl|x3)?)(?:_(\d)([ab])?)?\.", name
    ).groups()
    order = BRANCHES[part] if part in BRANCHES else BRANCHES[part[0]]
    place = f"mixed{part}_branch{order.index(branch) + 1}"
    if side:
        return layer_variable(f"{place}_{'row' if side == 'a' else 'column'}", "", name)
    return layer_variable(place, 2 if branch == "_pool" else int(step or 1), name)


def pixels_of(count: int, height: int, width: int):
    pixels = formula.pictures(count, height, width) / 127.5 - 1
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def with_heads(network, pixels) -> dict[str, np.ndarray]:
    """Inference, the heads included, which torchvision computes while it trains alone."""
    network.eval()
    network.training = True
    return {key: value.numpy() for key, value in network(pixels)._asdict().items()}


NAMES = {"logits": "logits", "aux_logits1": "aux1", "aux_logits2": "aux2", "aux_logits": "aux1"}


def record(found: dict, title: str, outputs: dict[str, np.ndarray]) -> None:
    for key, value in outputs.items():
        found[f"{title}_{NAMES.get(key, key)}"] = value


OPTIONS = {"num_classes": CLASSES, "aux_logits": True, "init_weights": False, "dropout": 0.0}


def googlenet_bn(torchvision):
    network = torchvision.models.googlenet(**OPTIONS, transform_input=False, dropout_aux=0.0)
    fill(network, googlenet_name)
    for head in ("aux1", "aux2"):
        kernel = np.ascontiguousarray(dense_kernel(f"{head}_fc", (128, 4, 4), 1024))
        getattr(network, head).fc1.weight.copy_(torch.from_numpy(kernel))
    return network


def inception_v3(torchvision):
    network = torchvision.models.inception_v3(**OPTIONS, transform_input=False)
    fill(network, inception_v3_name)
    return network


def torchvision_nets(torchvision) -> None:
    found = {}
    network = googlenet_bn(torchvision)
    for height, width in ((64, 64), (224, 224), (115, 75)):
        outputs = with_heads(network, pixels_of(2, height, width))
        record(found, f"googlenet_bn_aux_{height}x{width}", outputs)
    network = inception_v3(torchvision)
    for height, width in ((299, 299), (331, 305)):
        outputs = with_heads(network, pixels_of(1, height, width))
        record(found, f"inception_v3_aux_{height}x{width}", outputs)
    np.savez_compressed(GOLDEN / "inception_torchvision.npz", **found)


def caffe_nets() -> None:
    found = {}
    for height, width in ((79, 79), (143, 95), (224, 224)):
        record(found, f"googlenet_aux_{height}x{width}", googlenet(height, width))
    np.savez_compressed(GOLDEN / "inception_caffe.npz", **found)


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        _library, vision = import_torchvision()
        caffe_nets()
        torchvision_nets(vision)
