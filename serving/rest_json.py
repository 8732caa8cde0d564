"""JSON of the REST API to arrays and back, as TensorFlow Serving maps them."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from typing import Any

import numpy as np
import tensorflow as tf

from convoy.serving.errors import INVALID_ARGUMENT, ServingError


def parse(body: bytes) -> dict[str, Any]:
    """The request document."""
    if not body:
        raise _bad("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _bad(f"JSON Parse error: {error}") from error
    except RecursionError as error:
        raise _bad("JSON Parse error: lists and objects lie too deep inside each other") from error
    if not isinstance(document, dict):
        raise _bad("the request is not a JSON object")
    return document


def inputs(document: dict, types: dict[str, tf.DType]) -> tuple[dict[str, np.ndarray], bool]:
    """({input: array}, whether the request is in row format)."""
    if "instances" in document and "inputs" in document:
        raise _bad("expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        return _rows(document["instances"], types), True
    if "inputs" in document:
        return _columns(document["inputs"], types), False
    raise _bad("Missing 'inputs' or 'instances' key")


def _rows(instances: Any, types: dict[str, tf.DType]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise _bad("expecting 'instances' to be a list/array")
    if not instances:
        raise _bad("No values in 'instances' array")
    if not _is_named(instances[0]):
        if len(types) > 1:
            raise _bad(
                "instances is a plain list, but expecting list of objects as multiple input "
                f"tensors required: {', '.join(sorted(types))}"
            )
        for index, item in enumerate(instances):
            if _is_named(item):
                raise _bad(f"Expecting value/list but got object at item {index} of input list")
        return {name: array(name, instances, dtype) for name, dtype in types.items()}
    for index, item in enumerate(instances):
        if not _is_named(item):
            raise _bad(f"Expecting object but got list at item {index} of input list")
        if set(item) != set(types):
            raise _bad(
                f"Failed to process element: {index} of 'instances' list. JSON object keys must "
                f"be equal to: {','.join(sorted(types))}, got: {','.join(sorted(item))}"
            )
    return {
        name: array(name, [item[name] for item in instances], dtype)
        for name, dtype in types.items()
    }


def _columns(columns: Any, types: dict[str, tf.DType]) -> dict[str, np.ndarray]:
    if not _is_named(columns):
        if len(types) > 1:
            raise _bad(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                f"required: {', '.join(sorted(types))}"
            )
        return {name: array(name, columns, dtype) for name, dtype in types.items()}
    for name in types:
        if name not in columns:
            raise _bad(f"Missing named input: {name} in 'inputs' object.")
    return {name: array(name, columns[name], dtype) for name, dtype in types.items()}


def array(name: str, value: Any, dtype: tf.DType) -> np.ndarray:
    """A nested list as an array of the input's type."""
    if dtype == tf.string:
        value = _strings(value)
    try:
        values = np.array(value, object if dtype == tf.string else None)
    except (ValueError, OverflowError) as error:
        raise _bad(f"input {name}: lists of different lengths in one tensor") from error
    if dtype == tf.string:
        if any(isinstance(item, list) for item in values.flat):
            raise _bad(f"input {name}: lists of different lengths in one tensor")
        return values
    expected = np.dtype(dtype.as_numpy_dtype)
    allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[expected.kind]
    if values.size and values.dtype.kind not in allowed:
        raise _bad(f"JSON Value: {_short(value)} is not of expected type: {dtype.name}")
    if expected.kind in "iu" and values.size:
        limits = np.iinfo(expected)
        if values.min() < limits.min or values.max() > limits.max:
            raise _bad(f"input {name}: a value does not fit into {dtype.name}")
    return values.astype(expected)


def _strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(item) for item in value]
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:  # half of a pair of surrogates
            raise _bad("JSON Value: a string is not valid Unicode") from error
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        return _unescaped(value["b64"])
    if isinstance(value, dict):
        raise _bad(f"JSON Value: {_short(value)} not formatted correctly for base64 data")
    raise _bad(f"JSON Value: {_short(value)} is not of expected type: string")


def _unescaped(text: str) -> bytes:
    """As absl::Base64Unescape: white space anywhere, padding may be missing."""
    bare = "".join(text.split()).rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise _bad("Unable to base64 decode") from error


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """The body of a request; gzip is unpacked, up to `most` bytes. Raises ServingError."""
    if encoding.strip().lower() in ("", "identity"):
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise _bad(f"Content-Encoding {encoding!r} is not known: expected gzip")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(body, most)
    except zlib.error as error:
        raise _bad(f"the body is not the gzip that its Content-Encoding says: {error}") from error
    if unpacker.unconsumed_tail:
        raise _bad(f"the body unpacks to more than {most:,} bytes")
    if not unpacker.eof:
        raise _bad("the body's gzip breaks off")
    return content


def outputs(arrays: dict[str, np.ndarray], rows: bool) -> bytes:
    """The response document; a single output stands without its name."""
    plain = {name: _plain(name, value) for name, value in arrays.items()}
    if not rows:
        content = {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}
        return json.dumps(content, separators=(",", ":")).encode()
    counts = {name: value.shape[:1] for name, value in arrays.items()}
    if () in counts.values() or len(set(counts.values())) != 1:
        raise _bad(f"outputs have no common batch size: {counts}; ask in column format ('inputs')")
    if len(plain) == 1:
        predictions = next(iter(plain.values()))
    else:
        predictions = [
            dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)
        ]
    return json.dumps({"predictions": predictions}, separators=(",", ":")).encode()


def _plain(name: str, value: np.ndarray) -> Any:
    if value.dtype == object:
        return _texts(value.tolist(), name.endswith("_bytes"))
    if value.dtype == np.float32:
        return shortest(value).tolist()
    return value.tolist()


def _texts(value: Any, binary: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, binary) for item in value]
    if binary:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")


def shortest(value: np.ndarray) -> np.ndarray:
    """float64 that print with the fewest digits that still read back as the same float32.

    Six significant digits where they do, else nine: 0.2, not 0.20000000298023224.
    """
    exact = value.astype(np.float64)
    with np.errstate(all="ignore"):
        power = np.floor(np.log10(np.abs(exact)))
        best = exact
        for digits in (9, 6):
            scale = 10.0 ** (digits - 1 - power)
            rounded = np.rint(exact * scale) / scale
            same = np.isfinite(rounded) & (rounded.astype(np.float32) == value)
            best = np.where(same, rounded, best)
    return best


def _is_named(value: Any) -> bool:
    """An object of inputs by name, as opposed to a value in base64."""
    return isinstance(value, dict) and not (set(value) == {"b64"} and isinstance(value["b64"], str))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _bad(message: str) -> ServingError:
    return ServingError(INVALID_ARGUMENT, message)
