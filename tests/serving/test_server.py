"""The embedded server: both protocols, versions, hot reload under load, errors, signals."""

from __future__ import annotations

import base64
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    prediction_service_pb2_grpc,
)

from serving import client, errors, export, server, warmup
from tests.serving import tiny

PICTURE = tiny.jpeg(40, 60)


@pytest.fixture(scope="module")
def running(tmp_path_factory, saved_model):
    """A server of one model "m" with one version; nothing changes on disk."""
    base = tmp_path_factory.mktemp("running") / "m"
    shutil.copytree(saved_model, base / "1")
    with serving(base) as ports:
        yield ports


class serving:
    """A server for a while: gives (server, gRPC channel, REST connection)."""

    def __init__(self, base, **arguments):
        self.arguments = {"base": base, "port": 0, "rest_api_port": 0, "poll_s": 0.1, **arguments}

    def __enter__(self):
        self.server = server.start(**self.arguments)
        self.channel = client.grpc_channel(f"127.0.0.1:{self.server.grpc_port}")
        self.connection = client.rest_connection(f"127.0.0.1:{self.server.rest_port}")
        return self.server, self.channel, self.connection

    def __exit__(self, *_):
        self.connection.close()
        self.channel.close()
        self.server.stop()


def wait_for(condition, timeout_s=15.0):
    """Until condition() is true; what it raises on the way is no answer yet."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (client.RequestFailed, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


def add_version(base: pathlib.Path, number: int, source: pathlib.Path) -> None:
    shutil.copytree(source, base / f".{number}")
    os.rename(base / f".{number}", base / str(number))


def test_both_protocols_say_what_the_model_says(running, saved_model):
    _, channel, connection = running
    images = [PICTURE, tiny.png(9, 8)]
    expected = client.load_local(saved_model)(images)
    for answer in (
        client.predict_grpc(channel, "m", images),
        client.predict_rest(connection, "m", images),
        client.predict_grpc(channel, "m", images, version=1),
        client.predict_rest(connection, "m", images, version=1),
    ):
        assert set(answer) == set(expected)
        np.testing.assert_array_equal(answer["scores"], expected["scores"])
        np.testing.assert_array_equal(answer["class_id"], expected["class_id"])
        assert answer["class_name"].tolist() == expected["class_name"].tolist()


def test_rest_rows_and_columns(running):
    _, _, connection = running
    path = "/v1/models/m:predict"
    bare = client.rest(connection, "POST", path, {"instances": [b64(PICTURE), b64(PICTURE)]})
    named = client.rest(
        connection, "POST", path, {"instances": [{"image_bytes": b64(PICTURE)}] * 2}
    )
    assert bare == named
    assert set(bare["predictions"][1]) == {"scores", "class_id", "class_name"}
    for document in ({"inputs": [b64(PICTURE)]}, {"inputs": {"image_bytes": [b64(PICTURE)]}}):
        columns = client.rest(connection, "POST", path, document)["outputs"]
        assert columns["scores"] == [bare["predictions"][0]["scores"]]
        assert columns["class_name"] == [bare["predictions"][0]["class_name"]]
    image = tiny.picture(3, 2).tolist()
    tensor = {"signature_name": "serving_tensor", "instances": [image]}
    assert len(client.rest(connection, "POST", path, tensor)["predictions"]) == 1


def test_rest_status_and_metadata(running):
    _, channel, connection = running
    assert client.rest(connection, "GET", "/v1/models/m") == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    found = client.rest(connection, "GET", "/v1/models/m/versions/1/metadata")
    assert found["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "serving_tensor"}
    info = signatures["serving_default"]["inputs"]["image_bytes"]
    assert info["dtype"] == "DT_STRING"
    assert info["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]

    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    response = stub(channel).GetModelMetadata(request)
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(unpacked)
    assert set(unpacked.signature_def) == set(signatures)


@pytest.mark.parametrize(
    ("method", "path", "document", "code", "message"),
    [
        (
            "POST",
            "no:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(no)",
        ),
        ("POST", "m/versions/7:predict", {"instances": [1]}, 404, "Specific(m, 7)"),
        ("POST", "m:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "m:predict", [1], 400, "not a JSON object"),
        ("POST", "m:predict", {"instances": [], "inputs": []}, 400, "only one of"),
        ("POST", "m:predict", {"instances": []}, 400, "No values"),
        ("POST", "m:predict", {"instances": 3}, 400, "list/array"),
        ("POST", "m:predict", {"instances": [3]}, 400, "not of expected type: string"),
        ("POST", "m:predict", {"instances": [{"b64": "?"}]}, 400, "base64"),
        (
            "POST",
            "m:predict",
            {"instances": [{"x": "a"}]},
            400,
            "keys must be equal to: image_bytes",
        ),
        ("POST", "m:predict", {"inputs": {"x": "a"}}, 400, "Missing named input: image_bytes"),
        ("POST", "m:predict", {"inputs": b64(PICTURE)}, 400, "expected shape (None,)"),
        ("POST", "m:predict", {"instances": ["text"]}, 400, "picture 0 of the request"),
        ("POST", "m:predict", {"instances": [1], "signature_name": "x"}, 400, '"x" not found'),
        ("POST", "m:classify", {"examples": []}, 501, "not implemented"),
        ("POST", "m", {}, 400, "Malformed request: POST /v1/models/m"),
        ("GET", "m:predict", None, 400, "Malformed request: GET /v1/models/m:predict"),
        ("DELETE", "m", None, 400, "Malformed request"),
        ("GET", "no", None, 404, "Could not find any versions of model no"),
        ("GET", "m/versions/9", None, 404, "Could not find version 9 of model m"),
    ],
)
def test_rest_errors(running, method, path, document, code, message):
    with pytest.raises(client.RequestFailed) as caught:
        client.rest(running[2], method, f"/v1/models/{path}", document)
    assert caught.value.code == code
    assert message in str(caught.value)


def test_rest_takes_only_json(running):
    connection = http.client.HTTPConnection("127.0.0.1", running[0].rest_port)
    for body, message in ((b"", b"document is empty"), (b"{nope", b"JSON Parse error")):
        connection.request("POST", "/v1/models/m:predict", body)
        response = connection.getresponse()
        assert response.status == 400
        assert message in response.read()
    connection.request("GET", "/elsewhere")
    assert connection.getresponse().status == 404


def test_grpc_errors_and_output_filter(running):
    _, channel, _ = running
    predict = stub(channel).Predict
    request = warmup.request("m", [PICTURE])
    request.output_filter.append("class_name")
    response = predict(request)
    assert list(response.outputs) == ["class_name"]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"

    def refused(request, code, message, call=predict):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() == code
        assert message in caught.value.details()

    code = grpc.StatusCode
    request.output_filter[:] = ["nothing"]
    refused(request, code.INVALID_ARGUMENT, "alias not found in signature: nothing")
    refused(warmup.request("x", [PICTURE]), code.NOT_FOUND, "Latest(x)")
    refused(warmup.request("m", [PICTURE], version=4), code.NOT_FOUND, "Specific(m, 4)")
    unknown = warmup.request("m", [PICTURE], signature_name="other")
    refused(unknown, code.FAILED_PRECONDITION, 'Serving signature key "other" not found.')
    refused(warmup.request("m", [PICTURE, b"text"]), code.INVALID_ARGUMENT, "picture 1 of")
    empty = warmup.request("m", [PICTURE])
    empty.inputs.clear()
    refused(empty, code.INVALID_ARGUMENT, "Missing but required: {image_bytes}")
    empty.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([1.0]))
    refused(empty, code.INVALID_ARGUMENT, "expected string, got float32")
    example = classification_pb2.ClassificationRequest()
    example.model_spec.name = "m"
    refused(example, code.UNIMPLEMENTED, "call Predict", stub(channel).Classify)
    field = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["x"])
    field.model_spec.name = "m"
    refused(field, code.INVALID_ARGUMENT, "x is not supported", stub(channel).GetModelMetadata)


def test_grpc_tensor_input_as_raw_content(running):
    request = warmup.request("m", [], signature_name="serving_tensor")
    request.inputs.clear()
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(tiny.picture(40, 60)[None]))
    assert request.inputs["image"].tensor_content
    response = stub(running[1]).Predict(request)
    assert tf.make_ndarray(response.outputs["scores"]).shape == (1, 3)


def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_versions_latest_all_and_one(base, saved_model):
    add_version(base, 10, saved_model)  # 10 > 9 > 2: by number, not by letter
    add_version(base, 9, saved_model)
    (base / "11").mkdir()  # half written
    (base / "notes").mkdir()
    for policy, expected in (("latest", {10}), ("all", {1, 9, 10}), ("9", {9})):
        with serving(base, versions=policy, name="n") as (_, channel, _):
            assert set(client.status_grpc(channel, "n")) == expected
            client.predict_grpc(channel, "n", [PICTURE], version=min(expected))
    with pytest.raises(ValueError, match="expected latest, all or a number"):
        server.start(base, versions="newest", port=0, rest_api_port=0)


def test_a_folder_of_models(tmp_path, saved_model):
    for name in ("ants", "bees"):
        shutil.copytree(saved_model, tmp_path / name / "3")
    with serving(tmp_path) as (running, channel, _):
        assert running.manager.names() == ["ants", "bees"]
        for name in ("ants", "bees"):
            assert client.status_grpc(channel, name) == {3: {"state": "AVAILABLE", "error": ""}}
        shutil.copytree(saved_model, tmp_path / "new" / "1")
        wait_for(lambda: client.predict_grpc(channel, "new", [PICTURE]))


def test_hot_reload_under_load_fails_no_request(base, saved_model, tmp_path):
    export.export(
        tiny.classifier(seed=3), tmp_path / "other", **tiny.export_arguments(precision="float32")
    )
    want = {
        1: client.load_local(saved_model)([PICTURE])["scores"],
        2: client.load_local(tmp_path / "other")([PICTURE])["scores"],
    }
    assert not np.allclose(want[1], want[2], atol=1e-3)
    stop, failures, seen = threading.Event(), [], []

    def load(call):
        while not stop.is_set():
            try:
                scores = call()["scores"]
            except Exception as error:
                failures.append(error)
                return
            which = [number for number, expected in want.items() if np.allclose(scores, expected)]
            seen.append(which[0])

    with serving(base, name="m") as (running, channel, connection):
        other = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        threads = [
            threading.Thread(target=load, args=(call,))
            for call in (
                lambda: client.predict_grpc(channel, "m", [PICTURE]),
                lambda: client.predict_grpc(channel, "m", [PICTURE]),
                lambda: client.predict_rest(other, "m", [PICTURE]),
            )
        ]
        for thread in threads:
            thread.start()
        for number in (2, 3, 4):
            add_version(base, number, tmp_path / "other")
            wait_for(
                lambda n=number: client.status_rest(connection, "m")[n]["state"] == "AVAILABLE"
            )
        wait_for(lambda: client.status_rest(connection, "m")[3]["state"] == "END")
        stop.set()
        for thread in threads:
            thread.join()
        other.close()
    assert not failures
    assert seen[0] == 1
    assert seen[-1] == 2
    assert len(seen) > 20


def test_a_broken_version_is_reported_and_the_old_one_stays(base, saved_model):
    with serving(base, name="m") as (_, channel, connection):
        broken = base / "2"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"broken")
        wait_for(lambda: client.status_rest(connection, "m")[2]["state"] == "END")
        status = client.status_rest(connection, "m")
        assert status[2]["error"]
        assert status[1] == {"state": "AVAILABLE", "error": ""}
        client.predict_grpc(channel, "m", [PICTURE])
        shutil.rmtree(broken)
        add_version(base, 2, saved_model)  # repaired
        wait_for(lambda: client.status_rest(connection, "m")[2]["state"] == "AVAILABLE")
    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"broken")
    with serving(base, name="m") as (_, channel, _):  # also after a restart
        status = client.status_grpc(channel, "m")
        assert (status[3]["state"], status[2]["state"]) == ("END", "AVAILABLE")


def test_removing_the_newest_version_rolls_back(base, saved_model):
    add_version(base, 2, saved_model)
    with serving(base, name="m") as (_, channel, _):
        assert set(client.status_grpc(channel, "m")) == {2}
        shutil.rmtree(base / "2")
        wait_for(lambda: client.status_grpc(channel, "m")[1]["state"] == "AVAILABLE")
        shutil.rmtree(base / "1")
        time.sleep(0.4)
        client.predict_grpc(channel, "m", [PICTURE])  # nothing better: goes on


def test_a_failing_warm_up_keeps_a_version_out(base, saved_model):
    bad = base / ".2"
    shutil.copytree(saved_model, bad)
    warmup.write(bad, "m", [b"no picture"])
    os.rename(bad, base / "2")
    with serving(base, name="m") as (_, channel, _):
        status = client.status_grpc(channel, "m")
        assert "picture 0 of the request" in status[2]["error"]
        assert status[1]["state"] == "AVAILABLE"


def test_port_in_use_is_one_clear_message(running, base):
    taken, _, _ = running
    with pytest.raises(errors.PortInUse, match=rf"port {taken.grpc_port} .*another --port"):
        server.start(base, port=taken.grpc_port, rest_api_port=0)
    with pytest.raises(errors.PortInUse, match=rf"{taken.rest_port} .*another --rest_api_port"):
        server.start(base, port=0, rest_api_port=taken.rest_port)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        server.start(base / "nowhere")


def test_sigterm_ends_a_server_in_order(base):
    code = (
        "import sys; from serving import server; "
        "server.serve(sys.argv[1], port=0, rest_api_port=0, name='m')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(base)], stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    port = int(line.split("gRPC on port ")[1].split(",")[0])
    channel = client.grpc_channel(f"127.0.0.1:{port}")
    client.predict_grpc(channel, "m", [PICTURE])
    channel.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_client_says_who_does_not_answer():
    connection = client.rest_connection("127.0.0.1:1", timeout_s=2)
    with pytest.raises(client.RequestFailed, match=r"127\.0\.0\.1:1: no answer"):
        client.status_rest(connection, "m")
    channel = client.grpc_channel("127.0.0.1:1")
    with pytest.raises(client.RequestFailed, match="UNAVAILABLE"):
        client.status_grpc(channel, "m", timeout_s=2)
    channel.close()


def test_client_opens_a_connection_again_that_the_server_closed(base):
    with serving(base, name="m") as (running, _, connection):
        before = client.status_rest(connection, "m")
        connection.sock.shutdown(2)
        assert client.status_rest(connection, "m") == before
        assert running.rest_port == connection.port


def test_load_local_takes_a_base_path_or_a_version(base, tmp_path):
    np.testing.assert_array_equal(
        client.load_local(base)([PICTURE])["scores"],
        client.load_local(base / "1")([PICTURE])["scores"],
    )
    with pytest.raises(FileNotFoundError, match="expected a SavedModel"):
        client.load_local(tmp_path / "served" / "1" / "assets.extra")
