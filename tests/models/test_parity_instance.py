"""Mask R-CNN's masks of given boxes against torchvision's (0.29.1), by instance_reference.py.

Its boxes are Faster R-CNN's: test_parity_two_stage.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from convoy.models.keras_internals import inbound_nodes, train_part
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula

TORCHVISION = np.load(GOLDEN / "instance_torchvision.npz")
CLASSES = 4
GIVEN = np.float32([[3.5, 10.25, 60.0, 41.0], [0.0, 0.0, 96.0, 96.0], [40.0, 50.0, 44.0, 95.5]])


SIZES = [(96, 96), pytest.param((128, 160), marks=pytest.mark.slow)]
DEEPER = pytest.param("mask_rcnn_resnet101_fpn", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["mask_rcnn_resnet50_fpn", DEEPER])
@pytest.mark.parametrize("size", SIZES)
def test_masks_of_given_boxes_equal_torchvisions(name, size):
    """Logits [3, 28, 28, K + 1] of boxes of three levels, one of them thin."""
    model = models.build_task(name, num_classes=CLASSES, input_size=size).model
    fill(model)
    *maps, boxes = inbound_nodes(model.get_layer("mask_pool"))[0].input_tensors
    inside = train_part([model.input], maps, [formula.pictures(1, *size)])
    ends = [model.get_layer("mask_apart").output]
    (logits,) = train_part([*maps, boxes], ends, [*inside, GIVEN[None]])
    assert_close(logits[0], TORCHVISION[f"{name}_{size[0]}x{size[1]}_given"])
