"""Darknet's .weights: a header, then float32 after float32 in the order of the .cfg file.

Header: int32 major, minor, revision, and the number of pictures seen: 8 bytes from version 0.2 on,
else 4. A convolution is its biases (of a normalised one: beta, gamma, mean, variance), then its
kernel (out, in, height, width); a connected layer its biases, then (out, in), the other way round
where major or minor exceeds 1000. Names there are none: the length alone tells one network from
another, so it has to fit exactly.
"""

from __future__ import annotations

import dataclasses
import math
import os
import struct

import numpy as np


@dataclasses.dataclass(frozen=True)
class Unit:
    """A layer of ours with a kernel, in the .cfg's order."""

    name: str
    kernel: tuple[int, ...]  # Keras' shape: (h, w, in, out) or (in, out)
    norm: str = ""  # our layer that normalises it; "" = it has a bias

    @property
    def outputs(self) -> int:
        return self.kernel[-1]

    def numbers(self, outputs: int) -> int:
        return math.prod(self.kernel[:-1]) * outputs + outputs * (4 if self.norm else 1)


def read(path: str | os.PathLike, units: list[Unit]) -> dict[str, dict[str, np.ndarray]]:
    """Our layer -> variable -> array, kernels (out, in[, h, w]). Raises ValueError.

    The last unit is the head: the file may lack it, or have it for another number of classes.
    """
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 16:
        raise ValueError(f"{path}: {len(data)} bytes are no Darknet weights")
    major, minor, _ = struct.unpack("<3i", data[:12])
    start = 20 if major * 10 + minor >= 2 and max(major, minor) < 1000 else 16
    if (len(data) - start) % 4:
        raise ValueError(f"{path}: {len(data)} bytes are no header and whole float32 numbers")
    values = np.frombuffer(data, "<f4", offset=start)
    counts = [unit.outputs for unit in units]
    body = sum(unit.numbers(n) for unit, n in zip(units[:-1], counts, strict=False))
    counts[-1], remainder = divmod(len(values) - body, units[-1].numbers(1))
    if remainder or counts[-1] < 0:
        expected = body + units[-1].numbers(units[-1].outputs)
        raise ValueError(
            f"{path}: expected {start + 4 * expected:,} bytes, or {start + 4 * body:,} without the "
            f"last layer, got {len(data):,}: weights of another network, or cut off"
        )
    return _split(values, units, counts, transposed=max(major, minor) > 1000)


def _split(values, units: list[Unit], counts: list[int], *, transposed: bool) -> dict:
    variables, position = {}, 0

    def take(*shape: int) -> np.ndarray:
        nonlocal position
        begin, position = position, position + math.prod(shape)
        return values[begin:position].reshape(shape)

    for unit, outputs in zip(units, counts, strict=True):
        if not outputs:
            continue
        biases = take(outputs)
        if unit.norm:
            norm = {"beta": biases, "gamma": take(outputs)}
            variables[unit.norm] = norm | {
                "moving_mean": take(outputs),
                "moving_variance": take(outputs),
            }
        if len(unit.kernel) == 2:
            inputs = unit.kernel[0]
            kernel = take(inputs, outputs).T if transposed else take(outputs, inputs)
        else:
            height, width, inputs, _ = unit.kernel
            kernel = take(outputs, inputs, height, width)
        variables[unit.name] = {"kernel": kernel} | ({} if unit.norm else {"bias": biases})
    return variables
