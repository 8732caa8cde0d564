"""Numbers of masks by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from convoy.data.sample import Sample
from convoy.pipeline.evaluation.masks import MaskEvaluation


def png(mask) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((mask * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_one_object_half_found():
    """6 of its 10 columns, IoU 0.6: right at 0.5, 0.55 and 0.6, of ten thresholds; wrong at 0.7."""
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10:20] = 1
    sample = Sample(
        source_id="a",
        split="val",
        image=b"",
        height=40,
        width=50,
        boxes=np.float32([[10, 10, 30, 20], [0, 0, 5, 5]]),
        classes=np.array([0, 0]),
        masks=(png(mask), png(0 * mask)),  # the second has no pixel
    )
    answer = {
        "boxes": np.float32([[10, 10, 30, 16]]),
        "scores": np.float32([0.9]),
        "classes": np.array([0]),
        "masks": np.ones((1, 28, 28), np.float32),
        "num_detections": 1,
    }
    evaluation = MaskEvaluation(1)
    evaluation.update(sample, answer)
    numbers = evaluation.result(["x"])
    assert numbers["mask_AP50"] == pytest.approx(1)
    assert numbers["mask_AP75"] == 0
    assert numbers["mask_AP"] == pytest.approx(0.3)
    assert (numbers["APr50"], numbers["APr70"]) == (1, 0)
    assert numbers["objects_without_pixels"] == 1
