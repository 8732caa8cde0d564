"""The deployment files agree with each other, with the usual ports and with what a push writes."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from convoy.pipeline.components import pusher

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"


@pytest.fixture
def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["serving"]


@pytest.fixture
def kubernetes() -> dict[str, dict]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def models(text: str) -> dict[str, str]:
    config = text_format.Parse(text, ModelServerConfig())
    return {entry.name: entry.base_path for entry in config.model_config_list.config}


def test_compose_mounts_what_the_server_is_told_to_read(compose):
    targets = {volume.rsplit(":", 2)[1] for volume in compose["volumes"]}
    for argument in compose["command"]:
        flag, value = argument.split("=")
        if flag.endswith("_file"):
            assert value in targets
    for volume in compose["volumes"]:
        source = volume.rsplit(":", 2)[0]
        if source.startswith("./"):
            assert (DEPLOY / source).is_file()
    assert compose["ports"] == ["8500:8500", "8501:8501"]
    found = models((DEPLOY / "models.config").read_text())
    assert all(path == f"/models/{name}" for name, path in found.items())
    assert "/models" in targets


def test_compose_and_kubernetes_serve_alike(compose, kubernetes):
    pod = kubernetes["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    data = kubernetes["ConfigMap"]["data"]
    assert container["image"] == compose["image"]
    assert models(data["models.config"]) == models((DEPLOY / "models.config").read_text())
    monitoring = data["monitoring.config"]
    assert monitoring == (DEPLOY / "monitoring.config").read_text()
    annotations = kubernetes["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert f'path: "{annotations["prometheus.io/path"]}"' in monitoring


def test_kubernetes_names_and_ports_agree(kubernetes):
    deployment, service = kubernetes["Deployment"], kubernetes["Service"]
    pod = deployment["spec"]["template"]
    container = pod["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"models": "/models", "config": "/config"}
    assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounts)
    for argument in container["args"]:
        if "_file=" in argument:
            assert pathlib.Path(argument.split("=")[1]).name in kubernetes["ConfigMap"]["data"]
    model = container["readinessProbe"]["httpGet"]["path"].removeprefix("/v1/models/")
    assert model in models(kubernetes["ConfigMap"]["data"]["models.config"])
    claim = kubernetes["PersistentVolumeClaim"]["metadata"]["name"]
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim
    target = kubernetes["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
    assert target == deployment["metadata"]["name"]


def test_a_push_writes_what_the_base_path_expects(tmp_path, saved_model):
    """/models is the mounted push.model_dir: /models/NAME is a base path of numbered versions."""
    name, base_path = next(iter(models((DEPLOY / "models.config").read_text()).items()))
    served = tmp_path / pathlib.PurePosixPath(base_path).relative_to("/models")
    version = pusher.push(saved_model, tmp_path / name, keep=3).version
    assert (served / str(version) / "saved_model.pb").is_file()


def test_latest_policy_is_spelled_for_the_server():
    config = text_format.Parse((DEPLOY / "models.config").read_text(), ModelServerConfig())
    policy = config.model_config_list.config[0].model_version_policy
    assert policy.latest.num_versions == 1
