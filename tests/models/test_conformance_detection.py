"""What a detector must do beside the matrix: its parts agree, objects of all sizes count."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from tests.models.smallest import CASES
from tests.parity import formula


def one_object(box: np.ndarray, k: int) -> dict:
    return {"boxes": box, "classes": np.array([k]), "valid": np.array([True])}


@pytest.mark.parametrize(
    "name", ["ssd_mobilenet_v1", pytest.param("ssd300_vgg16", marks=pytest.mark.slow)]
)
def test_detector_rows_agree(name):
    """Model, targets and decoding have one row a prior; detections are in pixels of the input."""
    task = models.build_task(name, **CASES[name].options)
    height, width = task.info.preprocess.size
    outputs = task.model(formula.pictures(1, height, width))
    box = np.float32([[0.1 * height, 0.2 * width, 0.7 * height, 0.9 * width]])
    encoded = task.encode(one_object(box, 1))
    assert outputs["cls"].shape[1] == outputs["box"].shape[1] == encoded["cls"].shape[0]
    assert outputs["cls"].shape[2] == task.info.num_classes + 1
    # A network that answers exactly its targets finds the object again.
    perfect = {
        "cls": 20.0 * tf.one_hot(encoded["cls"], task.info.num_classes + 1)[None],
        "box": encoded["box"][None],
    }
    found = task.decode(perfect, 0.5, 0.45, 10)
    assert found["valid"].numpy().sum() == 1
    assert int(found["classes"][0, 0]) == 1
    np.testing.assert_allclose(found["boxes"][0, 0], box[0], rtol=1e-4)


@pytest.mark.parametrize("size", [160, 300])
def test_ssd_mobilenet_covers_objects_of_all_sizes(size):
    """From a seventh of the side to the whole picture, a square has several priors."""
    task = models.build_task("ssd_mobilenet_v1", input_size=(size, size), num_classes=1, width=0.25)
    for part in (0.15, 0.3, 0.5, 0.7, 0.9):
        low = 0.5 * size * (1 - part)
        box = np.float32([[low, low, size - low, size - low]])
        found = task.encode(one_object(box, 0))
        assert np.count_nonzero(found["cls"]) >= 2, part
