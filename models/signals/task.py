"""One class per sound or series: what a network of signals learns and answers."""

from __future__ import annotations

import importlib.util

import keras

from convoy.models.classification import task as pictures
from convoy.models.opening import opening
from convoy.models.spec import ModelInfo, Task

answer, difference = pictures.answer, pictures.difference


def build(
    model: keras.Model,
    info: ModelInfo,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] = (),
) -> Task:
    """Wraps a network of samples [B, T, C] float32 -> logits [B, K]."""
    waves = None
    if importlib.util.find_spec("tensorflow"):
        from convoy.models.signals.waves import Waves

        waves = Waves(info.preprocess)

    same = pictures.build(model, info, label_smoothing, class_weights)
    return opening(same, waves, "signal", "samples")
