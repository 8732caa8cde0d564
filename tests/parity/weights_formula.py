"""Tensors of PyTorch networks by their own names, from formula.py; NumPy alone.

Weights go by the names in the file here, so that a wrong table of names cannot pass.
"""

from __future__ import annotations

import numpy as np

from tests.parity import formula

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}


def tensors(shapes: dict[str, tuple[int, ...]], scaled: bool = True) -> dict[str, np.ndarray]:
    """{"layer1.0.conv1.weight": (64, 64, 3, 3), ...} -> float32 arrays in PyTorch's layout.

    scaled: else the scales of normalisations are 1, as of networks that were trained without.
    """
    found = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        if part == "num_batches_tracked":
            found[name] = np.asarray(7, np.int64)
            continue
        if f"{layer}.running_mean" in shapes:
            kind = NORM.get(part, "moving_variance")
        else:
            kind = "kernel" if part == "weight" else "bias"
        if kind == "gamma" and not scaled:
            found[name] = np.ones(shape, np.float32)
        elif len(shape) == 4:  # depthwise: fan-in of one channel either way
            values = formula.weight(f"{layer}/{kind}", tuple(shape[i] for i in (2, 3, 1, 0)))
            found[name] = values.transpose(3, 2, 0, 1)
        elif len(shape) == 2:
            found[name] = formula.weight(f"{layer}/{kind}", tuple(shape[::-1])).T
        else:
            found[name] = formula.weight(f"{layer}/{kind}", tuple(shape))
    return found
