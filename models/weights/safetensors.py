"""Files of the safetensors format: the header's length, a JSON header, the tensors' bytes.

Format: https://huggingface.co/docs/safetensors (8 bytes little-endian length N, N bytes of JSON
{name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the data the offsets count from)
"""

from __future__ import annotations

import json
import math
import os

import numpy as np

from convoy.models.weights import state_dict

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Tensors by name. Raises ValueError where the file is not what its header says."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ValueError(f"{path}: no safetensors file: a header of {length} bytes of {size}")
        try:
            header = json.loads(file.read(length))
            entries = {k: v for k, v in header.items() if k != "__metadata__"}
            claimed = sum(
                end - begin for begin, end in (e["data_offsets"] for e in entries.values())
            )
            if claimed > size - 8 - length:
                raise ValueError(f"its tensors claim {claimed} bytes of {size - 8 - length}")
            return {name: _tensor(file, 8 + length, size, entry) for name, entry in entries.items()}
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise ValueError(f"{path}: no safetensors file, or cut off: {error}") from None


def _tensor(file, start: int, size: int, entry: dict) -> np.ndarray:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if kind not in state_dict.KINDS:
        raise ValueError(f"numbers of type {kind}; known: {', '.join(state_dict.KINDS)}")
    needed = math.prod(shape) * np.dtype(state_dict.KINDS[kind]).itemsize
    if end - begin != needed or not 0 <= begin <= end <= size - start:
        raise ValueError(f"{needed} bytes of shape {shape} at {begin}:{end} of {size - start}")
    file.seek(start + begin)
    return state_dict.numbers(file.read(needed), kind).reshape(shape)
