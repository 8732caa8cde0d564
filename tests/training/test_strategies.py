"""Two mirrored devices, and two workers, compute what one process computes.

LeNet-5 has no BatchNorm: its weights after six steps agree to float32's rounding. Deep networks
with BatchNorm at random weights turn a rounding error into 1 % of the gradient (so does reordering
the rows of a batch in one process), which is why BatchNorm over replicas is compared by itself, in
tests/models/test_batchnorm.py.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

LENET = {"name": "lenet5"}
# Sums of two threads, as of two devices, so that both round alike; tests/conftest.py has one.
THREADS = {"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"}


@pytest.fixture(scope="module")
def one_process(class_records, tmp_path_factory) -> dict[str, np.ndarray]:
    workdir = tmp_path_factory.mktemp("one")
    process = _start(class_records, workdir)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return _arrays(workdir)


def _arrays(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(workdir / "checkpoints" / "step-000000006.npz") as file:
        return dict(file.items())


def _start(records, workdir, *options: str, config: dict | None = None) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.train_once", str(records), str(workdir)]
    command += ["--model", json.dumps(LENET), *options]
    environment = os.environ | THREADS
    if config:
        environment["TF_CONFIG"] = json.dumps(config)
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _assert_same(expected: dict[str, np.ndarray], received: dict[str, np.ndarray]) -> None:
    assert expected.keys() == received.keys()
    for name, value in expected.items():
        # float32 rounds at 6e-8; six steps of sums in another order stay under 20 of those.
        bound = 1.2e-6 * max(np.abs(value).max(), 1e-6)
        np.testing.assert_allclose(received[name], value, rtol=0, atol=bound, err_msg=name)


def test_two_mirrored_devices_equal_one(class_records, one_process, tmp_path):
    process = _start(class_records, tmp_path, "--strategy", "mirrored", "--devices", "2")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    _assert_same(one_process, _arrays(tmp_path))


def test_two_workers_equal_one_process(class_records, one_process, tmp_path):
    ports = _free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    workers = [
        _start(
            class_records,
            tmp_path,
            "--strategy",
            "multi_worker",
            config={"cluster": cluster, "task": {"type": "worker", "index": index}},
        )
        for index in range(2)
    ]
    for worker in workers:
        _, err = worker.communicate(timeout=300)
        assert worker.returncode == 0, err
    _assert_same(one_process, _arrays(tmp_path))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
