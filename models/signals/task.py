"""One class per sound or series: what a network of signals learns and answers."""

from __future__ import annotations

import dataclasses
import importlib.util

import keras

from convoy.models.classification import task as pictures
from convoy.models.spec import ModelInfo, Task

answer, difference = pictures.answer, pictures.difference


def build(
    model: keras.Model,
    info: ModelInfo,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] = (),
) -> Task:
    """Wraps a network of samples [B, T, C] float32 -> logits [B, K].

    Where TensorFlow is not installed `opened` is None: network, loss and decoding do without.
    """
    waves = None
    if importlib.util.find_spec("tensorflow"):
        from convoy.models.signals.waves import Waves

        waves = Waves(info.preprocess)

    def encode(annotation):
        return {**pictures.encode(annotation), "samples": waves(annotation["signal"][None])[0]}

    same = pictures.build(model, info, label_smoothing, class_weights)
    return dataclasses.replace(same, encode=encode, wiring=on_samples, opened=waves)


def on_samples(model, batch):
    """The outputs for the signals of a batch, in training mode."""
    return model(batch["targets"]["samples"], training=True)
