"""cnn-trad-fpool3: a 2-D network on the log-mel spectrogram, which spots keywords.

Paper: Sainath and Parada 2015, Convolutional Neural Networks for Small-footprint Keyword Spotting,
Interspeech, table 1. 40 mel bands of windows of 25 ms every 10 ms; 32 of them are seen. 64 filters
of 20 x 8 (time x frequency), the highest of 3 in frequency, 64 filters of 10 x 4, a linear layer
of 32, one of 128 with ReLU, the classes: 244.2 thousand parameters with 4 of them, without biases.

Differences: the paper's front end is Google's own; here mel bands are HTK's triangles from 20 Hz to
half the rate on the power of Hann windows (keras.layers.MelSpectrogram), of which the natural
logarithm is taken, 1e-6 added. More samples than 4,960 give more columns, and a larger linear
layer.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.spec import Signal

BANDS = 40
WINDOW, STEP = 0.025, 0.010  # seconds
FLOOR = 1e-6  # added to a band's power
TALLEST = 20  # columns that the first layer sees at once


@keras.saving.register_keras_serializable("convoy")
class LogMel(keras.layers.Layer):
    """Samples [B, T, 1] -> [B, 1 + T // step, bands, 1], the logarithm of each band's power.

    In float32 at every precision. keras' layer can take decibels itself, but then clips at 80 dB
    below the loudest of the whole batch, so that an answer would depend on its neighbours.
    """

    def __init__(self, rate, bands=BANDS, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.rate, self.bands = rate, bands
        window = round(rate * WINDOW)
        self.power = keras.layers.MelSpectrogram(
            num_mel_bins=bands,
            sampling_rate=rate,
            sequence_length=window,
            sequence_stride=round(rate * STEP),
            fft_length=1 << (window - 1).bit_length(),
            power_to_db=False,
            dtype="float32",
        )

    def call(self, samples):
        power = self.power(ops.cast(samples[..., 0], "float32"))
        return ops.log(ops.transpose(power, (0, 2, 1)) + FLOOR)[..., None]

    def compute_output_shape(self, input_shape):
        steps = 1 + input_shape[1] // round(self.rate * STEP)
        return (input_shape[0], steps, self.bands, 1)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "bands": self.bands}


def build(
    variant: str, signal: Signal, *, num_classes: int = 4, dropout: float = 0.0
) -> keras.Model:
    """Samples [B, T, 1] -> logits [B, num_classes]. Raises ValueError for too few samples."""
    columns = 1 + signal.samples // round(signal.rate * STEP)
    if columns < TALLEST + 9:
        least = (TALLEST + 8) * round(signal.rate * STEP)
        raise ValueError(f"{variant}: expected at least {least} samples, got {signal.samples}")
    inputs = keras.Input(signal.shape, name="samples")
    x = LogMel(signal.rate, name="log_mel")(inputs)
    x = _conv(x, (TALLEST, 8), "conv1")
    x = keras.layers.MaxPooling2D((1, 3), name="pool1")(x)
    x = _conv(x, (10, 4), "conv2")
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(32, kernel_initializer=layers.GLOROT, name="low_rank")(x)
    x = keras.layers.Dense(128, "relu", kernel_initializer=layers.GLOROT, name="dense")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer=layers.GLOROT, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name=variant)


def _conv(x, window: tuple[int, int], name: str):
    return keras.layers.Conv2D(
        64, window, activation="relu", kernel_initializer=layers.GLOROT, name=name
    )(x)
