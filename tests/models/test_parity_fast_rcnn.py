"""Fast and Faster R-CNN's layers by OpenCV's Caffe importer, and their counts by hand."""

from __future__ import annotations

import itertools

import cv2
import keras
import numpy as np
import pytest

from convoy import models
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
ZF = [
    ("conv1", 96, 7, 2, 3, 1),
    "LRN",
    (3, 1),
    ("conv2", 256, 5, 2, 2, 1),
    "LRN",
    (3, 1),
    ("conv3", 384, 3, 1, 1, 1),
    ("conv4", 384, 3, 1, 1, 1),
    ("conv5", 256, 3, 1, 1, 1),
]
# trunk, bins, widths of fc6 and fc7, LRN's parameters (alpha divided by k) and its k.
NETWORKS = {
    "fast_rcnn_caffenet": (CAFFENET, 6, (4096, 4096), ("local_size: 5 alpha: 1e-4", 1)),
    "fast_rcnn_vgg_m": (VGG_M, 6, (4096, 1024), ("local_size: 5 alpha: 2.5e-4", 2)),
    "fast_rcnn_vgg16": (VGG16, 7, (4096, 4096), None),
}
WITHIN = "local_size: 3 alpha: 5e-5 norm_region: WITHIN_CHANNEL"
PROPOSING = {
    "faster_rcnn_vgg16": (VGG16, 7, (4096, 4096), None),
    "faster_rcnn_zf": (ZF, 6, (4096, 4096), (WITHIN, 1)),
}


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


def caffe(name: str, model: keras.Model, size: tuple[int, int]) -> tuple[bytes, bytes]:
    """The network's prototxt and its .caffemodel with the model's weights.

    OpenCV reads no k of LRN: (k + a s)^-b = k^-b (1 + a / k s)^-b, and the factor k^-b is put into
    the next kernel, past a pooling that lets positive factors through.
    """
    trunk, bins, _, norm = (NETWORKS | PROPOSING)[name]
    text = f"""layer {{ name: "data" type: "Input" top: "data"
      input_param {{ shape {{ dim: 1 dim: 3 dim: {size[0]} dim: {size[1]} }} }} }}
      layer {{ name: "rois" type: "Input" top: "rois"
      input_param {{ shape {{ dim: 1 dim: 5 }} }} }}\n"""
    below, data, factor = "data", b"", 1.0

    def add(name: str, kind: str, parameters: str = "", more: str = "") -> str:
        nonlocal text
        ends = f'bottom: "{below}" {more} top: "{name}"'
        text += f'layer {{ name: "{name}" type: "{kind}" {ends} {parameters} }}\n'
        return name

    def convolve(part: tuple, factor: float = 1.0) -> str:
        nonlocal data
        title, filters, side, stride, padding, groups = part
        told = f"kernel_size: {side} stride: {stride} pad: {padding} group: {groups}"
        kernel, bias = model.get_layer(title).get_weights()
        kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)) * np.float32(factor)
        data += layer(title, "Convolution", kernel, bias)
        return add(title, "Convolution", f"convolution_param {{ num_output: {filters} {told} }}")

    for index, part in enumerate(trunk):
        if part == "LRN":
            told, k = norm
            below = add(f"norm{index}", "LRN", f"lrn_param {{ {told} beta: 0.75 }}")
            factor = k**-0.75
        elif len(part) == 2:
            told = f"pooling_param {{ pool: MAX kernel_size: {part[0]} pad: {part[1]} stride: 2 }}"
            below = add(f"pool{index}", "Pooling", told)
        else:
            below, factor = convolve(part, factor), 1.0
            below = add(f"{part[0]}_relu", "ReLU")
    if name in PROPOSING:
        trunk_top = below
        below = convolve(("rpn_conv", 256 if trunk is ZF else 512, 3, 1, 1, 1))
        below = add("rpn_relu", "ReLU")
        convolve(("rpn_cls", 18, 1, 1, 0, 1))
        convolve(("rpn_box", 36, 1, 1, 0, 1))
        below = trunk_top
    told = f"roi_pooling_param {{ pooled_w: {bins} pooled_h: {bins} spatial_scale: 0.0625 }}"
    below = add("roi_pool", "ROIPooling", told, 'bottom: "rois"')
    for title in ("fc6", "fc7", "roi_cls", "roi_box"):
        kernel, bias = model.get_layer(title).get_weights()
        if title == "fc6":
            maps = kernel.reshape(bins, bins, -1, kernel.shape[-1])
            kernel = maps.transpose(2, 0, 1, 3).reshape(kernel.shape)
        told = f"inner_product_param {{ num_output: {kernel.shape[1]} }}"
        above = add(title, "InnerProduct", told)
        data += layer(title, "InnerProduct", np.ascontiguousarray(kernel.T), bias)
        if title.startswith("fc"):
            below = above
            below = add(f"{title}_relu", "ReLU")
    return text.encode(), data


def regions(height: int, width: int) -> np.ndarray:
    """[R, 4] whole pixels: the picture, its corners, slivers, and some of all sizes."""
    rng = np.random.default_rng(2)
    corners = np.sort(rng.integers(0, [height, width], (12, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] + 1], axis=-1)
    more = [[0, 0, height, width], [0, 0, 9, 9], [height - 9, width - 9, height, width]]
    return np.float32([*more, [10, 4, 11, 90], *boxes])


@pytest.mark.parametrize(
    "name",
    [
        "fast_rcnn_caffenet",
        pytest.param("fast_rcnn_vgg_m", marks=pytest.mark.slow),
        pytest.param("fast_rcnn_vgg16", marks=pytest.mark.slow),
    ],
)
def test_heads_are_opencv_s(name):
    size = (96, 131)
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    drawn(task.model)
    picture, rois = formula.pictures(1, *size), regions(*size)
    net = by_opencv(task, picture)
    compare_heads(net, task.model([picture, rois[None]], training=False), rois)


def by_opencv(task, picture: np.ndarray):
    """OpenCV's network with the task's weights, given the picture [1, H, W, 3]."""
    text, data = caffe(task.info.name, task.model, picture.shape[1:3])
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(data, np.uint8))
    mean = np.float32(task.info.preprocess.mean)
    net.setInput(
        np.ascontiguousarray((picture[0, ..., ::-1] - mean).transpose(2, 0, 1)[None]), "data"
    )
    return net


def compare_heads(net, ours: dict, rois: np.ndarray) -> None:
    """Of regions [R, 4], which end on their last pixel there: x2 = xmax - 1."""
    for key, top in (("cls", "roi_cls"), ("box", "roi_box")):
        found = []
        for ymin, xmin, ymax, xmax in rois:
            net.setInput(np.float32([[0, xmin, ymin, xmax - 1, ymax - 1]]), "rois")
            found.append(net.forward(top).reshape(-1))
        assert_close(ours[key][0, : len(rois)], np.stack(found))
        assert np.ptp(np.stack(found), axis=0).min() > 1e-3  # regions differ


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPOSING)
def test_proposals_and_heads_are_opencv_s(name):
    """The trunk, the region proposal network, and the heads of our own best proposals."""
    size = (176, 259)
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    drawn(task.model)
    codes = task.model.get_layer("rpn_box")  # small, or each proposal is the whole picture
    codes.set_weights([0.01 * weight for weight in codes.get_weights()])
    picture = formula.pictures(1, *size)
    net = by_opencv(task, picture)
    net.setInput(np.float32([[0, 0, 0, 9, 9]]), "rois")
    ours = {key: np.asarray(x) for key, x in task.model(picture, training=False).items()}
    logits, codes = (net.forward(top)[0].transpose(1, 2, 0) for top in ("rpn_cls", "rpn_box"))
    assert_close(ours["rpn_cls"][0], (logits[..., 9:] - logits[..., :9]).reshape(-1))
    assert_close(ours["rpn_box"][0], codes.reshape(-1, 4))
    rois = ours["proposals"][0][ours["objectness"][0] >= 0][:12]
    assert len(rois) >= 4
    compare_heads(net, ours, rois)
