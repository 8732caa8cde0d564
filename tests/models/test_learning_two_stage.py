"""Two-stage detectors on a small backbone overfit eight digit scenes, as in test_learning_yolo.py.

Taught the objects of the next picture instead, they do not find those of their own.
"""

from __future__ import annotations

import pytest

from tests.models.test_learning_yolo import ap50, learnt, scenes  # noqa: F401

SMALL = {"backbone": "mobilenet_v1", "width": 0.5}
STEPS = {"faster_rcnn": 250, "rfcn": 250}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_it_overfits(name, scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt(name, samples, samples, STEPS[name], **SMALL)
    assert ap50(*trained, samples, labels) >= 0.95


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):  # noqa: F811
    samples, labels = scenes
    taught = [*samples[1:], samples[0]]
    trained = learnt("faster_rcnn", samples, taught, STEPS["faster_rcnn"], **SMALL)
    assert ap50(*trained, samples, labels) < 0.2
