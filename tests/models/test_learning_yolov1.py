"""YOLOv1, Darknet's, overfits eight digit scenes with a quarter of its channels.

5 x 6 cells of 64 px, so that no two centres fall into one.
"""

from __future__ import annotations

import pytest

from tests.models.test_learning_yolo import ap50, learnt, scenes  # noqa: F401

SMALL = {"width": 0.25, "size": (320, 384), "steps": 250}


@pytest.mark.slow
def test_it_overfits(scenes):  # noqa: F811
    samples, labels = scenes
    assert ap50(*learnt("yolov1_darknet", samples, samples, **SMALL), samples, labels) >= 0.95


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt("yolov1_darknet", samples, [*samples[1:], samples[0]], **SMALL)
    assert ap50(*trained, samples, labels) < 0.2
