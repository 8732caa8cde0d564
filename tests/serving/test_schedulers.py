"""The DAG for Airflow and the CronJob: read by their own packages where there are some.

CONVOY_SCHEDULERS names a Python that has apache-airflow>=3 and kubernetes-validate; neither is a
package that Convoy needs.
"""

from __future__ import annotations

import ast
import json
import os
import pathlib
import subprocess

import pytest
import yaml

from convoy.pipeline.commands.verbs import VERBS
from convoy.pipeline.errors import FAILURE, REFUSED, STOPPED, USAGE

DEPLOY = pathlib.Path(__file__).parents[2] / "serving" / "deploy"
PYTHON = os.environ.get("CONVOY_SCHEDULERS", "")
needs_packages = pytest.mark.skipif(not PYTHON, reason="CONVOY_SCHEDULERS is not set")


def read(tmp_path, kind: str, path: pathlib.Path) -> dict:
    done = subprocess.run(
        [PYTHON, str(pathlib.Path(__file__).with_name("schedulers.py")), kind, str(path)],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@needs_packages
def test_airflow_reads_the_dag_and_a_refused_model_is_no_failure(tmp_path):
    found = read(tmp_path, "dag", DEPLOY / "airflow_dag.py")
    verbs = list(found["tasks"])
    assert verbs == ["ingest", "validate", "train", "evaluate", "export", "verify", "push"]
    for before, verb in zip([None, *verbs], verbs, strict=False):
        task = found["tasks"][verb]
        assert task["after"] == ([before] if before else [])
        assert f" {verb} " in task["command"]
        skipped = task["refused"] == "AirflowSkipException"
        assert skipped == (verb == "export")
    assert found["schedule"] == "0 3 * * *"


@needs_packages
@pytest.mark.parametrize("name", ["cronjob.yaml", "kubernetes.yaml"])
def test_kubernetes_reads_every_key(tmp_path, name):
    kinds = {document["kind"] for document in yaml.safe_load_all((DEPLOY / name).read_text())}
    assert set(read(tmp_path, "kubernetes", DEPLOY / name)) == kinds


def test_the_dags_tasks_are_verbs():
    tree = ast.parse((DEPLOY / "airflow_dag.py").read_text())
    values = {
        node.targets[0].id: node.value for node in ast.walk(tree) if isinstance(node, ast.Assign)
    }
    assert set(ast.literal_eval(values["VERBS"])) <= set(VERBS)
    assert ast.literal_eval(values["REFUSED"]) == REFUSED


def test_the_cronjob_agrees_with_what_is_served_and_with_the_exit_codes():
    job, claim = yaml.safe_load_all((DEPLOY / "cronjob.yaml").read_text())
    serving = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    claims = {d["metadata"]["name"] for d in (claim, *serving) if d["kind"] == claim["kind"]}
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    used = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert used == claims
    container = pod["containers"][0]
    names = {mount["name"] for mount in container["volumeMounts"]}
    assert names == {volume["name"] for volume in pod["volumes"]}
    program, verb, *_ = container["command"]
    assert (program, verb in VERBS) == ("convoy", True)
    rule = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]
    assert rule["containerName"] == container["name"]
    assert sorted(rule["values"]) == [USAGE, REFUSED]  # others are tried again
    assert not {FAILURE, STOPPED} & set(rule["values"])
    assert pod["restartPolicy"] == "Never"  # else Kubernetes takes no podFailurePolicy
