"""What PyTorch's files hold once they are read: tensors by name, here grouped by layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# safetensors' names of the types of numbers; BF16 is the upper half of a float32.
KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
PLAIN = {"weight": "kernel", "bias": "bias"}
# What training puts before every name: on several GPUs, compiled, or as a part of a larger module.
_PREFIXES = ("module.", "_orig_mod.", "model.")
_COUNTERS = ("num_batches_tracked", "n_averaged")


def numbers(raw: bytes, kind: str) -> np.ndarray:
    """Little-endian bytes of a type of KINDS -> a flat array."""
    values = np.frombuffer(raw, KINDS[kind])
    return (values.astype("<u4") << 16).view("<f4") if kind == "BF16" else values


def layers(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """ "layer1.0.bn1.weight" -> {"layer1.0.bn1": {"gamma": ...}}, in the file's order.

    A layer with running_mean is a normalisation. Counters are left out, as is what training puts
    before every name, or within names where a part of the network was on several GPUs.
    """
    tensors = {
        name.replace(".module.", "."): value
        for name, value in tensors.items()
        if name.rpartition(".")[2] not in _COUNTERS
    }
    while prefix := _common_prefix(tensors):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        layer, _, part = name.rpartition(".")
        grouped.setdefault(layer, {})[part] = value
    for layer, parts in grouped.items():
        names = NORM if "running_mean" in parts else PLAIN
        grouped[layer] = {names.get(part, part): value for part, value in parts.items()}
    return grouped


def _common_prefix(names) -> str:
    shared = (p for p in _PREFIXES if names and all(name.startswith(p) for name in names))
    return next(shared, "")
