"""What nobody should send, and where nobody should listen: each has its code and one message."""

from __future__ import annotations

import http.client
import io
import json
import logging
import shutil
import socket
import struct
import threading
import zlib

import grpc
import pytest
from PIL import Image

from convoy.pipeline import cli
from convoy.serving import client, limits, served, server, warmup
from convoy.serving.errors import PortInUse, ServingError
from convoy.serving.limits import Limits
from tests.serving.running import PICTURE, add_version, serving, wait_for
from tests.serving.test_server import b64

PREDICT = "/v1/models/m:predict"


def asked(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body)
    answer = connection.getresponse()
    status, text = answer.status, json.loads(answer.read()).get("error", "")
    connection.close()
    return status, text


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "message"),
    [
        ("POST", PREDICT, b'{"instances":' + b"[" * 10**5 + b"]" * 10**5 + b"}", 400, "too deep"),
        ("POST", PREDICT, b'{"instances":' + b'{"a":' * 10**5, 400, "too deep"),
        ("POST", PREDICT, b'{"instances": ["\\ud800"]}', 400, "not valid Unicode"),
        ("POST", PREDICT, b'{"instances": [{"b64": "\xc3\xa9"}]}', 400, "Unable to base64"),
        ("POST", PREDICT, b'{"instances": [1], "signature_name": "\\ud800"}', 400, "not found"),
        ("GET", "/v1/models/m/versions/" + "9" * 5000, b"", 400, "Failed to convert version: 999"),
        ("POST", f"/v1/models/m/versions/{2**63}:predict", b"{}", 400, "Failed to convert"),
        ("GET", f"/v1/models/m/versions/{2**63 - 1}", b"", 404, "Could not find version"),
        ("GET", "/v1/models/a%3Apredict", b"", 404, "any versions of model a:predict"),
        ("GET", "/v1/models/a%2Fb", b"", 404, "any versions of model a/b"),
    ],
)
def test_rest(running, method, path, body, code, message):
    status, text = asked(running[0].rest_port, method, path, body)
    assert status == code
    assert message in text


def test_leading_zeros_of_a_version(running):
    assert asked(running[0].rest_port, "GET", "/v1/models/m/versions/" + "0" * 30 + "1")[0] == 200


def bomb(side: int) -> bytes:
    """A PNG of one colour: few bytes, side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        head = struct.pack(">I", len(content)) + kind + content
        return head + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(side * (1 + side // 8)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(running):
    _, channel, connection = running
    large = bomb(12_000)
    assert len(large) < 50_000
    with pytest.raises(client.RequestFailed, match=r"picture 1 .* 12000 x 12000 pixels") as caught:
        client.rest(connection, "POST", PREDICT, {"instances": [b64(PICTURE), b64(large)]})
    assert caught.value.code == 400
    with pytest.raises(client.RequestFailed, match="12000 x 12000 pixels") as caught:
        client.predict_grpc(channel, "m", [large])
    assert caught.value.code == "INVALID_ARGUMENT"


def test_the_limit_is_a_flag(base):
    with (
        serving(base, name="m", limits=Limits(pixels=40 * 60 - 1)) as (_, _, connection),
        pytest.raises(client.RequestFailed, match="more than 2,399"),
    ):
        client.predict_rest(connection, "m", [PICTURE])
    with serving(base, name="m", limits=Limits(pixels=0)) as (_, _, connection):
        client.predict_rest(connection, "m", [PICTURE])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "exif": b"Exif\0\0" + bytes(99)}])
def test_sizes_of_headers(kind, options):
    file = io.BytesIO()
    Image.new("RGB", (37, 21)).save(file, kind, **(options if kind == "JPEG" else {}))
    assert limits.size(file.getvalue()) == (21, 37)
    for end in range(0, 60, 3):  # broken off anywhere: the decoder says what is wrong
        assert limits.size(file.getvalue()[:end]) in (None, (21, 37))


def test_what_is_no_picture_has_no_size():
    for data in (
        b"",
        b"text",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0",
        b"\xff\xd8ab",
    ):
        assert limits.size(data) is None
    with pytest.raises(ServingError):
        limits.check({"frames": [b"", PICTURE]}, Limits(pixels=100))


def test_a_client_that_hangs_up_leaves_no_traceback(running, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            hasty = socket.create_connection(("127.0.0.1", running[0].rest_port))
            hasty.sendall(
                b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nContent-Length: 999\r\n\r\nabc"
            )
            hasty.close()
        assert asked(running[0].rest_port, "GET", "/v1/models/m")[0] == 200
    assert [record for record in caplog.records if record.exc_info] == []


def test_busy_predictions_keep_no_status_waiting(base):
    """All threads of predictions are held; status and metadata have their own."""
    held = threading.Event()
    with serving(base, name="m", threads=1) as (running, _, connection):
        pool = running._rest._pools[0]
        pool.submit(held.wait)
        try:
            status = client.rest(connection, "GET", "/v1/models/m")
            assert status["model_version_status"][0]["state"] == "AVAILABLE"
        finally:
            held.set()


def test_a_version_beyond_64_bits_is_none(base, saved_model):
    """As in TensorFlow Serving; the version that serves goes on."""
    shutil.copytree(saved_model, base / "99999999999999999999")
    assert set(served.versions_of(base)) == {1}
    with serving(base, name="m") as (_, _, connection):
        add_version(base, 2, saved_model)
        wait_for(lambda: client.rest(connection, "GET", "/v1/models/m/versions/2"))
        client.predict_rest(connection, "m", [PICTURE])


def test_one_version_is_no_model_folder(base):
    with pytest.raises(ValueError, match="is one version of a model: expected the folder above"):
        server.start(base / "1", port=0, rest_api_port=0)


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_ports_that_there_are_not(base, capsys, flag):
    for number in ("99999", "-1"):
        words = ["convoy", "serve", str(base), f"--{flag}={number}"]
        assert cli.main(words) == 1
        assert f"--{flag}: expected 0 (any free one) to 65535" in capsys.readouterr().err


def test_addresses(base):
    with pytest.raises(OSError, match="cannot listen on port 0") as caught:
        server.start(base, port=0, rest_api_port=0, host="192.0.2.1")
    assert not isinstance(caught.value, PortInUse)
    if not socket.has_ipv6:
        return
    running = server.start(base, name="m", port=0, rest_api_port=0, poll_s=0, host="::1")
    try:
        with grpc.insecure_channel(f"[::1]:{running.grpc_port}") as channel:
            client.predict_grpc(channel, "m", [PICTURE])
        connection = http.client.HTTPConnection("::1", running.rest_port)
        client.predict_rest(connection, "m", [PICTURE])
        connection.close()
    finally:
        running.stop()


def test_a_damaged_warm_up_request_is_not_mistaken(running):
    """An input that no signature has, and a picture without bytes: refused by the graph."""
    _, channel, _ = running
    request = warmup.request("m", [b""])
    with pytest.raises(client.RequestFailed, match="picture 0 of the request"):
        client.predict_grpc(channel, "m", [b""])
    assert request.inputs["image_bytes"].string_val == [b""]
