"""The embedded server's answers: both protocols, formats, errors."""

from __future__ import annotations

import base64
import http.client

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    prediction_service_pb2_grpc,
)

from convoy.serving import client, warmup
from tests.serving import tiny
from tests.serving.running import PICTURE


def b64(data: bytes) -> dict:
    return {"b64": base64.b64encode(data).decode()}


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
        ("POST", "m:classify", {"examples": []}, 400, "Was: tensorflow/serving/predict; call Pred"),
        ("POST", "m:regress", {"signature_name": "x"}, 400, "No signature was found with the name"),
        ("POST", "no:classify", {"examples": []}, 404, "Latest(no)"),
        ("POST", "m/labels/x:predict", {"instances": [1]}, 400, "version label: x"),
        ("GET", "m/labels/x", None, 400, "Unrecognized servable version label: x"),
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
    refused(example, code.INVALID_ARGUMENT, "tensorflow/serving/classify", stub(channel).Classify)
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
