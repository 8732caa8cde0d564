"""The first weights of networks that restore pictures; see initial_laws.py."""

from __future__ import annotations

import math

from tests.models.initial_laws import TORCH, Law, fan_out, normal, row

# Of Keras' transposed kernel [h, w, outputs, inputs]; an output sees taps * inputs / stride^2, but
# Torch7 counts all taps.
TORCH_TRANSPOSED = Law("uniform", lambda shape: math.sqrt(1 / 3 / fan_out(shape)))

RESTORERS = {
    ("dbn",): row(
        "authors' file: Torch7's defaults, +-1 / sqrt(fan-in)",
        # an eighth of the width: 1 / sqrt(3 * 25 * 15), 1 / sqrt(3 * 16 * 64)
        {"f0/kernel": 0.029814, "u1_conv/kernel": 0.018042},
        laws={
            "u[123]_conv/*": TORCH_TRANSPOSED,
            "*/kernel": TORCH,
            "*/bias": TORCH,
        },
    ),
    ("srcnn_915", "srcnn_935", "srcnn_955"): row(
        "Dong 2015, section 3.3: N(0, 0.001)",
        {"conv1/kernel": 0.001, "conv3/kernel": 0.001},
        laws={"*/kernel": normal(0.001)},
    ),
}
