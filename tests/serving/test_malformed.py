"""Requests at random, most of them malformed, over both protocols.

None may crash the server, keep it busy, or be answered as the server's own fault.
"""

from __future__ import annotations

import http.client
import json
import random

import grpc
import pytest

from convoy.serving import client, warmup
from tests.serving.running import PICTURE
from tests.serving.test_server import b64

TRIALS = 150
PREDICT = "/tensorflow.serving.PredictionService/Predict"
# Of the request, or a limit. UNKNOWN, INTERNAL and UNAVAILABLE would be the server's.
FAULTS_OF_CALLERS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
ODD = (None, True, 0, -1, 1e308, 2**63, "", "a", "\ud800", [], {}, [[]], [None], {"b64": "x"})
WORDS = ("instances", "inputs", "signature_name", "image_bytes", "image", "b64", "x", "")
SIGNATURES = ("", "serving_default", "serving_tensor", "no")


def documents(chance: random.Random):
    """JSON values near those of a request."""
    if chance.random() < 0.3:
        return chance.choice(ODD)
    if chance.random() < 0.3:
        return b64(chance.choice((PICTURE, PICTURE[:99], b"", b"text")))
    if chance.random() < 0.4:
        return [documents(chance) for _ in range(chance.randrange(4))]
    return {chance.choice(WORDS): documents(chance) for _ in range(chance.randrange(1, 4))}


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut, or with bytes changed, doubled or left out."""
    data = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 2:
            del data[at : at + chance.randrange(9)]
        else:
            data[at:at] = data[max(0, at - 9) : at]
    return bytes(data)


def by_rest(port: int, trials: int, seed: int) -> None:
    for trial in range(trials):
        chance = random.Random(f"{seed} {trial}")
        instances = [b64(PICTURE) if chance.random() < 0.5 else documents(chance)]
        document = chance.choice(
            (documents(chance), {"instances": instances}, {"inputs": instances})
        )
        if isinstance(document, dict) and chance.random() < 0.3:
            document["signature_name"] = chance.choice((*SIGNATURES, 1))
        body = json.dumps(document).encode()
        if chance.random() < 0.4:
            body = damaged(body, chance)
        path = "/v1/models/m:predict"
        if chance.random() < 0.2:
            path = damaged(path.encode(), chance).decode("latin-1")
            path = "/" + "".join(sign for sign in path if "!" <= sign <= "~")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Content-Encoding": "gzip"} if chance.random() < 0.1 else {}
        connection.request(chance.choice(("POST", "POST", "GET")), path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status in (200, 400, 404, 413), (seed, trial, answer.status, text)
        json.loads(text)
        connection.close()


def odd_request(chance: random.Random) -> bytes:
    """A PredictRequest, of which something may be odd."""
    request = warmup.request("m", [PICTURE] * chance.randrange(3))
    request.model_spec.signature_name = chance.choice(SIGNATURES)
    if chance.random() < 0.2:
        request.model_spec.version.value = chance.choice((0, 1, -5, 2**62))
    for tensor in [*request.inputs.values()]:
        if chance.random() < 0.5:
            tensor.dtype = chance.choice((0, 1, 3, 4, 7, 9, 10, 14, 19, 22, 101, 999))
        if chance.random() < 0.5:
            tensor.ClearField("tensor_shape")
            for _ in range(chance.randrange(5)):
                tensor.tensor_shape.dim.add().size = chance.choice((-1, 0, 1, 2, 3, 2**20, 2**62))
        if chance.random() < 0.3:
            tensor.float_val.extend([1.0] * chance.randrange(4))
        if chance.random() < 0.3:
            tensor.tensor_content = bytes(chance.randrange(40))
    if chance.random() < 0.3:
        request.inputs[chance.choice(WORDS)].CopyFrom(request.inputs["image_bytes"])
    if chance.random() < 0.3:
        request.output_filter.extend([chance.choice(("scores", "no", ""))] * chance.randrange(3))
    return request.SerializeToString()


def by_grpc(channel: grpc.Channel, trials: int, seed: int) -> None:
    call = channel.unary_unary(PREDICT)  # bytes to bytes
    for trial in range(trials):
        chance = random.Random(f"{seed} {trial}")
        request = odd_request(chance)
        whole = chance.random() < 0.7
        try:
            call(request if whole else damaged(request, chance), timeout=20)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            # What is no message at all is gRPC's to refuse, as INTERNAL.
            unread = "deserializing request" in details
            assert code in FAULTS_OF_CALLERS or (unread and not whole), (seed, trial, code, details)


@pytest.mark.parametrize(
    "trials", [TRIALS, pytest.param(5_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_nothing_that_is_sent_is_the_servers_fault(running, trials):
    server, channel, connection = running
    by_rest(server.rest_port, trials, seed=1)
    by_grpc(channel, trials, seed=1)
    client.predict_rest(connection, "m", [PICTURE])
    client.predict_grpc(channel, "m", [PICTURE])
