"""One class per sentence: what a text network learns and answers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import keras

from convoy.models.classification import task as pictures
from convoy.models.opening import opening
from convoy.models.spec import ModelInfo, Task

answer, difference = pictures.answer, pictures.difference


def build(
    model: keras.Model,
    info: ModelInfo,
    vocabulary: Sequence[str] = (),
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] = (),
) -> Task:
    """Wraps a network of numbers of words [B, L] int32 -> logits [B, K]."""
    tokens = None
    if importlib.util.find_spec("tensorflow"):
        from convoy.models.text.tokens import Tokens

        tokens = Tokens(vocabulary, info.preprocess)

    same = pictures.build(model, info, label_smoothing, class_weights)
    return opening(same, tokens, "sentence", "tokens")
