"""YOLO's heads and boxes against OpenCV, which reads the .cfg and the very file that we load."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from convoy import models
from convoy.models.detection import yolo
from convoy.models.detection.task import iou
from convoy.models.weights import load
from tests.models.test_parity import assert_close
from tests.parity import darknet_cfg, formula
from tests.parity.darknet_reference import sections

CLASSES = 3
ROWS = {"yolo": "yolo_{}", "region": "detection_out"}  # section of a .cfg -> OpenCV's layer
NETWORKS = [
    "yolov3_tiny",
    "yolov2_tiny",
    "yolov4_tiny",
    pytest.param("yolov2", marks=pytest.mark.slow),
    pytest.param("yolov3", marks=pytest.mark.slow),
    pytest.param("yolov3_spp", marks=pytest.mark.slow),
    pytest.param("yolov4", marks=pytest.mark.slow),
]


def opencv(cfg: str, weights: bytes, picture: np.ndarray) -> list[list[np.ndarray]]:
    """Of each level the map before its head's rows [A (5 + K), H, W], and the rows."""
    net = cv2.dnn.readNetFromDarknet(
        np.frombuffer(cfg.encode(), np.uint8), np.frombuffer(weights, np.uint8)
    )
    net.setInput(np.ascontiguousarray((picture / 255).transpose(0, 3, 1, 2)))
    kinds = [kind for kind, _ in sections(cfg)[1:]]
    names = []
    for index, kind in enumerate(kinds):
        if kind in ROWS:
            names += [f"conv_{index - 1}", ROWS[kind].format(index)]
    values = net.forward(names)
    return [[values[i][0], values[i + 1]] for i in range(0, len(values), 2)]


def suppressed(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.4) -> np.ndarray:
    """[N, K] bool: a better box of the class, itself kept, overlaps by more than the threshold."""
    gone = np.zeros(scores.shape, bool)
    for k in range(scores.shape[1]):
        order = [row for row in np.argsort(-scores[:, k], kind="stable") if scores[row, k] > 0]
        for place, row in enumerate(order):
            if not gone[row, k]:
                rest = np.array(order[place + 1 :], int)
                gone[rest[iou(boxes[row], boxes[rest]) > threshold], k] = True
    return gone


@pytest.mark.parametrize("size", [(64, 64), (75, 97)])
@pytest.mark.parametrize("network", ["darknet_reference", "cspdarknet53_tiny"])
def test_the_body_of_the_tiny_ones_is_opencv_s(network, size, tmp_path):
    cfg = darknet_cfg.cfg(network, 10, *size)
    data = darknet_cfg.weights(cfg)
    path = tmp_path / "net.weights"
    path.write_bytes(data)
    model = models.build(network, num_classes=10, input_size=size)
    load.load(model, network, path)
    net = cv2.dnn.readNetFromDarknet(
        np.frombuffer(cfg.encode(), np.uint8), np.frombuffer(data, np.uint8)
    )
    pictures = formula.pictures(2, *size)
    net.setInput(np.ascontiguousarray((pictures / 255).transpose(0, 3, 1, 2)))
    expected = net.forward().reshape(2, 10)
    assert_close(model(pictures, training=False), expected, 1e-5)
    assert np.std(expected[0] - expected[1]) > 1e-3  # of the picture, not of the biases alone


@pytest.mark.parametrize("size", [(128, 128), (96, 160)])
@pytest.mark.parametrize("network", NETWORKS)
def test_heads_and_rows_are_opencv_s(network, size, tmp_path):
    cfg = darknet_cfg.cfg(network, CLASSES, *size)
    data = darknet_cfg.weights(cfg, darknet_cfg.HEAD_GAIN.get(network, 1.0))
    path = tmp_path / "net.weights"
    path.write_bytes(data)
    task = models.build_task(network, num_classes=CLASSES, input_size=size)
    report = load.load(task.model, network, path)
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])

    picture = formula.pictures(1, *size)
    outputs = task.model(picture, training=False)
    grid = task.decode.keywords["grid"]
    boxes = np.asarray(yolo.boxes_of(outputs, grid)[0])
    scores = np.asarray(task.decode.keywords["scores"](outputs)[0])
    start = 0
    for level, (expected, rows) in zip(grid.levels, opencv(cfg, data, picture), strict=True):
        part = slice(start, start + level.count)
        ours = np.asarray(outputs[0, part]).reshape(*level.grid, -1).transpose(2, 0, 1)
        assert_close(ours, expected, 1e-4)

        rows = rows.reshape(level.count, -1)
        height, width = size
        x, y, w, h = (rows[:, :4] * [width, height, width, height]).T
        theirs = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1)
        assert_close(boxes[part], theirs, 1e-4)
        known = np.where(scores[part] > darknet_cfg.THRESHOLD, scores[part], 0)
        if "yolov2" in network:  # OpenCV suppresses the rows of [region] whatever the .cfg says
            gone = suppressed(boxes[part], known)
            assert 0 < gone.sum() < gone.size / 2
            known = np.where(gone, 0, known)
        np.testing.assert_allclose(known, rows[:, 5:], atol=1e-4)
        start += level.count
    assert start == len(boxes)
