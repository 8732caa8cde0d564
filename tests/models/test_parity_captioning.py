"""Captioners, words told one after the other, against PyTorch under identical random weights.

Its outputs were written by tests/parity/captioning_reference.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from convoy.models.captioning import speaker
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula
from tests.parity.captioning import SPOKEN, WORDS


@pytest.mark.parametrize("size", [(33, 47), (64, 64)])
@pytest.mark.parametrize("name", ["neuraltalk2", "show_and_tell"])
def test_captioners_equal_pytorch(name, size):
    """On VGG-16: Inception v3 is compared by itself."""
    model = fill(models.build(name, num_classes=WORDS, input_size=size, backbone="vgg16"))
    given = model(formula.pictures(2, *size), training=False)
    found = speaker.taught(model.get_layer("speaker"), given, SPOKEN)
    assert_close(found, np.load(GOLDEN / "captioning.npz")[f"{name}_{size[0]}x{size[1]}"])
