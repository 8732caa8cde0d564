"""One class per sentence: what a text network learns and answers."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence

import keras

from convoy.models.classification import task as pictures
from convoy.models.spec import ModelInfo, Task

answer, difference = pictures.answer, pictures.difference


def build(
    model: keras.Model,
    info: ModelInfo,
    vocabulary: Sequence[str] = (),
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] = (),
) -> Task:
    """Wraps a network of numbers of words [B, L] int32 -> logits [B, K].

    Where TensorFlow is not installed `opened` is None: network, loss and decoding do without.
    """
    tokens = None
    if importlib.util.find_spec("tensorflow"):
        from convoy.models.text.tokens import Tokens

        tokens = Tokens(vocabulary, info.preprocess)

    def encode(annotation):
        return {
            **pictures.encode(annotation),
            "tokens": tokens(annotation["sentence"][None])[0],
        }

    same = pictures.build(model, info, label_smoothing, class_weights)
    return dataclasses.replace(same, encode=encode, wiring=on_tokens, opened=tokens)


def on_tokens(model, batch):
    """The outputs for the sentences of a batch, in training mode."""
    return model(batch["targets"]["tokens"], training=True)
