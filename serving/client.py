"""Asking a model: over gRPC, over REST, or in this process. Works with TensorFlow Serving itself.

    channel = grpc_channel("localhost:8500")
    answers = predict_grpc(channel, "birds", [open("bird.jpg", "rb").read()])

Answers are dicts of arrays, batch first, with the names of `serving.signatures`; texts are bytes.
A model that is given proposals beside each picture is asked with `Question`s:

    predict_grpc(channel, "birds", [Question(picture, {"proposals": boxes})])
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from convoy.models.paste import paste as paste  # of answers with masks
from convoy.serving import questions, warmup
from convoy.serving.questions import Question
from convoy.serving.runtimes import files
from convoy.serving.servable import DEFAULT, TENSOR, Servable
from convoy.serving.served import versions_of

Answers = dict[str, np.ndarray]
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class RequestFailed(RuntimeError):
    """The server refused or did not answer. `code`: gRPC's name or the HTTP status."""

    def __init__(self, code: str | int, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code


def grpc_channel(address: str) -> grpc.Channel:
    """A connection to HOST:PORT, to be used for many calls and closed by the caller."""
    return grpc.insecure_channel(address, options=UNLIMITED)


def predict_grpc(
    channel: grpc.Channel,
    name: str,
    images: Sequence[bytes | Question],
    *,
    version: int | None = None,
    timeout_s: float = 30.0,
    input_name: str = "image_bytes",
) -> Answers:
    """Answers for encoded pictures, or what else the input takes. Raises RequestFailed."""
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = warmup.request(name, images, version=version, input_name=input_name)
    response = _call(stub.Predict, request, timeout_s)
    return {key: tf.make_ndarray(tensor) for key, tensor in response.outputs.items()}


def status_grpc(
    channel: grpc.Channel, name: str, *, timeout_s: float = 10.0
) -> dict[int, dict[str, Any]]:
    """{version: {"state": "AVAILABLE", "error": ""}}. Raises RequestFailed."""
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    response = _call(stub.GetModelStatus, request, timeout_s)
    states = get_model_status_pb2.ModelVersionStatus.State
    return {
        entry.version: {
            "state": states.Name(entry.state),
            "error": entry.status.error_message,
        }
        for entry in response.model_version_status
    }


def _call(method, request, timeout_s: float):
    try:
        return method(request, timeout=timeout_s)
    except grpc.RpcError as error:
        raise RequestFailed(error.code().name, error.details()) from error


def rest_connection(address: str, timeout_s: float = 30.0) -> http.client.HTTPConnection:
    """A connection to HOST:PORT, to be used for many calls and closed by the caller."""
    return http.client.HTTPConnection(address, timeout=timeout_s)


def predict_rest(
    connection: http.client.HTTPConnection,
    name: str,
    images: Sequence[bytes | Question],
    *,
    version: int | None = None,
    input_name: str = "image_bytes",
) -> Answers:
    """Answers for encoded pictures, or what else the input takes. Raises RequestFailed.

    Asked in column format.
    """
    arrays = questions.inputs(images, input_name)
    columns = {key: values.tolist() for key, values in arrays.items()}
    for key in {input_name} | ({*columns} & {*questions.STRINGS}):
        columns[key] = _as_base64(columns[key])
    path = f"/v1/models/{name}" + (f"/versions/{version}" if version is not None else "")
    document = rest(connection, "POST", f"{path}:predict", {"inputs": columns})
    outputs = document["outputs"]
    if not isinstance(outputs, dict):  # the name of a single output is left out
        outputs = {_only_output(connection, path): outputs}
    return {key: _array(value) for key, value in outputs.items()}


def _only_output(connection: http.client.HTTPConnection, path: str) -> str:
    """The name of the one output that a model has."""
    signatures = rest(connection, "GET", f"{path}/metadata")["metadata"]["signature_def"]
    (name,) = signatures["signature_def"][DEFAULT]["outputs"]
    return name


def status_rest(connection: http.client.HTTPConnection, name: str) -> dict[int, dict[str, Any]]:
    """{version: {"state": "AVAILABLE", "error": ""}}. Raises RequestFailed."""
    document = rest(connection, "GET", f"/v1/models/{name}")
    return {
        int(entry["version"]): {
            "state": entry["state"],
            "error": entry["status"]["error_message"],
        }
        for entry in document["model_version_status"]
    }


def rest(
    connection: http.client.HTTPConnection, method: str, path: str, document: Any = None
) -> Any:
    """One JSON call. Raises RequestFailed with the server's message."""
    body = None if document is None else json.dumps(document)
    where = f"{connection.host}:{connection.port}"
    reused = connection.sock is not None
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        if reused and not isinstance(error, TimeoutError):  # the server had closed it, being idle
            return rest(connection, method, path, document)
        raise RequestFailed("UNAVAILABLE", f"{where}: no answer: {error}") from error
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise RequestFailed(response.status, f"{where}: not JSON: {text[:200]!r}") from error
    if response.status != 200:
        message = answer.get("error", text) if isinstance(answer, dict) else text
        raise RequestFailed(response.status, str(message))
    return answer


def _array(value: Any) -> np.ndarray:
    """A value of a JSON answer; what is in base64 as bytes."""
    if _is_binary(value):
        return np.array(_bytes(value), object)
    array = np.array(value)
    if array.dtype.kind == "U":
        return np.char.encode(array).astype(object)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _as_base64(value: Any) -> Any:
    """Bytes, or lists of them, as TensorFlow Serving's JSON has them."""
    if isinstance(value, list):
        return [_as_base64(item) for item in value]
    return {"b64": base64.b64encode(value).decode()}


def _is_binary(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, dict) and set(value) == {"b64"}


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    return base64.b64decode(value["b64"])


def load_local(model: str | os.PathLike) -> Callable[[Sequence[bytes | Question]], Answers]:
    """The model in this process: a version's folder, or the newest one under a base path.

    Returns a function: list of encoded pictures (or sentences, by the model's input), or of
    Questions with what the model is given beside them -> answers. It raises ValueError where
    that is missing. A file for another runtime (serving/runtimes) is opened in that one.
    """
    path = _newest(model)
    if files.is_folder(path):
        return files.opened(path)
    servable = Servable(path)
    types = {key: info.dtype for key, info in servable.signature(DEFAULT).inputs.items()}
    strings = {key for key, kind in types.items() if kind == tf.string.as_datatype_enum}
    (input_name,) = strings - {*questions.STRINGS}
    takes = sorted(set(types) - {input_name})

    def answer(images: Sequence[bytes | Question]) -> Answers:
        arrays = questions.inputs(images, input_name, takes)
        return servable.run(DEFAULT, {key: tf.constant(values) for key, values in arrays.items()})

    return answer


def load_local_pixels(model: str | os.PathLike) -> Callable[[np.ndarray], Answers]:
    """`load_local` for decoded pictures: uint8 [B, H, W, 3], RGB, of one size -> answers.

    Of a model for other channels or 16 bits [B, H, W, C], uint8 or uint16.
    """
    path = _newest(model)
    if files.is_folder(path):
        raise ValueError(f"{path} takes whole encoded pictures: tiles and views need a SavedModel")
    servable = Servable(path)
    ((input_name, info),) = servable.signature(TENSOR).inputs.items()
    kind = tf.as_dtype(info.dtype)
    return lambda images: servable.run(TENSOR, {input_name: tf.constant(images, kind)})


def report_of(model: str | os.PathLike) -> dict[str, Any]:
    """What the export wrote beside a model: its task, its limits; the folder as for `load_local`.

    Raises FileNotFoundError for a model that Convoy did not export.
    """
    path = _newest(model) / "assets.extra" / "export_report.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not there, so the model's task is unknown: expected a model that Convoy "
            "exported"
        )
    return json.loads(path.read_text())


def labels_of(model: str | os.PathLike) -> list[str]:
    """Names of a model's classes; the folder as for `load_local`."""
    path = _newest(model) / "assets.extra" / "labels.txt"
    return path.read_text(encoding="utf-8").splitlines()


def _newest(model: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(model)
    if (path / "saved_model.pb").is_file() or files.is_folder(path):
        return path
    versions = versions_of(path)
    if not versions:
        raise FileNotFoundError(
            f"{path}: expected a SavedModel or a folder of numbered ones, found neither"
        )
    return versions[max(versions)]
