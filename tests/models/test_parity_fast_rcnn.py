"""Fast R-CNN and the classifiers it stands on by OpenCV's Caffe importer; counts by hand."""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity import assert_close
from tests.models.test_weights_caffe import layer
from tests.parity import formula

CLASSES = 3
# (name, filters, side, stride, padding, groups), "LRN" or (pooling's side, padding): the prototxts.
CAFFENET = [
    ("conv1", 96, 11, 4, 5, 1),
    (3, 1),
    "LRN",
    ("conv2", 256, 5, 1, 2, 2),
    (3, 1),
    "LRN",
    ("conv3", 384, 3, 1, 1, 1),
    ("conv4", 384, 3, 1, 1, 2),
    ("conv5", 256, 3, 1, 1, 2),
]
VGG_M = [
    ("conv1", 96, 7, 2, 0, 1),
    "LRN",
    (3, 0),
    ("conv2", 256, 5, 2, 1, 1),
    "LRN",
    (3, 0),
    ("conv3", 512, 3, 1, 1, 1),
    ("conv4", 512, 3, 1, 1, 1),
    ("conv5", 512, 3, 1, 1, 1),
]
VGG16 = [
    part
    for block, depth in enumerate((2, 2, 3, 3, 3), start=1)
    for part in (
        *((f"block{block}_conv{i + 1}", min(32 * 2**block, 512), 3, 1, 1, 1) for i in range(depth)),
        *([(2, 0)] if block < 5 else []),
    )
]
# trunk, bins, widths of fc6 and fc7, LRN's parameters (alpha divided by k) and its k.
NETWORKS = {
    "fast_rcnn_caffenet": (CAFFENET, 6, (4096, 4096), ("local_size: 5 alpha: 1e-4", 1)),
    "fast_rcnn_vgg_m": (VGG_M, 6, (4096, 1024), ("local_size: 5 alpha: 2.5e-4", 2)),
    "fast_rcnn_vgg16": (VGG16, 7, (4096, 4096), None),
}
# As classifiers: nothing is padded before conv2 there, and a pooling follows conv5.
CLASSIFIERS = {
    "caffenet": (
        [("conv1", 96, 11, 4, 0, 1), (3, 0), "LRN", CAFFENET[3], (3, 0), *CAFFENET[5:], (3, 0)],
        ("local_size: 5 alpha: 1e-4", 1),
    ),
    "vgg_m_1024": ([*VGG_M, (3, 0)], ("local_size: 5 alpha: 2.5e-4", 2)),
}


ROIS = """layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 1 dim: 5 } } }
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_sum_to_the_count(name):
    """By hand: kernel * kernel * in / groups * out + out of each convolution, in * out + out."""
    trunk, bins, widths, _ = NETWORKS[name]
    total, channels = 0, 3
    for part in trunk:
        if isinstance(part, tuple) and len(part) == 6:
            total += part[2] ** 2 * channels // part[5] * part[1] + part[1]
            channels = part[1]
    sizes = (bins * bins * channels, *widths)
    total += sum(a * b + b for a, b in itertools.pairwise(sizes))
    total += (sizes[-1] + 1) * (21 + 84)
    assert models.describe(name).params == total


def drawn(model: keras.Model) -> None:
    """Weights of the formula, as large as keeps the maps of a deep trunk alive."""
    for each in model.layers:
        if each.weights:
            kernel, bias = (
                formula.weight(f"{each.name}/{n}", w.shape)
                for n, w in zip(("kernel", "bias"), each.weights, strict=True)
            )
            each.set_weights([kernel * np.float32(2**0.5), bias])


@dataclasses.dataclass
class Network:
    """A prototxt and its .caffemodel with a model's weights, written layer by layer.

    OpenCV reads no k of LRN: (k + a s)^-b = k^-b (1 + a / k s)^-b, and the factor k^-b is put into
    the next kernel, past a pooling that lets positive factors through.
    """

    model: keras.Model
    text: str
    below: str = "data"
    data: bytes = b""

    def add(self, name: str, kind: str, parameters: str = "", more: str = "") -> None:
        ends = f'bottom: "{self.below}" {more} top: "{name}"'
        self.text += f'layer {{ name: "{name}" type: "{kind}" {ends} {parameters} }}\n'
        self.below = name

    def trunk(self, parts: list, norm: tuple[str, float] | None) -> None:
        factor = 1.0
        for index, part in enumerate(parts):
            if part == "LRN":
                told, k = norm
                self.add(f"norm{index}", "LRN", f"lrn_param {{ {told} beta: 0.75 }}")
                factor = k**-0.75
            elif len(part) == 2:
                told = f"pool: MAX kernel_size: {part[0]} pad: {part[1]} stride: 2"
                self.add(f"pool{index}", "Pooling", f"pooling_param {{ {told} }}")
            else:
                self.convolve(part, factor)
                self.add(f"{part[0]}_relu", "ReLU")
                factor = 1.0

    def convolve(self, part: tuple, factor: float = 1.0) -> None:
        title, filters, side, stride, padding, groups = part
        told = f"kernel_size: {side} stride: {stride} pad: {padding} group: {groups}"
        told = f"convolution_param {{ num_output: {filters} {told} }}"
        self.add(title, "Convolution", told)
        kernel, bias = self.model.get_layer(title).get_weights()
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)) * np.float32(factor)
        self.data += layer(title, "Convolution", kernel, bias)

    def full(self, title: str, maps: tuple[int, int] | None = None, caffe: str = "") -> None:
        """A full layer; maps: sides of those that it sees, channels last in our kernel."""
        kernel, bias = self.model.get_layer(title).get_weights()
        if maps:
            kernel = kernel.reshape(*maps, -1, kernel.shape[-1])
            kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[-1])
        name = caffe or title
        self.add(name, "InnerProduct", f"inner_product_param {{ num_output: {len(bias)} }}")
        self.data += layer(name, "InnerProduct", np.ascontiguousarray(kernel.T), bias)

    def heads(self, bins: int) -> None:
        """RoI max pooling of the input "rois", fc6, fc7, and the tops "roi_cls" and "roi_box"."""
        told = f"roi_pooling_param {{ pooled_w: {bins} pooled_h: {bins} spatial_scale: 0.0625 }}"
        self.add("roi_pool", "ROIPooling", told, 'bottom: "rois"')
        for title, maps in (("fc6", (bins, bins)), ("fc7", None)):
            self.full(title, maps)
            self.add(f"{title}_relu", "ReLU")
        last = self.below
        for title in ("roi_cls", "roi_box"):
            self.below = last
            self.full(title)

    def read(self) -> cv2.dnn.Net:
        parts = self.text.encode(), self.data
        return cv2.dnn.readNetFromCaffe(*(np.frombuffer(part, np.uint8) for part in parts))


def input_text(size: tuple[int, int]) -> str:
    shape = f"dim: 1 dim: 3 dim: {size[0]} dim: {size[1]}"
    shape = f"input_param {{ shape {{ {shape} }} }}"
    return f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n'


def pixels(picture: np.ndarray, info) -> np.ndarray:
    """[1, 3, H, W] BGR without their mean, of [1, H, W, 3] RGB."""
    found = picture[0, ..., ::-1] - np.float32(info.preprocess.mean)
    return np.ascontiguousarray(found.transpose(2, 0, 1)[None])


def on_regions(name: str, model: keras.Model, size: tuple[int, int]) -> cv2.dnn.Net:
    """Fast R-CNN with the tops "roi_cls" and "roi_box" for the inputs "data" and "rois"."""
    trunk, bins, _, norm = NETWORKS[name]
    network = Network(model, input_text(size) + ROIS)
    network.trunk(trunk, norm)
    network.heads(bins)
    return network.read()


def regions(height: int, width: int) -> np.ndarray:
    """[R, 4] whole pixels: the picture, its corners, slivers, and some of all sizes."""
    rng = np.random.default_rng(2)
    corners = np.sort(rng.integers(0, [height, width], (12, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] + 1], axis=-1)
    more = [[0, 0, height, width], [0, 0, 9, 9], [height - 9, width - 9, height, width]]
    return np.float32([*more, [10, 4, 11, 90], *boxes])


def of_regions(net: cv2.dnn.Net, top: str, rois: np.ndarray) -> np.ndarray:
    """[R, ...] of regions [R, 4], which end on their last pixel there: x2 = xmax - 1."""
    found = []
    for ymin, xmin, ymax, xmax in rois:
        net.setInput(np.float32([[0, xmin, ymin, xmax - 1, ymax - 1]]), "rois")
        found.append(net.forward(top).reshape(-1))
    return np.stack(found)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("fast_rcnn_caffenet", (64, 96)),
        slow("fast_rcnn_caffenet", (96, 131)),
        *(
            slow(name, size)
            for name in ("fast_rcnn_vgg_m", "fast_rcnn_vgg16")
            for size in ((96, 131), (64, 96))
        ),
    ],
)
def test_heads_are_opencv_s(name, size):
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    drawn(task.model)
    picture, rois = formula.pictures(1, *size), regions(*size)
    net = on_regions(name, task.model, size)
    net.setInput(pixels(picture, task.info), "data")
    ours = task.model([picture, rois[None]], training=False)
    for key, top in (("cls", "roi_cls"), ("box", "roi_box")):
        expected = of_regions(net, top, rois)
        assert_close(ours[key][0], expected)
        assert np.ptp(expected, axis=0).min() > 1e-3  # regions differ


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("caffenet", (64, 96)),
        slow("caffenet", (131, 107)),
        slow("vgg_m_1024", (96, 131)),
        slow("vgg_m_1024", (64, 96)),
    ],
)
def test_logits_are_opencv_s_of_the_file_that_is_loaded(name, size, tmp_path):
    """The .caffemodel goes into OpenCV and, by the importer, into our network, emptied before."""
    model = models.build(name, num_classes=CLASSES, input_size=size)
    drawn(model)
    trunk, norm = CLASSIFIERS[name]
    network = Network(model, input_text(size))
    network.trunk(trunk, norm)
    maps = model.get_layer("pool5").output.shape[1:3]
    for title, seen in (("fc6", maps), ("fc7", None)):
        network.full(title, seen)
        network.add(f"{title}_relu", "ReLU")
    network.full("logits", caffe="fc8")
    net = network.read()
    info = models.describe(name)
    pictures = [formula.pictures(2, *size)[index : index + 1] for index in range(2)]
    expected = []
    for picture in pictures:
        net.setInput(pixels(picture, info), "data")
        expected.append(net.forward().reshape(-1))
    assert np.ptp(np.stack(expected), axis=0).min() > 1e-2 * np.abs(expected).max()
    if norm[1] == 1:  # else the file's kernels hold a factor that ours do not
        path = tmp_path / "net.caffemodel"
        path.write_bytes(network.data)
        for variable in model.weights:
            variable.assign(np.zeros(variable.shape))
        report = load.load(model, name, path)
        assert (len(report.matched), report.unused) == (len(model.weights), [])
    assert_close(model(np.concatenate(pictures), training=False), np.stack(expected))
