"""What the server counts, and whether it says that it serves."""

from __future__ import annotations

import http.client
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from convoy.serving import client, metrics
from convoy.serving.errors import INVALID_ARGUMENT, ServingError
from tests.serving.running import PICTURE, serving


def test_by_hand():
    """Two answers of 15 and 5,000 us, one refusal, one of a model that is not there."""
    counted = metrics.Metrics(lambda: ["m"])
    counted._add("m", "REST", 0, 15.0)
    counted._add("m", "REST", 0, 5000.0)
    counted._add("m", "GRPC", INVALID_ARGUMENT, 1.0)
    counted._add('made"up', "REST", 5, 1.0)
    counted._running = 0
    lines = counted.text().splitlines()
    count, latency = metrics.COUNT, metrics.LATENCY
    assert lines[:5] == [
        f"# TYPE {count} counter",
        f'{count}{{model_name="",status="NOT_FOUND"}} 1',
        f'{count}{{model_name="m",status="INVALID_ARGUMENT"}} 1',
        f'{count}{{model_name="m",status="OK"}} 2',
        f"# TYPE {latency} histogram",
    ]
    rest = 'model_name="m",API="Predict",entrypoint="REST"'
    assert f'{latency}_bucket{{{rest},le="10"}} 0' in lines
    assert f'{latency}_bucket{{{rest},le="18"}} 1' in lines  # 10 * 1.8
    assert f'{latency}_bucket{{{rest},le="3570.47"}} 1' in lines  # 10 * 1.8^10
    assert f'{latency}_bucket{{{rest},le="6426.84"}} 2' in lines
    assert f'{latency}_bucket{{{rest},le="+Inf"}} 2' in lines
    assert f"{latency}_sum{{{rest}}} 5015" in lines
    assert f"{latency}_count{{{rest}}} 2" in lines
    assert sum("_bucket" in line for line in lines) == 34
    assert lines[-1] == f"{metrics.RUNNING} 0"


def test_names_of_models_are_escaped():
    counted = metrics.Metrics(lambda: ['a"b\\c\nd'])
    with counted.call('a"b\\c\nd', "GRPC"):
        pass
    assert r'{model_name="a\"b\\c\nd",status="OK"} 1' in counted.text()


def test_errors_and_threads_are_counted():
    counted = metrics.Metrics(lambda: ["m"])

    def many():
        for _ in range(200):
            with counted.call("m", "REST"):
                pass

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ServingError), counted.call("m", "REST"):
        raise ServingError(INVALID_ARGUMENT, "no")
    with pytest.raises(KeyError), counted.call("m", "REST"):
        raise KeyError
    text = counted.text()
    for status, number in (("OK", 800), ("INVALID_ARGUMENT", 1), ("INTERNAL", 1)):
        assert f'{{model_name="m",status="{status}"}} {number}\n' in text
    assert f"{metrics.RUNNING} 0" in text


def scraped(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", metrics.PATH)
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.read().decode()
    connection.close()
    return text


def test_the_server_counts_both_protocols(base):
    with serving(base, name="m") as (running, channel, connection):
        client.predict_rest(connection, "m", [PICTURE])
        client.predict_grpc(channel, "m", [PICTURE])
        with pytest.raises(client.RequestFailed):
            client.predict_grpc(channel, "m", [b"no picture"])
        with pytest.raises(client.RequestFailed):
            client.predict_rest(connection, "nobody", [PICTURE])
        client.rest(connection, "GET", "/v1/models/m")  # no prediction
        text = scraped(running.rest_port)
    assert f'{metrics.COUNT}{{model_name="m",status="OK"}} 2\n' in text
    assert f'{metrics.COUNT}{{model_name="m",status="INVALID_ARGUMENT"}} 1\n' in text
    assert f'{metrics.COUNT}{{model_name="",status="NOT_FOUND"}} 1\n' in text
    for entrypoint in ("GRPC", "REST"):
        row = f'_count{{model_name="m",API="Predict",entrypoint="{entrypoint}"}} 1\n'
        assert metrics.LATENCY + row in text


def test_health(base, tmp_path):
    states = health_pb2.HealthCheckResponse
    with serving(base, name="m") as (_, channel, _):
        ask = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", "m"):
            asked = health_pb2.HealthCheckRequest(service=service)
            assert ask(asked, timeout=10).status == states.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            ask(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty", name="m") as (_, channel, _):
        found = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert found.status == states.NOT_SERVING
