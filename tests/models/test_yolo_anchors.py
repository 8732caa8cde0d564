"""Anchors that levels share, and such as a recipe asks for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from convoy import models
from convoy.models import anchors
from convoy.models.detection import yolo

SIZE = (64, 96)


def test_an_anchor_of_two_levels_learns_in_both():
    """As 81 x 82 of YOLOv4-tiny."""
    shared = [
        anchors.Level((2, 3), (32, 32), ((40, 40),)),
        anchors.Level((4, 6), (16, 16), ((40, 40), (9, 9))),
    ]
    box = {"boxes": np.float32([[0, 0, 40, 40]]), "classes": [0], "valid": [True]}
    found = yolo.encode(box, grid=yolo.grid_of(shared, SIZE), num_classes=1)
    assert np.flatnonzero(found["cls"]).tolist() == [0, 6 + 2 * 7]


def test_anchors_that_are_asked_for():
    """By area, the smallest to the finest map; the order of the maps is the network's."""
    own = {32: [(9, 9)] * 2, 16: [(1, 1)] * 2}
    asked = [(30, 40), (5, 4), (90, 90), (20, 20)]
    found = yolo.shapes_by_stride("yolov3_tiny", asked, own)
    assert list(found) == [32, 16]
    assert found == {32: ((30, 40), (90, 90)), 16: ((5, 4), (20, 20))}
    for wrong in ([(1, 2)] * 3, [(1, 0), (1, 1)], [(1, 2, 3), (1, 1)], [(math.inf, 1), (1, 1)]):
        with pytest.raises(ValueError, match="yolov3_tiny: anchors: expected pairs of width"):
            yolo.shapes_by_stride("yolov3_tiny", wrong, own)
    task = models.build_task("yolov4_tiny", num_classes=1, input_size=(64, 64), anchors=asked)
    sides = task.priors.boxes[[0, -1], 2:] - task.priors.boxes[[0, -1], :2]
    np.testing.assert_allclose(sides, [[40, 30], [20, 20]])
    with pytest.raises(ValueError, match="ssd300_vgg16 has no anchors"):
        models.build("ssd300_vgg16", anchors=asked)
