"""Caffe's .caffemodel: a protocol buffer of layers and their blobs, read without Caffe.

Fields of BVLC's caffe.proto that are looked at. NetParameter: layers of today 100, of before 2.
LayerParameter: name 1, type 2, blobs 7. V1LayerParameter: name 4, type 5 (a number), blobs 6.
BlobProto: num, channels, height, width 1 to 4, data 5, shape 7 (dim 1), double_data 8.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np

_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
_KERNELS = ("Convolution", "InnerProduct", "Deconvolution")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read(path: str | os.PathLike) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> variable -> array, kernels (out, in, h, w) or (out, in). Raises ValueError.

    A BatchNorm's sums are divided by its third blob, their weight.
    """
    with open(path, "rb") as file:
        data = memoryview(file.read())
    variables = {}
    try:
        for field, _, value in _fields(data):
            if field in (100, 2):
                name, kind, blobs = _layer(value, *((1, 2, 7) if field == 100 else (4, 5, 6)))
                if blobs:
                    variables[name] = _variables(name, kind, blobs)
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{path}: no .caffemodel, or cut off: {error}") from None
    if not variables:
        raise ValueError(f"{path}: a .caffemodel without a layer that has weights")
    return variables


def _layer(data: memoryview, name_field: int, type_field: int, blobs_field: int):
    name, kind, blobs = "", "", []
    for field, _, value in _fields(data):
        if field == name_field:
            name = _text(value)
        elif field == type_field:
            kind = _V1_TYPES.get(value, "") if isinstance(value, int) else _text(value)
        elif field == blobs_field:
            blobs.append(_blob(value))
    return name, kind, blobs


def _text(value) -> str:
    if isinstance(value, int):
        raise ValueError("a number where a name should be")
    return bytes(value).decode()


def _blob(data: memoryview) -> np.ndarray:
    legacy, shape, pieces = [1, 1, 1, 1], None, []
    for field, wire, value in _fields(data):
        if field in (1, 2, 3, 4):
            legacy[field - 1] = value
        elif field == 5:  # packed, or one by one
            pieces.append(np.frombuffer(value, "<f4"))
        elif field == 8:
            pieces.append(np.frombuffer(value, "<f8"))
        elif field == 7:
            shape = [n for kind, wire, dims in _fields(value) if kind == 1 for n in _ints(dims)]
    values = np.concatenate(pieces) if len(pieces) > 1 else (pieces or [np.zeros(0, "<f4")])[0]
    if shape is None:  # vectors are (1, 1, 1, n), matrices (1, 1, out, in)
        shape = legacy[2:] if legacy[:2] == [1, 1] else legacy
        shape = shape[1:] if len(shape) == 2 and shape[0] == 1 else shape
    if math.prod(shape) != len(values):
        raise ValueError(f"a blob of shape {tuple(shape)} has {len(values)} numbers")
    return values.reshape(shape)


def _ints(value) -> list[int]:
    """A repeated integer, packed or one of them."""
    if isinstance(value, int):
        return [value]
    numbers, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        numbers.append(number)
    return numbers


def _variables(name: str, kind: str, blobs: list[np.ndarray]) -> dict[str, np.ndarray]:
    if kind in _KERNELS:
        values = dict(zip(("kernel", "bias"), blobs, strict=False))
        if kind == "InnerProduct" and values["kernel"].ndim == 1:  # one output of a legacy blob
            values["kernel"] = values["kernel"][None]
        return values
    if kind == "BatchNorm":
        mean, variance, weight = blobs
        factor = 1.0 / weight.item() if weight.item() else 0.0
        with np.errstate(over="ignore"):  # what is not finite is refused with its name
            return {"moving_mean": mean * factor, "moving_variance": variance * factor}
    if kind == "Scale":
        return dict(zip(("gamma", "beta"), blobs, strict=False))
    return {f"blob{index}": blob for index, blob in enumerate(blobs)}


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, wire type, value) of each field of a message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32, _BYTES):
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
            if length is None:
                length, position = _varint(data, position)
            value = data[position : position + length]
            if len(value) < length:
                raise ValueError("it ends within a field")
            position += length
        else:
            raise ValueError(f"wire type {wire} at byte {position}")
        if field == 0:
            raise ValueError(f"field 0 at byte {position}")
        yield field, wire, value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"no number at byte {position}")
