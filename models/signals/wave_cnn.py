"""M3, M5, M11 and M18: deep 1-D networks that hear the samples themselves.

Paper: Dai, Dai, Qu, Li, Das 2017, Very Deep Convolutional Neural Networks for Raw Waveforms,
https://arxiv.org/abs/1610.00087, table 1. Four seconds at 8 kHz; a first layer of 80 samples with
stride 4, then layers of 3, each with batch normalisation and ReLU; the length goes to a quarter
after each group; the mean over time, one linear layer. Glorot's initialisation, L2 of 0.0001 (a
recipe's train.weight_decay).

Read into the paper, which does not say it: convolutions are padded to keep their length, and have
no biases, as batch normalisation follows; pooling leaves out what fills no window. Its table gives
0.2, 0.5, 1.8 and 3.7 million parameters.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.spec import Signal

# variant -> (filters, layers) of each group; the first group is the layer of 80 samples.
VARIANTS = {
    "wave_m3": ((256, 1), (256, 1)),
    "wave_m5": ((128, 1), (128, 1), (256, 1), (512, 1)),
    "wave_m11": ((64, 1), (64, 2), (128, 2), (256, 3), (512, 2)),
    "wave_m18": ((64, 1), (64, 4), (128, 4), (256, 4), (512, 4)),
}
FIRST, STRIDE, POOL = 80, 4, 4
POOLED_LAST = ("wave_m3", "wave_m5")  # whose last group is pooled, too


def build(
    variant: str, signal: Signal, *, num_classes: int = 10, dropout: float = 0.0
) -> keras.Model:
    """Samples [B, T, 1] -> logits [B, num_classes]. Raises ValueError for too few samples."""
    pools = len(VARIANTS[variant]) - (variant not in POOLED_LAST)
    least = STRIDE * POOL**pools
    if signal.samples < least:
        raise ValueError(f"{variant}: expected at least {least} samples, got {signal.samples}")
    inputs = keras.Input(signal.shape, name="samples")
    x = inputs
    groups = VARIANTS[variant]
    for group, (filters, count) in enumerate(groups, start=1):
        for number in range(1, count + 1):
            width, stride = (FIRST, STRIDE) if group == 1 else (3, 1)
            x = _conv(x, filters, width, stride, f"conv{group}_{number}")
        if group < len(groups) or variant in POOLED_LAST:
            x = keras.layers.MaxPooling1D(POOL, name=f"pool{group}")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer=layers.GLOROT, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name=variant)


def _conv(x, filters: int, width: int, stride: int, name: str):
    x = keras.layers.Conv1D(
        filters,
        width,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=layers.GLOROT,
        name=name,
    )(x)
    x = layers.BatchNorm(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
