"""OpenPose against OpenCV, which reads a prototxt as the authors have it and a .caffemodel.

It is the very file that our importer reads.
"""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from convoy.models.weights import load
from tests.models.test_parity import assert_close
from tests.parity import caffe_pose, caffe_segmentation, formula


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (77, 45)])
@pytest.mark.parametrize("name", ["openpose_coco", "openpose_mpi"])
def test_openpose_equals_opencv(name, size, tmp_path):
    """The last stage's fields and heat maps, which all stages before it go into."""
    text, data = caffe_pose.openpose(name, size)
    (tmp_path / "net.caffemodel").write_bytes(data)
    model = models.build(name, input_size=size)
    report = load.load(model, name, tmp_path / "net.caffemodel")
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    pixels = formula.pictures(1, *size)
    # The network sees x / 256 - 0.5; OpenCV is given what is left of the mean.
    expected = caffe_segmentation.opencv(text, data, pixels / 256, (0.5,) * 3, "last")
    found = model(pixels, training=False)
    assert_close(np.concatenate([found["paf6"], found["heat6"]], -1), expected)
