"""What YOLO's rows learn and say, by hand and against NumPy; pictures without objects and crowded.

A grid of 64 x 96 px: levels of stride 32 (2 x 3 cells) and 16 (4 x 6), two anchors each.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import anchors, losses
from convoy.models.detection import yolo, yolov2, yolov3, yolov4
from tests.models.test_iou import ciou

SIZE, CLASSES = (64, 96), 3
SHAPES = {32: ((40, 40), (80, 30)), 16: ((10, 12), (24, 16))}  # width, height
GRID = yolo.grid_of(
    [
        anchors.Level((2, 3), (32, 32), tuple((h, w) for w, h in SHAPES[32])),
        anchors.Level((4, 6), (16, 16), tuple((h, w) for w, h in SHAPES[16])),
    ],
    SIZE,
)
REACHING = yolo.grid_of(GRID.levels, SIZE, [1.05, 1.2])  # as YOLOv4's
ROWS = 2 * 3 * 2 + 4 * 6 * 2
BOXES = np.float32([[10, 20, 20, 30], [8, 4, 56, 92], [40, 60, 64, 96], [0, 0, 14, 26]])
LABELS = np.int64([2, 0, 1, 1])


def encode(
    boxes, labels, valid=None, num_classes: int = CLASSES, also: float = 1.0
) -> dict[str, np.ndarray]:
    valid = np.ones(len(labels), bool) if valid is None else np.asarray(valid)
    given = {"boxes": np.float32(boxes).reshape(-1, 4), "classes": np.int64(labels), "valid": valid}
    found = yolo.encode(given, grid=GRID, num_classes=num_classes, also=also)
    return {name: value.numpy() for name, value in found.items()}


def batched(*rows: dict) -> dict:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def overlap(a, b) -> float:
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [max(0.0, x[2] - x[0]) * max(0.0, x[3] - x[1]) for x in (a, b)]
    return height * width / (sum(areas) - height * width) if height * width else 0.0


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def rows_of_cells() -> list[tuple[int, int, int, int, int]]:
    """(side, row, column, anchor's width, height) of every row, counted out."""
    found = []
    for side, height, width in ((32, 2, 3), (16, 4, 6)):
        for y in range(height):
            for x in range(width):
                found += [(side, y, x, *shape) for shape in SHAPES[side]]
    return found


def box_of(cell, t) -> list[float]:
    return box_at(cell, *sigmoid(t[:2]), *t[2:4])


def box_at(cell, part_x, part_y, stretch_w, stretch_h) -> list[float]:
    side, y, x, w, h = cell
    cx, cy = side * (x + part_x), side * (y + part_y)
    w, h = w * math.exp(stretch_w), h * math.exp(stretch_h)
    return [cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2]


def test_targets_by_hand():
    """A box of 10 x 10 around (25, 15): nearest 10 x 12 of stride 16, cell (0, 1), row 12 + 2.

    IoU of shapes is 100 / 120 there, 100 / 384, 100 / 1600 and 100 / 2400 elsewhere. x of the cell
    is (25 - 16) / 16, y 15 / 16; log(10 / 10), log(10 / 12).
    """
    found = encode([[10, 20, 20, 30]], [2])
    assert np.flatnonzero(found["cls"]).tolist() == [14]
    assert found["cls"][14] == 3
    np.testing.assert_allclose(found["box"][14], [9 / 16, 15 / 16, 0, math.log(10 / 12)], rtol=1e-6)
    assert not found["box"][np.arange(ROWS) != 14].any()
    np.testing.assert_array_equal(found["truth"], [[10, 20, 20, 30], [0, 0, 0, 0]])


def test_boxes_by_hand():
    """t = 0 puts the anchor in the middle of its cell; log 3 of x is three quarters of it."""
    raw = np.zeros((1, ROWS, 5 + CLASSES), np.float32)
    raw[0, 5, :4] = [math.log(3), 0, math.log(2), 0]  # stride 32, cell (0, 2), anchor 80 x 30
    boxes = np.asarray(yolo.boxes_of(raw, GRID))[0]
    np.testing.assert_allclose(boxes[0], [16 - 20, 16 - 20, 16 + 20, 16 + 20])
    np.testing.assert_allclose(boxes[5], [16 - 15, 88 - 80, 16 + 15, 88 + 80], rtol=1e-6)
    np.testing.assert_allclose(boxes[14], [8 - 6, 24 - 5, 8 + 6, 24 + 5])
    np.testing.assert_allclose(GRID.priors, np.asarray(yolo.boxes_of(0 * raw, GRID))[0], atol=1e-5)
    raw[0, 0, 2] = 1e9
    assert np.isfinite(yolo.boxes_of(raw, GRID)).all()


def test_the_reach_of_a_centre():
    """1.2 sigmoid(log 3) - 0.1 = 0.8 of a cell of 16 px; at t = -log 11 the cell's edge: 0."""
    raw = np.zeros((1, ROWS, 5 + CLASSES), np.float32)
    raw[0, 14, :2] = [math.log(3), -math.log(11)]  # stride 16, cell (0, 1), anchor 10 x 12
    boxes = np.asarray(yolo.boxes_of(raw, REACHING))[0]
    x, y = 16 + 0.8 * 16, 0
    np.testing.assert_allclose(boxes[14], [y - 6, x - 5, y + 6, x + 5], atol=1e-5)
    raw[0, 0, 0] = math.log(3)  # 1.05 * 0.75 - 0.025 of 32 px
    x = 32 * 0.7625
    boxes = np.asarray(yolo.boxes_of(raw, REACHING))[0]
    np.testing.assert_allclose(boxes[0], [16 - 20, x - 20, 16 + 20, x + 20], rtol=1e-5)
    np.testing.assert_array_equal(GRID.reach, 1)


def test_further_anchors_learn_from_an_overlap_on():
    """A box of 30 x 30: shapes overlap by 900 / 1600, 900 / 2400, 120 / 900 and 384 / 900."""
    box = [[15, 15, 45, 45]]  # its centre lies in cell (0, 0) of stride 32 and (1, 1) of 16
    assert np.flatnonzero(encode(box, [1])["cls"]).tolist() == [0]
    found = encode(box, [1], also=0.4)
    assert np.flatnonzero(found["cls"]).tolist() == [0, 12 + 2 * 7 + 1]
    code = [14 / 16, 14 / 16, math.log(30 / 24), math.log(30 / 16)]
    np.testing.assert_allclose(found["box"][27], code, rtol=1e-6)
    assert np.flatnonzero(encode(box, [1], also=0.3)["cls"]).tolist() == [0, 1, 27]


def test_targets_equal_loops():
    """60 random boxes: centre's cell, best shape of all anchors, the last of each row."""
    draw = np.random.default_rng(0)
    low = draw.uniform([0, 0], [50, 80], (60, 2))
    boxes = np.concatenate([low, np.minimum(low + draw.uniform(4, 60, (60, 2)), SIZE)], 1)
    labels = draw.integers(0, CLASSES, 60)
    cells = rows_of_cells()
    cls, box = np.zeros(ROWS, int), np.zeros((ROWS, 4))
    for (y0, x0, y1, x1), label in zip(np.float32(boxes).astype(float), labels, strict=True):
        best, row = 0.0, None
        for index, (side, y, x, w, h) in enumerate(cells):
            if (y, x) == ((y0 + y1) / 2 // side, (x0 + x1) / 2 // side):
                shape = overlap((0, 0, y1 - y0, x1 - x0), (0, 0, h, w))
                if shape > best:
                    best, row = shape, index
        side, y, x, w, h = cells[row]
        cls[row] = label + 1
        box[row] = [(x0 + x1) / 2 / side - x, (y0 + y1) / 2 / side - y, 0, 0]
        box[row, 2:] = math.log((x1 - x0) / w), math.log((y1 - y0) / h)
    found = encode(boxes, labels)
    assert 20 < np.count_nonzero(cls) < 60  # some rows have more than one
    np.testing.assert_array_equal(found["cls"], cls)
    np.testing.assert_allclose(found["box"], box, atol=1e-5)


@pytest.mark.parametrize("scores", [yolov2.scores, yolov3.scores])
def test_what_answers_its_targets_finds_the_objects(scores):
    found = encode(BOXES, LABELS)
    raw = np.full((1, ROWS, 5 + CLASSES), -20.0, np.float32)
    part = np.clip(found["box"][:, :2], 1e-6, 1 - 1e-6)
    raw[0, :, :2], raw[0, :, 2:4] = np.log(part / (1 - part)), found["box"][:, 2:]
    for row in np.flatnonzero(found["cls"]):
        raw[0, row, [4, 4 + found["cls"][row]]] = 20.0
    decoded = yolo.decode(tf.constant(raw), 0.5, 0.45, 10, grid=GRID, scores=scores)
    decoded = {name: value.numpy()[0] for name, value in decoded.items()}
    assert decoded["valid"].sum() == len(BOXES)
    for box, label in zip(BOXES, LABELS, strict=True):
        place = np.abs(decoded["boxes"] - box).max(1).argmin()
        np.testing.assert_allclose(decoded["boxes"][place], box, atol=1e-3)
        assert decoded["classes"][place] == label


def test_objects_at_the_border_and_such_as_cannot_be_learnt():
    """A centre on the right or lower border, and beyond, belongs to the last cell."""
    boxes = [[54, 86, 74, 106], [-10, -10, 10, 10], [60, 90, 90, 130]]
    for box, cell in zip(boxes, ((1, 2), (0, 0), (1, 2)), strict=True):
        found = encode([box], [0])
        row = int(np.flatnonzero(found["cls"])[0])
        side, *place = rows_of_cells()[row][:3]
        assert tuple(int(n * side / 32) for n in place) == cell
        assert ((found["box"][row, :2] >= 0) & (found["box"][row, :2] <= 1)).all()
    wrong = [[9, 9, 9, 20], [np.nan, 0, 9, 9], [5, 5, 15, 15], [5, 5, 15, 15]]
    found = encode(wrong, [0, 0, CLASSES, 0], [True, True, True, False])
    assert not found["cls"].any()
    assert not found["truth"].any()
    assert encode([], [])["truth"].shape == (1, 4)


def bce(q, t):
    p, q = sigmoid(t), float(q)
    return -q * np.log(p) - (1 - q) * np.log(1 - p)


def v3_loss(targets: dict, outputs: np.ndarray) -> dict[str, float]:
    """The equations of models/detection/yolov3.py, row after row."""
    sums = dict.fromkeys(("xy", "wh", "obj", "cls"), 0.0)
    cells = rows_of_cells()
    for cls, box, truth, raw in zip(*targets.values(), outputs.astype(float), strict=True):
        for row, cell in enumerate(cells):
            t = raw[row]
            if cls[row]:
                w, h = (cell[3 + i] * math.exp(box[row, 2 + i]) for i in (0, 1))
                weight = 2 - w * h / (SIZE[0] * SIZE[1])
                sums["xy"] += weight * (bce(box[row, 0], t[0]) + bce(box[row, 1], t[1]))
                sums["wh"] += weight * ((t[2:4] - box[row, 2:]) ** 2).sum() / 2
                sums["obj"] += bce(1, t[4])
                sums["cls"] += sum(bce(k + 1 == cls[row], t[5 + k]) for k in range(CLASSES))
            elif max(overlap(box_of(cell, t), one) for one in truth) <= 0.5:
                sums["obj"] += bce(0, t[4])
    return sums


def v2_loss(targets: dict, outputs: np.ndarray) -> dict[str, float]:
    """The equations of models/detection/yolov2.py, row after row."""
    sums = dict.fromkeys(("xy", "wh", "obj", "cls"), 0.0)
    cells = rows_of_cells()
    for cls, box, truth, raw in zip(*targets.values(), outputs.astype(float), strict=True):
        for row, cell in enumerate(cells):
            t, p, own = raw[row], sigmoid(raw[row]), box_of(cell, raw[row])
            if cls[row]:
                mine = box_at(cell, *box[row].astype(float))
                sums["xy"] += ((p[:2] - box[row, :2]) ** 2).sum() / 2
                sums["wh"] += ((t[2:4] - box[row, 2:]) ** 2).sum() / 2
                sums["obj"] += 5 * (p[4] - overlap(own, mine)) ** 2 / 2
                sums["cls"] -= np.log(np.exp(t[4 + cls[row]]) / np.exp(t[5:]).sum())
            elif max(overlap(own, one) for one in truth) <= 0.6:
                sums["obj"] += p[4] ** 2 / 2
    return sums


def v4_loss(targets: dict, outputs: np.ndarray) -> dict[str, float]:
    """The equations of models/detection/yolov4.py, row after row; labels smoothed by 0.1."""
    sums = dict.fromkeys(("box", "obj", "cls"), 0.0)
    cells = rows_of_cells()
    for cls, box, truth, raw in zip(*targets.values(), outputs.astype(float), strict=True):
        for row, cell in enumerate(cells):
            t = raw[row]
            reach = 1.05 if cell[0] == 32 else 1.2
            part = reach * sigmoid(t[:2]) - (reach - 1) / 2
            own = box_at(cell, *part, *t[2:4])
            if cls[row]:
                sums["box"] += 5 * (1 - ciou(own, box_at(cell, *box[row].astype(float))))
                sums["obj"] += bce(1, t[4])
                for k in range(CLASSES):
                    sums["cls"] += bce(0.95 if k + 1 == cls[row] else 0.05, t[5 + k])
            elif max(overlap(own, one) for one in truth) <= 0.7:
                sums["obj"] += bce(0, t[4])
    return sums


def near_miss(outputs: np.ndarray) -> np.ndarray:
    """The second anchor of the cell that has BOXES[2] overlaps it by more than 0.7, too."""
    outputs[0, 11, :4] = [-0.1, 0.6, -0.8, -0.2]
    return outputs


@pytest.mark.parametrize(
    ("loss", "reference", "grid"),
    [
        (yolov2.loss, v2_loss, GRID),
        (yolov3.loss, v3_loss, GRID),
        (functools.partial(yolov4.loss, label_smoothing=0.1), v4_loss, REACHING),
    ],
    ids=["v2", "v3", "v4"],
)
def test_loss_equals_loops(loss, reference, grid):
    draw = np.random.default_rng(1)
    outputs = near_miss(draw.normal(0, 0.7, (2, ROWS, 5 + CLASSES)).astype(np.float32))
    targets = batched(encode(BOXES, LABELS), encode(BOXES[[1, 1, 3, 3]], [0, 1, 2, 0]))
    expected = reference(targets, outputs)
    alone = {**targets, "truth": 0 * targets["truth"]}  # nothing is near any object
    assert reference(alone, outputs)["obj"] > expected["obj"]
    found = loss(targets, outputs, grid=grid)
    assert set(found) == set(expected)
    for name, (value, normalizer) in found.items():
        assert float(normalizer) == 2, name
        np.testing.assert_allclose(float(value), expected[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["yolov2_tiny", "yolov3_tiny", "yolov4_tiny"])
@pytest.mark.parametrize("case", ["none", "one class", "200 objects", "border"])
def test_losses_and_gradients_are_finite(name, case):
    task = models.build_task(name, num_classes=1 if case == "one class" else 4, input_size=(64, 96))
    draw = np.random.default_rng(2)
    count = {"none": 0, "200 objects": 200}.get(case, 3)
    low = draw.uniform(0, 60, (count, 2))
    boxes = np.float32(np.concatenate([low, low + draw.uniform(1, 30, (count, 2))], 1))
    if case == "border":
        boxes = np.float32([[0, 0, 64, 96], [0, 95, 64, 96], [63.5, 95.5, 64, 96]])
    labels = draw.integers(0, task.info.num_classes, count)
    rows = task.encode({"boxes": boxes, "classes": labels, "valid": np.ones(count, bool)})
    targets = {key: value[None] for key, value in rows.items()}
    outputs = tf.Variable(draw.normal(0, 3, (1, *task.model.output_shape[1:])).astype(np.float32))
    with tf.GradientTape() as tape:
        parts = task.loss(targets, outputs)
        total = losses.total(parts)
    assert np.isfinite(total)
    assert float(total) > 0
    assert np.isfinite(tape.gradient(total, outputs)).all()
    if case == "none":
        assert [name for name, (value, _) in parts.items() if float(value)] == ["obj"]
    decoded = task.decode(outputs, 0.01, 0.45, 10)
    assert np.isfinite(decoded["boxes"]).all()


@pytest.mark.parametrize("size", [(100, 96), (96, 75)])
def test_sides_are_multiples_of_32(size):
    with pytest.raises(ValueError, match=f"multiples of 32 px, got {size[0]}x{size[1]}"):
        models.build("yolov3_tiny", input_size=size)


def test_reorg_is_darknet_s_loop():
    """reorg_cpu of the map in memory: out[k, j, i] of input's shape, from [C / 4, 2 H, 2 W]."""
    x = np.arange(2 * 4 * 6 * 8, dtype=np.float32).reshape(2, 4, 6, 8)
    height, width, channels = 4, 6, 8
    expected = []
    for picture in x:
        memory = picture.transpose(2, 0, 1).ravel()
        out = np.zeros(channels * height * width, np.float32)
        for k in range(channels):
            c2, offset = k % (channels // 4), k // (channels // 4)
            for j in range(height):
                for i in range(width):
                    w2, h2 = 2 * i + offset % 2, 2 * j + offset // 2
                    source = w2 + 2 * width * (h2 + 2 * height * c2)
                    out[i + width * (j + height * k)] = memory[source]
        expected.append(out.reshape(4 * channels, height // 2, width // 2).transpose(1, 2, 0))
    np.testing.assert_array_equal(yolov2.Reorg()(x), np.stack(expected))
