"""MobileNet v2 and v3 against keras.applications under identical random weights."""

from __future__ import annotations

import keras
import pytest

from convoy import models
from convoy.models import count
from convoy.models.classification.mobilenet_v2 import divisible
from tests.models.test_parity import assert_close, copy_weights
from tests.parity import formula

APPLICATIONS = {
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3Large",
    "mobilenet_v3_small": "MobileNetV3Small",
}


@pytest.mark.parametrize(
    ("size", "width"),
    [
        pytest.param((64, 64), 1.0, marks=pytest.mark.slow),
        ((75, 65), 1.0),
        pytest.param((97, 126), 0.75, marks=pytest.mark.slow),
        ((32, 33), 1.4),
    ],
)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_equals_keras_applications(name, size, width):
    reference = getattr(keras.applications, APPLICATIONS[name])(
        weights=None,
        classes=12,
        classifier_activation=None,
        input_shape=(*size, 3),
        alpha=width,
    )
    ours = models.build(name, num_classes=12, input_size=size, width=width)
    copy_weights(reference, ours)
    assert count.params(ours) == count.params(reference)
    images = formula.pictures(2, *size)
    # Keras' v3 scales its pixels itself.
    pixels = images if "v3" in name else images / 127.5 - 1.0
    assert_close(ours(images, training=False), reference(pixels, training=False))


@pytest.mark.parametrize(
    ("channels", "expected"), [(8, 8), (3, 8), (12, 16), (11.9, 16), (18, 24), (17, 16), (33.6, 32)]
)
def test_channels_are_multiples_of_eight(channels, expected):
    """11.9 rounds to 8, which is less than 0.9 of it, so to 16; 18 likewise; 17 stays at 16."""
    assert divisible(channels) == expected
