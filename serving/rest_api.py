"""The REST side of the model server: TensorFlow Serving's paths and JSON.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import urllib.parse
from concurrent import futures
from typing import NoReturn

import tensorflow as tf
import uvicorn
from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from tensorflow_serving.apis import get_model_metadata_pb2

from convoy.serving import limits, listening, rest_json
from convoy.serving.errors import (
    DEADLINE_EXCEEDED,
    HTTP_STATUS,
    INTERNAL,
    INVALID_ARGUMENT,
    ServingError,
    cannot_listen,
)
from convoy.serving.grpc_api import metadata
from convoy.serving.manager import Asked, Manager
from convoy.serving.metrics import PATH
from convoy.serving.servable import CLASSIFY, DEFAULT, REGRESS
from convoy.serving.served import MOST_VERSION
from convoy.serving.service import Service

MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
CALL = re.compile(rf"(?i){MODEL}:(classify|regress|predict)")
STATUS_THREADS = 2  # of their own, so that predictions never keep a probe waiting
STOP_S = 20  # for calls in flight; Kubernetes kills after 30
LOOK = re.compile(rf"(?i){MODEL}(?:/(metadata))?")


class RestServer:
    """uvicorn in a thread of its own; holds the port from the beginning, answers after start()."""

    def __init__(self, service: Service, host: str, port: int, threads: int):
        self._socket = _listen(host, port)
        self.port = self._socket.getsockname()[1]
        self._pools = (
            futures.ThreadPoolExecutor(threads, thread_name_prefix="rest"),
            futures.ThreadPoolExecutor(STATUS_THREADS, thread_name_prefix="rest_status"),
        )
        config = uvicorn.Config(
            application(service, *self._pools),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            limit_concurrency=service.limits.connections or None,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def start(self) -> None:
        self._socket.listen(1024)
        self._thread.start()

    def stop(self) -> None:
        """Lets calls in flight end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        self._socket.close()


def application(service: Service, calls: futures.Executor, looks: futures.Executor):
    """The ASGI application; status and metadata have threads of their own, `looks`."""

    async def app(scope, receive, send):
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")  # %3A in a name is no colon
        if path == PATH and request.method == "GET":
            text = service.metrics.text()
            await Response(text, media_type="text/plain; version=0.0.4")(scope, receive, send)
            return
        pool = looks if request.method == "GET" else calls
        encoding = request.headers.get("content-encoding", "")
        try:
            async with asyncio.timeout(service.limits.seconds or None):
                body = await _body(request, service.limits.request_bytes)
                task = pool.submit(answer, service, request.method, path, body, encoding)
                status, content = await _unless_gone(asyncio.wrap_future(task), receive)
        except ClientDisconnect:  # what waited for a thread does not run any more
            return
        except TimeoutError:
            code = DEADLINE_EXCEEDED
            text = f"Timed out: {service.limits.seconds:g} s, the server's --request_seconds"
            status, content = HTTP_STATUS[code], _error(text)
        except _TooLong as error:
            status, content = 413, _error(str(error))
        await Response(content, status, media_type="application/json")(scope, receive, send)

    return app


class _TooLong(Exception):
    pass


async def _body(request: Request, most: int) -> bytes:
    """The body of a request. Raises _TooLong, as soon as it is known."""
    told = request.headers.get("content-length", "")
    parts, length = [], int(told) if told.isdigit() else 0
    if not most or length <= most:
        length = 0
        async for part in request.stream():
            parts.append(part)
            length += len(part)
            if most and length > most:
                break
    if most and length > most:
        raise _TooLong(
            f"the body has {length:,} bytes or more, over {most:,}, the server's "
            "--max_request_mb: send several requests"
        )
    return b"".join(parts)


async def _unless_gone(answered: asyncio.Future, receive):
    """The answer; raises ClientDisconnect, and cancels it, where nobody waits for it any more."""

    async def gone():
        while (await receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({answered, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ClientDisconnect
        return answered.result()
    finally:
        leaving.cancel()
        answered.cancel()


def answer(
    service: Service, method: str, path: str, body: bytes, encoding: str
) -> tuple[int, bytes]:
    """(HTTP status, JSON body) of one request; encoding: its Content-Encoding."""
    if not path.lower().startswith("/v1/"):
        return 404, _error("Not found: the paths are /v1/models/NAME...")
    try:
        body = rest_json.unpacked(body, encoding, service.limits.request_bytes)
        return 200, _answer(service, method, path, body)
    except ServingError as error:
        code, message = error.code, error.message
    except Exception as error:
        code, message = INTERNAL, f"{type(error).__name__}: {error}"
    return HTTP_STATUS.get(code, 500), _error(message)


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


def _answer(service: Service, method: str, path: str, body: bytes) -> bytes:
    match = {"POST": CALL, "GET": LOOK}.get(method, re.compile("$.")).fullmatch(path)
    if match is None:
        raise ServingError(INVALID_ARGUMENT, f"Malformed request: {method} {path}")
    name, version, label, verb = match.groups()
    asked = Asked(urllib.parse.unquote(name), _number(version), urllib.parse.unquote(label or ""))
    if method == "POST":
        if verb.lower() != "predict":
            return _refuse(service.manager, asked, verb.lower(), body)
        with service.metrics.call(asked.name, "REST"):
            return predict(service, asked, body)
    if verb:
        return _metadata(service.manager, asked)
    return json_format.MessageToJson(
        service.manager.status(asked),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=1,
    ).encode()


def _refuse(manager: Manager, asked: Asked, verb: str, body: bytes) -> NoReturn:
    """Raises what TensorFlow Serving answers to :classify and :regress here."""
    signature = _signature(rest_json.parse(body))
    with manager.use(asked) as (_, servable):
        servable.refuse(signature, *CLASSIFY if verb == "classify" else REGRESS)


def _number(version: str | None) -> int | None:
    """Of a version in a path; None = the latest. Raises ServingError beyond 64 bits."""
    if not version:
        return None
    digits = version.lstrip("0")
    if len(digits) > len(str(MOST_VERSION)) or int(digits or "0") > MOST_VERSION:
        raise ServingError(INVALID_ARGUMENT, f"Failed to convert version: {version[:40]}")
    return int(version)


def predict(service: Service, asked: Asked, body: bytes) -> bytes:
    """Runs a request in row ("instances") or column ("inputs") format."""
    document = rest_json.parse(body)
    signature = _signature(document)
    with service.manager.use(asked) as (_, servable):
        definition = servable.definitions.get(signature or DEFAULT)
        if definition is None:
            raise ServingError(
                INVALID_ARGUMENT,
                f'Serving signature name: "{signature or DEFAULT}" not found in signature def',
            )
        types = {key: tf.as_dtype(info.dtype) for key, info in definition.inputs.items()}
        arrays, rows = rest_json.inputs(document, types)
        limits.check({key: array.ravel() for key, array in arrays.items()}, service.limits)
        inputs = {key: tf.constant(array, types[key]) for key, array in arrays.items()}
        outputs = servable.run(signature, inputs)
    return rest_json.outputs(outputs, rows)


def _signature(document: dict) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError(INVALID_ARGUMENT, "'signature_name' key must be a string value.")
    return name


def _metadata(manager: Manager, asked: Asked) -> bytes:
    response = metadata(manager, asked, ["signature_def"])
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    plain = {
        key: json_format.MessageToDict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for key, message in (("model_spec", response.model_spec), ("signature_def", signatures))
    }
    spec = {"model_spec": plain["model_spec"]}
    return json.dumps({**spec, "metadata": {"signature_def": plain["signature_def"]}}).encode()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listening.bound(host, port)
    except OSError as error:
        raise cannot_listen(host.strip("[]"), port, "--rest_api_port", error) from error
