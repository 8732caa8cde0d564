"""Fast R-CNN: its layers by OpenCV's Caffe importer, its regions, loss and decoding by NumPy."""

from __future__ import annotations

import itertools
import math

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.detection import fast_rcnn
from tests.models.test_parity import assert_close, fill
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
# trunk, bins, widths of fc6 and fc7, alpha and k of LRN, parameters of the trunk.
NETWORKS = {
    "fast_rcnn_caffenet": (CAFFENET, 6, (4096, 4096), (1e-4, 1)),
    "fast_rcnn_vgg_m": (VGG_M, 6, (4096, 1024), (5e-4, 2)),
    "fast_rcnn_vgg16": (VGG16, 7, (4096, 4096), None),
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
    trunk, bins, _, norm = NETWORKS[name]
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

    for index, part in enumerate(trunk):
        if part == "LRN":
            alpha, k = norm
            told = f"lrn_param {{ local_size: 5 alpha: {alpha / k} beta: 0.75 }}"
            below, factor = add(f"norm{index}", "LRN", told), k**-0.75
        elif len(part) == 2:
            told = f"pooling_param {{ pool: MAX kernel_size: {part[0]} pad: {part[1]} stride: 2 }}"
            below = add(f"pool{index}", "Pooling", told)
        else:
            title, filters, side, stride, padding, groups = part
            told = f"kernel_size: {side} stride: {stride} pad: {padding} group: {groups}"
            told = f"convolution_param {{ num_output: {filters} {told} }}"
            kernel, bias = model.get_layer(title).get_weights()
            below = add(title, "Convolution", told)
            kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)) * np.float32(factor)
            data, factor = data + layer(title, "Convolution", kernel, bias), 1.0
            below = add(f"{title}_relu", "ReLU")
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
    """Regions end on their last pixel there: x2 = xmax - 1."""
    size = (96, 131)
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    drawn(task.model)
    picture, rois = formula.pictures(1, *size), regions(*size)
    text, data = caffe(name, task.model, size)
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(data, np.uint8))
    mean = np.float32(task.info.preprocess.mean)
    net.setInput(
        np.ascontiguousarray((picture[0, ..., ::-1] - mean).transpose(2, 0, 1)[None]), "data"
    )
    ours = task.model([picture, rois[None]], training=False)
    for key, top in (("cls", "roi_cls"), ("box", "roi_box")):
        found = []
        for ymin, xmin, ymax, xmax in rois:
            net.setInput(np.float32([[0, xmin, ymin, xmax - 1, ymax - 1]]), "rois")
            found.append(net.forward(top).reshape(-1))
        assert_close(ours[key][0], np.stack(found))
        assert np.ptp(np.stack(found), axis=0).min() > 1e-3  # regions differ


def small(**options):
    keras.utils.set_random_seed(0)
    options = {"backbone": "mobilenet_v1", "width": 0.25, "num_classes": CLASSES, **options}
    return models.build_task("fast_rcnn_caffenet", input_size=(64, 96), **options)


def truth(boxes=(), classes=(), slots: int = 4) -> dict:
    """One picture's encoded objects, filled up to `slots`."""
    rows = np.zeros((slots, 4), np.float32)
    rows[: len(boxes)] = np.reshape(boxes, (-1, 4))
    labels = np.zeros(slots, np.int64)
    labels[: len(classes)] = classes
    encoded = fast_rcnn.two_stage.objects_of(
        {"boxes": rows, "classes": labels, "valid": np.arange(slots) < len(boxes)}, CLASSES
    )
    return {key: value.numpy() for key, value in encoded.items()}


def batch_of(*pictures) -> dict:
    """pictures: (objects, classes, proposals [R, 4])."""
    encoded = [truth(boxes, classes) for boxes, classes, _ in pictures]
    targets = {key: np.stack([row[key] for row in encoded]) for key in encoded[0]}
    return {
        "image": formula.pictures(len(pictures), 64, 96),
        "proposals": np.float32([rows for _, _, rows in pictures]),
        "targets": targets,
    }


def overlap(a, b) -> float:
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def around(box, count: int, least: float, most: float) -> np.ndarray:
    """[count, 4] boxes of the input whose overlap with `box` lies between the two numbers."""
    rng, found = np.random.default_rng(3), []
    while len(found) < count:
        low = rng.uniform(0, [50, 80])
        other = [*low, *np.minimum(low + rng.uniform(4, 60, 2), [64, 96])]
        if least <= overlap(box, other) < most:
            found.append(other)
    return np.float32(found)


BOX = (10, 20, 50, 70)


def test_a_quarter_are_objects_and_the_others_hard_background():
    """40 near and 200 hard regions: 16 and 48; what hardly overlaps the object is not looked at."""
    rows = np.concatenate(
        [around(BOX, 40, 0.5, 1), around(BOX, 200, 0.1, 0.5), around(BOX, 60, 0, 0.1)]
    )
    found = fast_rcnn.chosen_regions(
        batch_of(([BOX], [1], np.random.default_rng(0).permutation(rows))), fast_rcnn.PLAN
    )
    labels, used = np.array(found["roi_label"][0]), np.array(found["roi_used"][0])
    assert used.all()
    assert labels.shape == (64,)
    assert (labels == 2).sum() == 16
    assert (labels == 0).sum() == 48
    for box, label in zip(np.array(found["rois"][0]), labels, strict=True):
        least, most = (0.5, 1.01) if label else (0.1, 0.5)
        assert least <= overlap(BOX, box) < most


def test_another_order_of_proposals_is_another_sample():
    """Which makes it random, as the pipeline draws a new order in every epoch."""
    rows = np.concatenate([around(BOX, 40, 0.5, 1), around(BOX, 200, 0.1, 0.5)])
    chosen = []
    for seed in (0, 1, 1):
        order = np.random.default_rng(seed).permutation(rows)
        found = fast_rcnn.chosen_regions(batch_of(([BOX], [1], order)), fast_rcnn.PLAN)
        chosen.append({tuple(box) for box in np.array(found["rois"][0]).tolist()})
    assert chosen[1] == chosen[2]
    assert len(chosen[0] & chosen[1]) < 40


@pytest.mark.parametrize("hard", [3, 0])
def test_few_candidates_leave_rows_unused(hard):
    rows = np.zeros((70, 4), np.float32)  # rows without area are no proposals
    rows[:hard] = around(BOX, hard, 0.1, 0.5).reshape(-1, 4)
    found = fast_rcnn.chosen_regions(batch_of(([BOX], [1], rows)), fast_rcnn.PLAN)
    assert np.array(found["roi_used"]).sum() == hard + 1  # the object's own box
    assert np.array(found["roi_label"]).sum() == 2


def test_the_box_of_an_object_is_among_its_regions():
    found = fast_rcnn.chosen_regions(
        batch_of(([BOX], [1], around(BOX, 70, 0.0, 0.1))), fast_rcnn.PLAN
    )
    (index,) = np.flatnonzero(np.array(found["roi_label"][0]))
    np.testing.assert_allclose(found["rois"][0][index], BOX)
    np.testing.assert_allclose(found["roi_code"][0][index], 0, atol=1e-6)


def numpy_loss(outputs: dict, boxes, classes) -> dict:
    """Cross entropy and smooth L1 of each region, by loops over the regions that were used."""
    sums, used = {"roi_class": 0.0, "roi_box": 0.0}, 0
    for logits, codes, box, take in zip(
        outputs["cls"], outputs["box"], outputs["proposals"], outputs["roi_used"], strict=True
    ):
        if not take:
            continue
        used += 1
        overlaps = [overlap(box, other) for other in boxes]
        best = int(np.argmax(overlaps)) if overlaps else -1
        label = classes[best] + 1 if overlaps and overlaps[best] >= 0.5 else 0
        logits = logits.astype(np.float64)
        sums["roi_class"] += math.log(np.exp(logits - logits.max()).sum()) + logits.max()
        sums["roi_class"] -= logits[label]
        if label:
            (y0, x0, y1, x1), (a0, b0, a1, b1) = boxes[best], (float(v) for v in box)
            h, w = a1 - a0, b1 - b0
            wanted = [
                ((y0 + y1) / 2 - (a0 + a1) / 2) / h / 0.1,
                ((x0 + x1) / 2 - (b0 + b1) / 2) / w / 0.1,
                math.log((y1 - y0) / h) / 0.2,
                math.log((x1 - x0) / w) / 0.2,
            ]
            for code, want in zip(codes[4 * label : 4 * label + 4], wanted, strict=True):
                d = abs(float(code) - want)
                sums["roi_box"] += 0.5 * d * d if d < 1 else d - 0.5
    return {name: (value, used) for name, value in sums.items()}


def test_a_step_s_loss_is_numpy_s():
    objects, classes = [BOX, (2, 60, 30, 94)], [1, 2]
    rows = np.concatenate(
        [around(box, n, *part) for box in objects for n, part in ((9, (0.5, 1)), (30, (0.1, 0.5)))]
    )
    batch = batch_of((objects, classes, rows))
    task = small()
    outputs = task.forward(batch)
    found = task.loss(batch["targets"], outputs)
    plain = {key: np.array(value[0]) for key, value in outputs.items()}
    assert plain["roi_used"].sum() == 64
    expected = numpy_loss(plain, objects, classes)
    assert set(found) == set(expected)
    for name, (value, count) in expected.items():
        assert value > 0
        np.testing.assert_allclose(found[name][0], value, rtol=1e-4)
        assert float(found[name][1]) == count


def test_nothing_to_learn_is_no_nan():
    """No objects, no proposals: a loss of 0 and gradients of 0, for a batch of such pictures."""
    task = small()
    batch = batch_of(([], [], np.zeros((5, 4))), ([], [], around(BOX, 5, 0, 1)))
    with tf.GradientTape() as tape:
        total = losses.total(task.loss(batch["targets"], task.forward(batch)))
    grads = tape.gradient(total, [weight.value for weight in task.model.trainable_variables])
    assert float(total) == 0.0
    assert all(np.isfinite(tf.convert_to_tensor(grad)).all() for grad in grads)


def test_decoding_undoes_the_codes_and_leaves_out_rows_without_area():
    """Two regions of one object and one without area: the better answer is kept, at the object."""
    regions = np.float32([[12, 22, 48, 66], [8, 18, 52, 75], [5, 5, 5, 40]])
    task = small()
    cls, box = np.zeros((1, 3, CLASSES + 1)), np.zeros((1, 3, 4 * (CLASSES + 1)))
    cls[0, :, 2] = (5.0, 4.0, 9.0)
    for row, region in enumerate(regions[:2]):
        box[0, row, 8:12] = fast_rcnn.two_stage.coding.encode(np.float32([BOX]), region[None])[0]
    outputs = {"cls": np.float32(cls), "box": np.float32(box), "proposals": regions[None]}
    found = task.decode(outputs, score_threshold=0.3, iou_threshold=0.3, max_detections=5)
    assert found["valid"].numpy().tolist() == [[True, False, False, False, False]]
    np.testing.assert_allclose(found["boxes"][0, 0], BOX, atol=1e-3)
    np.testing.assert_allclose(found["scores"][0, 0], math.exp(5) / (math.exp(5) + 3), rtol=1e-5)
    assert int(found["classes"][0, 0]) == 1


def test_truncated_layers_are_near_and_exact_at_full_rank():
    """Against NumPy's own product of the first singular values; the paper's count of weights."""
    task = small()
    fill(task.model)
    picture, rois = formula.pictures(1, 64, 96), regions(64, 96)[None]
    before = task.model([picture, rois])
    rank = min(task.model.get_layer("fc7").kernel.shape)
    whole = fast_rcnn.truncated(task, {"fc7": rank})
    np.testing.assert_allclose(whole.model([picture, rois])["cls"], before["cls"], rtol=1e-3)
    fewer = fast_rcnn.truncated(task, {"fc6": 20, "fc7": 10})
    kernel, bias = task.model.get_layer("fc7").get_weights()
    u, s, v = np.linalg.svd(kernel)
    expected = (u[:, :10] * s[:10]) @ v[:10]
    low, high, kept = fewer.model.get_layer("fc7").get_weights()
    np.testing.assert_allclose(low @ high, expected, atol=1e-4)
    np.testing.assert_array_equal(kept, bias)
    sides = task.model.get_layer("fc6").kernel.shape, kernel.shape
    removed = sum(a * b - r * (a + b) for (a, b), r in zip(sides, (20, 10), strict=True))
    assert fewer.info.params == task.info.params - removed
