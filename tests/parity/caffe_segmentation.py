"""FCN's and the dilated networks' prototxt, with .caffemodel files of formula weights.

Layer by layer as in the authors' deploy files (voc-fcn*/deploy.prototxt, dilation8_pascal_voc):
conv1_1 ... conv5_3 with a ReLU each, pool1 ... pool5, fc6, fc7, score_fr, upscore*, score_pool*,
Crop and Eltwise layers; fc-final and ct_conv*. Weights go by the names in the file.
"""

from __future__ import annotations

import cv2
import numpy as np

from tests.models.test_weights_caffe import layer
from tests.parity import formula

VGG = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
GAIN = np.float32(2**0.5)  # no map fades behind a ReLU


class Net:
    """A prototxt and a .caffemodel that grow together."""

    def __init__(self, size: tuple[int, int]):
        height, width = size
        self.data, self.top, self.channels = b"", "data", 3
        self.text = f"""layer {{ name: "data" type: "Input" top: "data"
          input_param {{ shape {{ dim: 1 dim: 3 dim: {height} dim: {width} }} }} }}\n"""

    def add(self, name: str, kind: str, parameters: str = "", below: list[str] | None = None):
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in below or [self.top])
        self.text += (
            f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{name}" {parameters} }}\n'
        )
        self.top = name

    def conv(
        self,
        name: str,
        outputs: int,
        side: int,
        *,
        relu: bool = True,
        pad: int = 0,
        stride: int = 1,
        dilation: int = 1,
        group: int = 1,
    ):
        told = f"num_output: {outputs} kernel_size: {side} pad: {pad} stride: {stride}"
        told += f" dilation: {dilation} group: {group}"
        self.add(name, "Convolution", f"convolution_param {{ {told} }}")
        kernel = formula.weight(f"{name}/kernel", (side, side, self.channels // group, outputs))
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1) * GAIN)
        self.data += layer(name, "Convolution", kernel, formula.weight(f"{name}/bias", (outputs,)))
        self.channels = outputs
        if relu:
            self.add(f"{name}_relu", "ReLU")

    def up(self, name: str, side: int, stride: int):
        told = f"num_output: {self.channels} kernel_size: {side} stride: {stride} bias_term: false"
        self.add(name, "Deconvolution", f"convolution_param {{ {told} }}")
        shape = (self.channels, self.channels, side, side)
        self.data += layer(name, "Deconvolution", formula.weight(f"{name}/kernel", shape))

    def pool(self, name: str, side: int = 2):
        self.add(name, "Pooling", f"pooling_param {{ pool: MAX kernel_size: {side} stride: 2 }}")

    def result(self) -> tuple[bytes, bytes]:
        return self.text.encode(), self.data


def fcn(name: str, size: tuple[int, int], classes: int) -> tuple[bytes, bytes]:
    """The deploy prototxt of one of the five networks, and its weights."""
    net = Net(size)
    pools = alexnet(net) if "alexnet" in name else vgg(net)
    net.conv("fc6", 4096, 6 if "alexnet" in name else 7)
    net.conv("fc7", 4096, 1)
    net.conv("score_fr", classes, 1, relu=False)
    stride = 32
    skips = {"fcn32s": (), "fcn16s": ("pool4",), "fcn8s": ("pool4", "pool3")}[name.split("_")[0]]
    atonce = "atonce" in name
    for pool, up, offset in zip(skips, ("upscore2", "upscore_pool4"), (5, 9), strict=False):
        net.up(up, 4, 2)
        stride //= 2
        enlarged, net.top, net.channels = net.top, *pools[pool]
        if atonce:
            scale = formula.weight(f"scale_{pool}/gamma", (net.channels,))
            net.add(f"scale_{pool}", "Scale", "scale_param { bias_term: false }")
            net.data += layer(f"scale_{pool}", "Scale", scale)
        net.conv(f"score_{pool}", classes, 1, relu=False)
        crop = f"crop_param {{ axis: 2 offset: {offset} }}"
        net.add(f"score_{pool}c", "Crop", crop, [net.top, enlarged])
        net.add(f"fuse_{pool}", "Eltwise", "eltwise_param { operation: SUM }", [enlarged, net.top])
    last = {32: "upscore", 16: "upscore16", 8: "upscore8"}[stride]
    net.up(last, 63 if "alexnet" in name else 2 * stride, stride)
    offset = {32: 19, 16: 27, 8: 31}[stride] - ("alexnet" in name)
    net.add("score", "Crop", f"crop_param {{ axis: 2 offset: {offset} }}", [net.top, "data"])
    return net.result()


def vgg(net: Net) -> dict[str, tuple[str, int]]:
    """Name and channels of each pooling's output."""
    pools = {}
    for block, widths in enumerate(VGG, start=1):
        for index, width in enumerate(widths, start=1):
            net.conv(f"conv{block}_{index}", width, 3, pad=100 if (block, index) == (1, 1) else 1)
        net.pool(f"pool{block}")
        pools[net.top] = net.top, net.channels
    return pools


def alexnet(net: Net) -> dict:
    """CaffeNet's: pooling before normalisation."""
    norm = "lrn_param { local_size: 5 alpha: 1e-4 beta: 0.75 }"
    net.conv("conv1", 96, 11, stride=4, pad=100)
    net.pool("pool1", 3)
    net.add("norm1", "LRN", norm)
    net.conv("conv2", 256, 5, pad=2, group=2)
    net.pool("pool2", 3)
    net.add("norm2", "LRN", norm)
    net.conv("conv3", 384, 3, pad=1)
    net.conv("conv4", 384, 3, pad=1, group=2)
    net.conv("conv5", 256, 3, pad=1, group=2)
    net.pool("pool5", 3)
    return {}


def dilated(name: str, size: tuple[int, int], classes: int) -> tuple[bytes, bytes]:
    """The front end, and the context module where the name has it."""
    net = Net(size)
    for block, widths in enumerate(VGG, start=1):
        for index, width in enumerate(widths, start=1):
            net.conv(f"conv{block}_{index}", width, 3, dilation=2 if block == 5 else 1)
        if block < 4:
            net.pool(f"pool{block}")
    net.conv("fc6", 4096, 7, dilation=4)
    net.conv("fc7", 4096, 1)
    net.conv("fc-final" if name == "dilation8_vgg16" else "final", classes, 1, relu=False)
    if name == "dilation8_vgg16":
        rows = (("conv1_1", 2, 1), ("conv1_2", 2, 1), ("conv2_1", 4, 2), ("conv3_1", 8, 4))
        rows += (("conv4_1", 16, 8), ("conv5_1", 32, 16), ("fc1", 32, 1))
        for part, factor, dilation in rows:
            pad = 33 if part == "conv1_1" else 0
            net.conv(f"ct_{part}", factor * classes, 3, dilation=dilation, pad=pad)
        net.conv("ct_final", classes, 1, relu=False)
    net.add("last", "Power")
    return net.result()


def opencv(text: bytes, data: bytes, pixels: np.ndarray, mean, name: str) -> np.ndarray:
    """[B, H, W, C] of a layer; pixels RGB, mean BGR."""
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(data, np.uint8))
    blob = (pixels[..., ::-1] - np.float32(mean)).transpose(0, 3, 1, 2)
    net.setInput(np.ascontiguousarray(blob))
    return net.forward(name).transpose(0, 2, 3, 1)
