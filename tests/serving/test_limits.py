"""What a request may hold and take, who waits for it, and keys: each refusal has its code."""

from __future__ import annotations

import datetime
import ipaddress
import json
import logging
import socket
import threading
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from convoy.pipeline.commands import json_logs
from convoy.serving import client, server, tls
from convoy.serving.limits import Limits
from convoy.serving.servable import Servable
from tests.serving.running import PICTURE, serving, wait_for
from tests.serving.test_server import b64

PREDICT = "/v1/models/m:predict"


def test_pictures_and_bytes(base):
    with serving(base, name="m", limits=Limits(pictures=2, request_bytes=50_000)) as (
        running,
        channel,
        connection,
    ):
        client.predict_rest(connection, "m", [PICTURE] * 2)
        for ask in (
            lambda: client.predict_rest(connection, "m", [PICTURE] * 3),
            lambda: client.predict_grpc(channel, "m", [PICTURE] * 3),
        ):
            with pytest.raises(client.RequestFailed, match=r"3 pictures, more than 2, .*_pictures"):
                ask()
        with pytest.raises(client.RequestFailed, match="larger than max") as caught:
            client.predict_grpc(channel, "m", [bytes(60_000)])
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        for told in (b"Content-Length: 60000", b"Transfer-Encoding: chunked"):
            with socket.create_connection(("127.0.0.1", running.rest_port), timeout=20) as raw:
                raw.sendall(b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\n" + told)
                raw.sendall(b"\r\n\r\n" + b"ea60\r\n" * (b"chunked" in told) + bytes(60_000))
                answer = raw.recv(4096)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"50,000" in answer


@pytest.fixture
def slow(monkeypatch):
    """Calls that last until the event is set, and how many have begun."""
    begun, ended, run = [], threading.Event(), Servable.run

    def waiting(self, *arguments, **options):
        begun.append(1)
        ended.wait(20)
        return run(self, *arguments, **options)

    yield begun, ended, lambda: monkeypatch.setattr(Servable, "run", waiting)
    ended.set()


def test_a_request_that_takes_too_long_is_given_up(base, slow):
    _, ended, begin = slow
    with serving(base, name="m", limits=Limits(seconds=0.5)) as (_, _, connection):
        client.predict_rest(connection, "m", [PICTURE])
        begin()
        with pytest.raises(client.RequestFailed, match=r"0\.5 s, the server's --req") as caught:
            client.predict_rest(connection, "m", [PICTURE])
        assert caught.value.code == 504
        ended.set()
        client.predict_rest(connection, "m", [PICTURE])


def test_what_nobody_waits_for_does_not_run(base, slow):
    begun, ended, begin = slow
    with serving(base, name="m", threads=1) as (running, channel, connection):
        begin()
        body = json.dumps({"instances": [b64(PICTURE)]}).encode()
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        clients = [socket.create_connection(("127.0.0.1", running.rest_port)) for _ in range(5)]
        for one in clients:
            one.sendall(head + body)
            time.sleep(0.1)  # the first has the thread, the others wait
        for one in clients:
            one.close()
        calls = [threading.Thread(target=given_up, args=(channel,)) for _ in range(4)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        wait_for(lambda: len(begun) == 2)  # one per protocol
        ended.set()
        client.predict_rest(connection, "m", [PICTURE])
        client.predict_grpc(channel, "m", [PICTURE])
        assert len(begun) == 4


def given_up(channel):
    with pytest.raises(client.RequestFailed):
        client.predict_grpc(channel, "m", [PICTURE], timeout_s=1)


def test_connections(base):
    with serving(base, name="m", limits=Limits(connections=3)) as (running, _, _):
        held = [socket.create_connection(("127.0.0.1", running.rest_port)) for _ in range(6)]
        time.sleep(0.5)  # until the server has taken all of them
        answers = []
        for one in held:
            one.settimeout(20)
            one.sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n")
            answers.append(one.recv(100).split(b"\r\n")[0])
        assert answers[0] == b"HTTP/1.1 503 Service Unavailable"  # which closes it
        for one in held:
            one.close()
        wait_for(lambda: client.predict_rest(fresh(running), "m", [PICTURE]))


def fresh(running):
    return client.rest_connection(f"127.0.0.1:{running.rest_port}")


@pytest.fixture
def keys(tmp_path):
    """(SSL config file of a certificate made now, the certificate)"""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "ssl.config"
    pairs = (("server_key", secret), ("server_cert", certificate))
    path.write_text("\n".join(f"{key}: {json.dumps(pem.decode())}" for key, pem in pairs))
    return path, certificate


def test_grpc_over_tls(base, keys):
    path, certificate = keys
    with serving(base, name="m", ssl_config_file=path) as (running, plain, connection):
        address = f"127.0.0.1:{running.grpc_port}"
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate)) as channel:
            assert client.predict_grpc(channel, "m", [PICTURE])["scores"].shape == (1, 3)
        with pytest.raises(client.RequestFailed):
            client.predict_grpc(plain, "m", [PICTURE], timeout_s=2)
        client.predict_rest(connection, "m", [PICTURE])  # as in TensorFlow Serving: not encrypted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("certificate: 1", "is no SSL config file"),
        ('server_key: "/etc/key.pem"', "expected server_key to be PEM text"),
        ('server_key: "-----BEGIN X" server_cert: ""', "expected server_cert to be PEM text"),
        (
            'server_key: "-----BEGIN X" server_cert: "-----BEGIN X" client_verify: true',
            "client_verify needs custom_ca",
        ),
    ],
)
def test_ssl_files_that_cannot_be_used(tmp_path, base, text, message):
    path = tmp_path / "ssl.config"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        tls.credentials(path)
    with pytest.raises(FileNotFoundError, match="expected an SSL config file"):
        server.start(base, ssl_config_file=tmp_path / "no", port=0, rest_api_port=0)


def test_a_line_of_json_per_event():
    record = logging.LogRecord("convoy.serving", logging.INFO, "x", 1, "%s\nserves", ("é",), None)
    record.created = 0.25
    assert json_logs.JsonLines().format(record) == (
        '{"time": "1970-01-01T00:00:00.250000+00:00", "severity": "INFO", '
        '"logger": "convoy.serving", "message": "é\\nserves"}'
    )
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: why" in json.loads(json_logs.JsonLines().format(record))["exception"]
