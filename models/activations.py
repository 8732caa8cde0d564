"""Activations that Keras lacks, or has in a form that TensorFlow cannot run everywhere."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("convoy")
class Mish(keras.layers.Layer):
    """x tanh(log(1 + e^x)), Misra 2019 https://arxiv.org/abs/1908.08681, from one exponential.

    TensorFlow 2.20 on a CPU joins convolution, normalisation and Keras' mish into one operation
    that it has not implemented ("Fusion is not implemented: [FusedBatchNorm,Mish]"), in evaluation
    and in serving; it does not recognise this form. With t = e^x, tanh(log(1 + t)) is
    (t^2 + 2 t) / (t^2 + 2 t + 2); for x > 0 both sides are divided by t^2, so nothing overflows.
    """

    def call(self, x):
        t = ops.exp(-ops.abs(x))
        positive = x >= 0
        top = ops.where(positive, 1.0 + 2.0 * t, t * (t + 2.0))
        bottom = top + ops.where(positive, 2.0 * t * t, 2.0)
        return x * (top / bottom)

    def compute_output_shape(self, input_shape):
        return input_shape
