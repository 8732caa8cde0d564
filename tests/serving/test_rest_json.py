"""JSON to arrays and back, against what TensorFlow Serving documents."""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from convoy.serving import rest_json
from convoy.serving.errors import ServingError

TYPES = {"tag": tf.string, "signal": tf.float32, "sensor": tf.int32}
ROWS = [
    {"tag": "foo", "signal": [1, 2], "sensor": [[1, 2]]},
    {"tag": "bar", "signal": [3, 4.5], "sensor": [[4, 5]]},
]
COLUMNS = {"tag": ["foo", "bar"], "signal": [[1, 2], [3, 4.5]], "sensor": [[[1, 2]], [[4, 5]]]}


def test_rows_and_columns_are_the_same_tensors():
    rows, by_row = rest_json.inputs({"instances": ROWS}, TYPES)
    columns, by_column = rest_json.inputs({"inputs": COLUMNS}, TYPES)
    assert (by_row, by_column) == (True, False)
    for name in TYPES:
        np.testing.assert_array_equal(rows[name], columns[name])
    assert rows["tag"].tolist() == [b"foo", b"bar"]
    assert rows["signal"].dtype == np.float32
    assert rows["sensor"].dtype == np.int32


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([1.5], tf.int32, "not of expected type: int32"),
        (["1"], tf.float32, "not of expected type: float32"),
        ([True], tf.float32, "not of expected type: float32"),
        ([1], tf.bool, "not of expected type: bool"),
        ([300], tf.uint8, "does not fit into uint8"),
        ([[1], [1, 2]], tf.int32, "different lengths"),
        ([["a"], ["b", "c"]], tf.string, "different lengths"),
        ([{"b64": "%"}], tf.string, "base64"),
        ([{"x": "a"}], tf.string, "base64"),
        ([None], tf.float32, "not of expected type: float32"),
    ],
)
def test_wrong_values_are_said(value, dtype, message):
    with pytest.raises(ServingError, match=message) as caught:
        rest_json.array("x", value, dtype)
    assert caught.value.code == 3


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64_as_absl_reads_it(data):
    """With line breaks, as `base64` writes them, and without padding."""
    plain = base64.b64encode(data).decode()
    for text in (plain, plain.rstrip("="), base64.encodebytes(data).decode(), f" {plain}\r\n"):
        assert rest_json.array("x", [{"b64": text}], tf.string).tolist() == [data]


@pytest.mark.parametrize("text", ["abcde", "ab=c", "a%bc", "a", "\u00e9abc", "ab-_"])
def test_what_is_no_base64(text):
    with pytest.raises(ServingError, match="Unable to base64 decode"):
        rest_json.array("x", [{"b64": text}], tf.string)


def test_gzip_bodies():
    body = json.dumps({"instances": [1]}).encode()
    packed = gzip.compress(body)
    assert rest_json.unpacked(packed, "gzip", 1000) == body
    assert rest_json.unpacked(body, "", 1000) == rest_json.unpacked(body, "identity", 1) == body
    bomb = gzip.compress(bytes(10_000))
    for wrong, encoding, message in (
        (body, "gzip", "is not the gzip"), (packed[:-9], "gzip", "breaks off"),
        (bomb, "gzip", "more than 1,000 bytes"), (packed, "br", "'br' is not known"),
    ):  # fmt: skip
        with pytest.raises(ServingError, match=message) as caught:
            rest_json.unpacked(wrong, encoding, 1000)
        assert caught.value.code == 3


def test_outputs_in_rows_and_columns():
    arrays = {
        "a": np.array([[1.0], [2.5]], np.float32),
        "t_bytes": np.array([b"\xff", b"x"], object),
    }
    rows = json.loads(rest_json.outputs(arrays, rows=True))
    assert rows == {
        "predictions": [
            {"a": [1.0], "t_bytes": {"b64": "/w=="}},
            {"a": [2.5], "t_bytes": {"b64": "eA=="}},
        ]
    }
    columns = json.loads(rest_json.outputs(arrays, rows=False))
    assert columns == {
        "outputs": {"a": [[1.0], [2.5]], "t_bytes": [{"b64": "/w=="}, {"b64": "eA=="}]}
    }
    one = {"text": np.array([b"bee"], object)}
    assert json.loads(rest_json.outputs(one, rows=True)) == {"predictions": ["bee"]}
    assert json.loads(rest_json.outputs(one, rows=False)) == {"outputs": ["bee"]}
    with pytest.raises(ServingError, match="no common batch size"):
        rest_json.outputs({"a": np.zeros(2), "b": np.zeros(3)}, rows=True)


def test_floats_print_short_and_read_back():
    values = np.array([0.2, 1 / 3, 1e-30, 3e38, -7.0, 0.0, 16777217, 123456.789], np.float32)
    printed = rest_json.shortest(values)
    assert repr(printed[0].item()) == "0.2"
    np.testing.assert_array_equal(printed.astype(np.float32), values)
    random = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    np.testing.assert_array_equal(rest_json.shortest(random).astype(np.float32), random)
    special = np.array([np.nan, np.inf, -np.inf], np.float32)
    text = rest_json.outputs({"x": special}, rows=False).decode()
    assert text == '{"outputs":[NaN,Infinity,-Infinity]}'
