"""Darknet's .weights: a header, then float32 after float32 in the order of the .cfg file.

Header: int32 major, minor, revision, and the number of pictures seen: 8 bytes from version 0.2 on,
else 4. A convolution is its biases (of a normalised one: beta, gamma, mean, variance), then its
kernel (out, in, height, width); a connected layer its biases, then (out, in), the other way round
where major or minor exceeds 1000; a local layer its biases (out, place), then for each place a
kernel (out, in, height, width). Names there are none: the length alone tells one network from
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
    kernel: tuple[
        int, ...
    ]  # Keras' shape: (h, w, in, out), (in, out), local (places, h, w, in, out)
    norm: str = ""  # our layer that normalises it; "" = it has a bias
    head: bool = False  # its outputs may be of another number of classes

    @property
    def outputs(self) -> int:
        return self.kernel[-1]

    @property
    def places(self) -> int:
        """Positions with weights of their own."""
        return self.kernel[0] if len(self.kernel) == 5 else 1

    def numbers(self, outputs: int) -> int:
        others = self.places * outputs * (4 if self.norm else 1)
        return math.prod(self.kernel[:-1]) * outputs + others


def read(path: str | os.PathLike, units: list[Unit]) -> dict[str, dict[str, np.ndarray]]:
    """Our layer -> variable -> array, kernels (out, in[, h, w]). Raises ValueError.

    The heads, all with as many outputs, may be for another number of classes; without any the last
    unit is one. The file may lack a head that is the only one and comes last.
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
    heads = [unit for unit in units if unit.head] or units[-1:]
    body = sum(unit.numbers(unit.outputs) for unit in units if unit not in heads)
    outputs, rest = divmod(len(values) - body, sum(unit.numbers(1) for unit in heads))
    least = 0 if heads == units[-1:] else 1
    if rest or outputs < least:
        whole = body + sum(unit.numbers(unit.outputs) for unit in heads)
        without = "" if least else f", or {start + 4 * body:,} without the last layer"
        raise ValueError(
            f"{path}: expected {start + 4 * whole:,} bytes{without}, got {len(data):,}: weights of "
            "another network, or cut off"
        )
    counts = [outputs if unit in heads else unit.outputs for unit in units]
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
        biases = take(outputs, unit.places) if unit.places > 1 else take(outputs)
        if unit.norm:
            norm = {"beta": biases, "gamma": take(outputs)}
            variables[unit.norm] = norm | {
                "moving_mean": take(outputs),
                "moving_variance": take(outputs),
            }
        if len(unit.kernel) == 2:
            inputs = unit.kernel[0]
            kernel = take(inputs, outputs).T if transposed else take(outputs, inputs)
        elif len(unit.kernel) == 5:
            places, height, width, inputs, _ = unit.kernel
            kernel = take(places, outputs, inputs, height, width)
        else:
            height, width, inputs, _ = unit.kernel
            kernel = take(outputs, inputs, height, width)
        variables[unit.name] = {"kernel": kernel} | ({} if unit.norm else {"bias": biases})
    return variables
