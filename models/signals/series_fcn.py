"""FCN of time series: three 1-D convolutions and the mean over time.

Paper: Wang, Yan, Oates 2017, Time Series Classification from Scratch with Deep Neural Networks,
https://arxiv.org/abs/1611.06455: 128 filters of 8, 256 of 5, 128 of 3, each with batch
normalisation and ReLU, none with pooling; Keras' initialisation (Glorot's) and Adam, as in the
authors' code. Series of any number of channels; the paper's have one.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Signal

BLOCKS = ((128, 8), (256, 5), (128, 3))  # filters, samples


def build(
    variant: str, signal: Signal, *, num_classes: int = 2, dropout: float = 0.0
) -> keras.Model:
    """Samples [B, T, C] -> logits [B, num_classes]."""
    inputs = keras.Input(signal.shape, name="samples")
    x = inputs
    for number, (filters, width) in enumerate(BLOCKS, start=1):
        x = keras.layers.Conv1D(
            filters,
            width,
            padding="same",
            kernel_initializer=layers.GLOROT,
            name=f"conv{number}",
        )(x)
        x = layers.BatchNorm(momentum=0.9, name=f"bn{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer=layers.GLOROT, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name=variant)
