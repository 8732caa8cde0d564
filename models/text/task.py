"""A text network with its loss and its reading: what the trainer and the export hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import keras

from convoy.models.classification import task as pictures
from convoy.models.spec import ModelInfo, TextClassifier


def classifier(
    model: keras.Model, info: ModelInfo, words: Sequence[str], label_smoothing: float = 0.0
) -> TextClassifier:
    """Wraps a network of numbers of words -> logits [B, K]; `words` is its vocabulary.

    Where TensorFlow is not installed `tokens` is None: network, loss and decoding do without.
    """
    tokens = None
    if importlib.util.find_spec("tensorflow"):
        from convoy.models.text.tokens import Tokens

        tokens = Tokens(words, info.preprocess)

    def encode(given):
        import tensorflow as tf

        label = pictures.encode(tf.boolean_mask(given["labels"], given["labels"] >= 0))
        return {**label, "tokens": tokens(given["text"][None])[0]}

    same = pictures.classifier(model, info, label_smoothing)
    return TextClassifier(
        model=model, encode=encode, loss=same.loss, decode=same.decode, info=info, tokens=tokens
    )
