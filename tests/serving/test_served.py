"""TensorFlow Serving's model config file: several models, policies, labels, reloading."""

from __future__ import annotations

import shutil

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from convoy.serving import client, served, server, warmup
from convoy.serving.errors import ServingError
from tests.serving.running import PICTURE, add_version, serving, wait_for
from tests.serving.test_server import b64, stub


def config(*models: str) -> str:
    return f"model_config_list {{ {' '.join(f'config {{ {model} }}' for model in models)} }}"


def entry(name: str, base, more: str = "") -> str:
    return f'name: "{name}" base_path: "{base}" model_platform: "tensorflow" {more}'


@pytest.fixture
def models(tmp_path, saved_model):
    """Versions 1, 2 and 3 of ants, and version 5 of bees."""
    for name, number in (("ants", 1), ("ants", 2), ("ants", 3), ("bees", 5)):
        (tmp_path / name).mkdir(exist_ok=True)
        add_version(tmp_path / name, number, saved_model)
    return tmp_path


def states(channel, name):
    return {number: told["state"] for number, told in client.status_grpc(channel, name).items()}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", {3}),
        ("model_version_policy { latest { num_versions: 2 } }", {2, 3}),
        ("model_version_policy { latest { num_versions: 9 } }", {1, 2, 3}),
        ("model_version_policy { latest { } }", {3}),
        ("model_version_policy { all { } }", {1, 2, 3}),
        ("model_version_policy { specific { versions: 1 versions: 3 versions: 4 } }", {1, 3}),
    ],
)
def test_policies(tmp_path, policy, expected):
    path = tmp_path / "models.config"
    path.write_text(config(entry("a", tmp_path, policy)))
    assert served.read_config(path)["a"].policy.of({1, 2, 3}) == expected


def test_several_models(models):
    path = models / "models.config"
    two = "model_version_policy { latest { num_versions: 2 } }"
    path.write_text(config(entry("a", models / "ants", two), entry("b", models / "bees")))
    with serving(None, config_file=path) as (running, channel, connection):
        assert running.manager.names() == ["a", "b"]
        assert states(channel, "a") == {2: "AVAILABLE", 3: "AVAILABLE"}
        assert states(channel, "b") == {5: "AVAILABLE"}
        client.predict_rest(connection, "b", [PICTURE])


def test_labels(models):
    path = models / "models.config"
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "new" value: 3 }'
    both = "model_version_policy { specific { versions: 1 versions: 3 } }"
    path.write_text(config(entry("a", models / "ants", f"{both} {labels}")))
    with serving(None, config_file=path) as (_, channel, connection):
        body = {"instances": [b64(PICTURE)]}
        for label, number in (("stable", 1), ("new", 3)):
            client.rest(connection, "POST", f"/v1/models/a/labels/{label}:predict", body)
            status = client.rest(connection, "GET", f"/v1/models/a/labels/{label}")
            assert [v["version"] for v in status["model_version_status"]] == [str(number)]
            request = warmup.request("a", [PICTURE])
            request.model_spec.version_label = label
            assert stub(channel).Predict(request).model_spec.version.value == number
        request.model_spec.version_label = "old"
        with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: old"):
            stub(channel).Predict(request)


def reload(channel, text: str):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request)


def refused(channel, text: str, code, message: str):
    with pytest.raises(grpc.RpcError) as caught:
        reload(channel, text)
    assert caught.value.code() == code
    assert message in caught.value.details()


def test_another_configuration_by_grpc(models):
    code = grpc.StatusCode
    specific = "model_version_policy { specific { versions: %d } }"
    label = ' version_labels { key: "stable" value: %d }'
    with serving(models / "ants", name="a") as (running, channel, _):
        assert reload(channel, config(entry("b", models / "bees"))).status.error_code == 0
        assert running.manager.names() == ["b"]
        with pytest.raises(client.RequestFailed, match="any versions of model a"):
            states(channel, "a")
        reload(channel, config(entry("a", models / "ants", specific % 1 + label % 1)))
        # A label that serves moves to what serves, or not at all.
        moved = config(entry("a", models / "ants", specific % 2 + label % 2))
        refused(channel, moved, code.FAILED_PRECONDITION, "not currently available for inference")
        assert states(channel, "a") == {1: "AVAILABLE"}
        both = "model_version_policy { specific { versions: 1 versions: 2 } }"
        reload(channel, config(entry("a", models / "ants", both + label % 1)))
        reload(channel, config(entry("a", models / "ants", both + label % 2)))
        reload(channel, moved)
        assert states(channel, "a") == {2: "AVAILABLE", 1: "END"}

        nowhere = config(entry("a", models / "nowhere"))
        refused(channel, nowhere, code.FAILED_PRECONDITION, "Could not find base path")
        twice = config(entry("a", models / "ants"), entry("a", models / "bees"))
        refused(channel, twice, code.INVALID_ARGUMENT, "two models are named 'a'")
        refused(channel, "", code.INVALID_ARGUMENT, "expected model_config_list")
        assert running.manager.names() == ["a"]
        (models / "empty").mkdir()
        refused(channel, config(entry("e", models / "empty")), code.UNKNOWN, "1 servable(s) did")
        assert running.manager.names() == []  # what the new list says, as in TensorFlow Serving


def test_the_file_is_followed(models, caplog):
    path = models / "models.config"
    path.write_text(config(entry("a", models / "ants")))
    with serving(None, config_file=path, config_poll_s=0.1) as (running, channel, _):
        path.write_text("model_config_list {")
        wait_for(lambda: "is no model config file" in caplog.text)
        assert states(channel, "a") == {3: "AVAILABLE"}
        path.write_text(config(entry("b", models / "bees")))
        wait_for(lambda: running.manager.names() == ["b"])
        path.unlink()  # being replaced
        client.predict_grpc(channel, "b", [PICTURE])
        path.write_text(config(entry("c", models / "bees")))
        wait_for(lambda: running.manager.names() == ["c"])


def test_a_model_may_come_after_the_start(models, saved_model):
    path = models / "models.config"
    path.write_text(config(entry("late", models / "late")))
    with serving(None, config_file=path) as (_, channel, _):
        shutil.copytree(saved_model, models / "late" / "1")
        wait_for(lambda: client.predict_grpc(channel, "late", [PICTURE]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is no model config file: 1:1"),
        ("", "expected model_config_list"),
        ('model_config_list { config { base_path: "/x" } }', "needs a name and a base_path"),
        (
            'model_config_list { config { name: "a" base_path: "/x" model_platform: "onnx" } }',
            "model a: expected model_platform 'tensorflow', got 'onnx'",
        ),
        (
            'model_config_list { config { name: "a" base_path: "s3://b/x" } }',
            "expected a folder of this machine as base_path, got 's3://b/x'",
        ),
        (
            config(entry("a", "/x", "model_version_policy { specific { } }")),
            "model a: specific names no versions",
        ),
    ],
)
def test_files_that_cannot_be_followed(tmp_path, text, message):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(ServingError) as caught:
        served.read_config(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    with pytest.raises(FileNotFoundError, match="expected a model config file"):
        server.start(config_file=tmp_path / "no", port=0, rest_api_port=0)
