"""RetinaNet on a small body overfits eight digit scenes, not those of other pictures' objects."""

from __future__ import annotations

import pytest

from tests.models.test_learning_yolo import ap50, learnt, scenes  # noqa: F401

SMALL = {"backbone": "mobilenet_v1", "width": 0.5, "steps": 150}


@pytest.mark.slow
def test_it_overfits(scenes):  # noqa: F811
    samples, labels = scenes
    assert ap50(*learnt("retinanet", samples, samples, **SMALL), samples, labels) >= 0.95


@pytest.mark.slow
def test_objects_of_other_pictures_are_not_its_own(scenes):  # noqa: F811
    samples, labels = scenes
    trained = learnt("retinanet", samples, [*samples[1:], samples[0]], **SMALL)
    assert ap50(*trained, samples, labels) < 0.2
