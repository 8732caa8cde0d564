"""YOLOv1's outputs against loops in NumPy, of a file as Darknet writes it; targets and loss."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.detection import yolov1
from convoy.models.local import Local
from convoy.models.weights import load
from tests.models.test_iou import parts
from tests.models.test_parity import assert_close, fill
from tests.parity import formula

WIDTH, CLASSES = 0.0625, 4
# The .cfg: side and filters, p for a pooling, s for stride 2.
CFG = """7s64 p 3.192 p 1.128 3.256 1.256 3.512 p 1.256 3.512 1.256 3.512 1.256 3.512 1.256 3.512
1.512 3.1024 p 1.512 3.1024 1.512 3.1024 3.1024 3s1024 3.1024 3.1024"""
GRID, SIZE = (2, 3), (128, 192)


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def convolved(x, kernel, stride: int = 1):
    """x [C, H, W], kernel [out, in, side, side]; padded by half the side."""
    side = kernel.shape[-1]
    x = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2])
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return np.einsum("cyxij,ocij->oyx", windows[:, ::stride, ::stride], kernel, optimize=True)


def forward(picture, layer, last):
    """Through the .cfg: layer(number, side, inputs, filters) -> (kernel, what follows it)."""
    x, number = (picture / 255).transpose(2, 0, 1).astype(float), 0
    for word in CFG.split():
        if word == "p":
            channels, height, width = x.shape
            x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
            continue
        number, side, filters = number + 1, int(word[0]), int(int(word[2:]) * WIDTH)
        kernel, after = layer(number, side, len(x), filters)
        x = leaky(after(convolved(x, kernel, 2 if word[1] == "s" else 1)))
    return last(x)


class File:
    """Numbers of a .weights file, drawn one after the other; `data` is what was drawn."""

    def __init__(self):
        self.draw, self.data = np.random.default_rng(7), [struct.pack("<iiiQ", 0, 2, 0, 0)]

    def take(self, *shape, kind: str = "bias"):
        if kind == "variance":
            values = self.draw.uniform(0.5, 1.5, shape)
        elif kind == "scale":
            values = self.draw.uniform(0.8, 1.2, shape)
        else:
            fan = math.prod(shape[-3:]) if len(shape) > 3 else shape[-1]
            values = self.draw.normal(0, 0.1 if kind == "bias" else (2 / fan) ** 0.5, shape)
        values = values.astype(np.float32)
        self.data.append(values.tobytes())
        return values.astype(float)

    def layer(self, number, side, inputs, filters):
        beta, gamma = self.take(filters), self.take(filters, kind="scale")
        mean, variance = self.take(filters), self.take(filters, kind="variance")
        kernel = self.take(filters, inputs, side, side, kind="kernel")

        def after(x):
            x = (x.transpose(1, 2, 0) - mean) / (np.sqrt(variance) + 1e-6) * gamma + beta
            return x.transpose(2, 0, 1)

        return kernel, after

    def last(self, x):
        """local of 3x3, then connected: all in the order of the map [C, H, W] in memory."""
        channels, height, width = x.shape
        filters = int(256 * WIDTH)
        biases = self.take(filters, height, width)
        kernels = self.take(height * width, filters, channels, 3, 3, kind="kernel")
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
        found = np.zeros((filters, height, width))
        for y in range(height):
            for column in range(width):
                window = padded[:, y : y + 3, column : column + 3]
                kernel = kernels[y * width + column]
                found[:, y, column] = (kernel * window).sum((1, 2, 3)) + biases[:, y, column]
        flat = leaky(found).ravel()
        outputs = height * width * (3 * 5 + CLASSES)
        biases = self.take(outputs)
        return self.take(outputs, len(flat), kind="kernel") @ flat + biases


@pytest.mark.parametrize("size", [(64, 128), (128, 128)])
def test_yolov1_darknet_reads_its_file_as_darknet_does(size, tmp_path):
    picture = formula.pictures(1, *size)
    file = File()
    vector = forward(picture[0], file.layer, file.last)
    path = tmp_path / "yolov1.weights"
    path.write_bytes(b"".join(file.data))
    model = models.build("yolov1_darknet", num_classes=CLASSES, input_size=size, width=WIDTH)
    report = load.load(model, "yolov1_darknet", path)
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    assert len(report.matched) == len(model.weights)
    outputs = model(picture, training=False)
    cells = size[0] * size[1] // 64**2
    a, b = cells * CLASSES, cells * (CLASSES + 3)
    assert_close(outputs["cls"][0], vector[:a].reshape(cells, CLASSES))
    assert_close(outputs["obj"][0], vector[a:b].reshape(cells, 3))
    assert_close(outputs["box"][0], vector[b:].reshape(cells, 3, 4))
    path.write_bytes(b"".join(file.data)[:-8])
    with pytest.raises(ValueError, match="expected"):
        load.load(model, "yolov1_darknet", path)


@pytest.mark.parametrize("size", [(64, 128), (128, 128)])
def test_yolov1_equals_loops(size):
    """The paper's: biases, a full layer of the map row by row, 5 B + C numbers a cell."""
    model = models.build("yolov1", num_classes=CLASSES, input_size=size, width=WIDTH)
    fill(model)
    weights = {v.path: v.numpy().astype(float) for v in model.weights}

    def layer(number, *_):
        kernel = weights[f"conv{number}/kernel"].transpose(3, 2, 0, 1)
        return kernel, lambda x: x + weights[f"conv{number}/bias"][:, None, None]

    def last(x):
        x = x.transpose(1, 2, 0).ravel() @ weights["fc/kernel"] + weights["fc/bias"]
        return leaky(x) @ weights["cells_logits/kernel"] + weights["cells_logits/bias"]

    picture = formula.pictures(1, *size)
    cells = forward(picture[0], layer, last).reshape(-1, 2 * 5 + CLASSES)
    outputs = model(picture, training=False)
    boxes = cells[:, :10].reshape(-1, 2, 5)
    assert_close(outputs["box"][0], boxes[..., :4])
    assert_close(outputs["obj"][0], boxes[..., 4])
    assert_close(outputs["cls"][0], cells[:, 10:])


def test_local_equals_loops():
    draw = np.random.default_rng(0)
    layer = Local(3, 3)
    x = draw.normal(size=(2, 4, 5, 2)).astype(np.float32)
    layer.build(x.shape)
    kernel = draw.normal(size=(20, 3, 3, 2, 3)).astype(np.float32)
    bias = draw.normal(size=(4, 5, 3)).astype(np.float32)
    layer.set_weights([kernel, bias])
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    expected = np.zeros((2, 4, 5, 3))
    for i in range(4):
        for j in range(5):
            window = padded[:, i : i + 3, j : j + 3]
            expected[:, i, j] = np.einsum("byxc,yxco->bo", window, kernel[5 * i + j]) + bias[i, j]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    again = Local.from_config(layer.get_config())
    again.build(x.shape)
    assert again.compute_output_shape((None, 4, 5, 2)) == (None, 4, 5, 3)


def test_the_paper_s_map_has_1470_numbers():
    """7 x 7 x (2 * 5 + 20) = 49 * 30 = 1470; Darknet's 49 * (3 * 5 + 20) = 1715."""
    from tests.models.weightless import weightless

    for name, count in (("yolov1", 1470), ("yolov1_darknet", 1715)):
        model = weightless(name)
        assert model.get_layer("cells_logits").kernel.shape[-1] == count
        assert sum(math.prod(tensor.shape[1:]) for tensor in model.output.values()) == count
    with pytest.raises(ValueError, match="multiples of 64 px, got 448x450"):
        models.build("yolov1", input_size=(448, 450))


def encode(boxes, labels, valid=None) -> dict[str, np.ndarray]:
    valid = np.ones(len(labels), bool) if valid is None else np.asarray(valid)
    given = {"boxes": np.float32(boxes).reshape(-1, 4), "classes": np.int64(labels), "valid": valid}
    found = yolov1.encode(given, grid=GRID, size=SIZE, num_classes=CLASSES)
    return {name: value.numpy() for name, value in found.items()}


BOXES = [[16, 80, 48, 128], [70, 10, 120, 60], [90, 130, 128, 192], [100, 140, 120, 180]]


def test_targets_by_hand():
    """Centre (32, 104): cell (0, 1), x (104 - 64) / 64, y 32 / 64; w 48 / 192, h 32 / 128."""
    found = encode(BOXES, [2, 0, 1, 3])
    assert found["cls"].tolist() == [0, 3, 0, 1, 0, 4]  # of two in a cell the last
    np.testing.assert_allclose(found["box"][1], [40 / 64, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(
        found["box"][5], [32 / 64, 46 / 64, (40 / 192) ** 0.5, (20 / 128) ** 0.5]
    )
    assert not found["box"][[0, 2, 4]].any()
    assert not encode(BOXES, [9, 0, 0, 0], [True, False, False, False])["cls"].any()
    border = encode([[120, 180, 136, 204]], [0])  # the centre lies on the corner
    np.testing.assert_allclose(border["box"][5][:2], [1, 1])


def reference(targets, outputs) -> dict[str, float]:
    """Equation 3, cell after cell."""
    sums = dict.fromkeys(("xy", "wh", "obj", "noobj", "cls"), 0.0)

    def place(cell, code):
        """The box in parts of the picture."""
        y, x = divmod(cell, GRID[1])
        cx, cy = (x + code[0]) / GRID[1], (y + code[1]) / GRID[0]
        w, h = code[2] ** 2, code[3] ** 2
        return np.array([cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2])

    for b, labels in enumerate(targets["cls"]):
        for cell, label in enumerate(labels):
            codes = outputs["box"][b, cell].astype(float)
            confidences = outputs["obj"][b, cell].astype(float)
            best, overlap = None, 0.0
            if label:
                goal = targets["box"][b, cell].astype(float)
                truth = place(cell, goal)
                overlaps = [parts(place(cell, code), truth)["iou"] for code in codes]
                if max(overlaps) > 0:
                    best = int(np.argmax(overlaps))
                else:
                    both = [place(cell, code) for code in codes]
                    rows = [
                        np.r_[(box[:2] + box[2:]) / 2, box[2:] - box[:2]] for box in [*both, truth]
                    ]
                    best = int(np.argmin([((row - rows[-1]) ** 2).sum() for row in rows[:-1]]))
                overlap = overlaps[best]
                sums["xy"] += 5 * ((codes[best][:2] - goal[:2]) ** 2).sum()
                sums["wh"] += 5 * ((codes[best][2:] - goal[2:]) ** 2).sum()
                for k in range(CLASSES):
                    sums["cls"] += (outputs["cls"][b, cell, k] - (k + 1 == label)) ** 2
            for j, confidence in enumerate(confidences):
                if j == best:
                    sums["obj"] += (confidence - overlap) ** 2
                else:
                    sums["noobj"] += 0.5 * confidence**2
    return sums


def test_loss_equals_loops():
    """Boxes of a cell that overlap its object differently, and in one cell not at all."""
    draw = np.random.default_rng(4)
    rows = [encode(BOXES, [2, 0, 1, 3]), encode(BOXES[:1], [1])]
    targets = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    outputs = {
        "cls": draw.normal(0.3, 0.4, (2, 6, CLASSES)).astype(np.float32),
        "obj": draw.normal(0.3, 0.4, (2, 6, 2)).astype(np.float32),
        "box": draw.uniform(0.2, 0.8, (2, 6, 2, 4)).astype(np.float32),
    }
    outputs["box"][0, 3, :, 2:] = 0.01  # far from the object's centre, and small
    outputs["box"][0, 3, :, :2] = [[0.99, 0.99], [0.01, 0.02]]
    expected = reference(targets, outputs)
    found = yolov1.loss(targets, outputs, grid=GRID)
    assert set(found) == set(expected)
    for name, (value, count) in found.items():
        assert float(count) == 2
        np.testing.assert_allclose(float(value), expected[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("count", [0, 200])
def test_losses_and_gradients_are_finite(count):
    draw = np.random.default_rng(2)
    low = draw.uniform(0, 120, (count, 2))
    boxes = np.concatenate([low, low + draw.uniform(0.1, 70, (count, 2))], 1)
    targets = {key: value[None] for key, value in encode(boxes, draw.integers(0, 4, count)).items()}
    shapes = {"cls": (1, 6, CLASSES), "obj": (1, 6, 2), "box": (1, 6, 2, 4)}
    outputs = {
        key: tf.Variable(draw.normal(0, 9, shape).astype(np.float32))
        for key, shape in shapes.items()
    }
    with tf.GradientTape() as tape:
        found = yolov1.loss(targets, outputs, grid=GRID)
        total = losses.total(found)
    assert np.isfinite(total)
    for gradient in tape.gradient(total, outputs).values():
        assert np.isfinite(gradient).all()
    if not count:
        assert [name for name, (value, _) in found.items() if float(value)] == ["noobj"]


def test_what_answers_its_targets_finds_the_objects():
    found = encode(BOXES[:3], [2, 0, 1])
    outputs = {
        "cls": tf.one_hot(found["cls"] - 1, CLASSES)[None],
        "obj": np.float32(found["cls"] > 0)[None, :, None] * [1.0, 0.0],
        "box": np.repeat(found["box"][None, :, None], 2, axis=2),
    }
    outputs["obj"] -= 0.1  # less than 0 is none, even beside a class of less than 0
    outputs["cls"] -= 0.1
    decoded = yolov1.decode(outputs, 0.5, 0.5, 10, grid=GRID, size=SIZE)
    decoded = {key: value.numpy()[0] for key, value in decoded.items()}
    assert decoded["valid"].sum() == 3
    order = np.argsort(decoded["classes"][:3])
    np.testing.assert_allclose(decoded["boxes"][order], np.float32(BOXES)[[1, 2, 0]], atol=1e-3)
