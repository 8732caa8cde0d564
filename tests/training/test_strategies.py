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
import signal
import socket
import subprocess
import sys
import time

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


def _workers(records, workdir, *options: str) -> list[subprocess.Popen]:
    """Two of one cluster."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(2)]}
    return [
        _start(
            records,
            workdir,
            "--strategy",
            "multi_worker",
            *options,
            config={"cluster": cluster, "task": {"type": "worker", "index": index}},
        )
        for index in range(2)
    ]


def test_two_workers_equal_one_process(class_records, one_process, tmp_path):
    workers = _workers(class_records, tmp_path)
    for worker in workers:
        _, err = worker.communicate(timeout=300)
        assert worker.returncode == 0, err
    _assert_same(one_process, _arrays(tmp_path))


def _two_workers(records, workdir, *options: str) -> list[subprocess.Popen]:
    """Two, once they have made a checkpoint."""
    workers = _workers(records, workdir, *options)
    while not list(workdir.glob("checkpoints/step-*.npz")):
        assert all(worker.poll() is None for worker in workers), "one ended before its time"
        time.sleep(0.05)
    return workers


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_signal_to_one_worker_stops_both_at_one_step(class_records, tmp_path, index):
    workers = _two_workers(class_records, tmp_path, "--steps", "100000")
    workers[index].send_signal(signal.SIGTERM)
    said = [worker.communicate(timeout=120)[1].splitlines()[-1] for worker in workers]
    newest = max(tmp_path.glob("checkpoints/step-*.npz")).stem.removeprefix("step-")
    ends = ("saved, run again to go on", "the chief of the job saves, run again to go on")
    for number, end in enumerate(ends):
        by = "SIGTERM" if number == index else "the stop of another worker"
        expected = f"Interrupted: stopped by {by} at step {int(newest)}; {end}"
        assert said[number].endswith(expected)


@pytest.mark.slow
def test_a_killed_worker_ends_the_other_with_one_message(class_records, tmp_path):
    workers = _two_workers(class_records, tmp_path, "--steps", "100000")
    workers[1].kill()
    _, err = workers[0].communicate(timeout=120)  # 6 to 35 s were measured
    workers[1].communicate()
    assert workers[0].returncode == 1
    lost = [line for line in err.splitlines() if "WorkerLost: another worker" in line]
    assert len(lost) == 1
    assert "start all of them again" in lost[0]


def test_a_worker_whose_others_never_start_ends(tmp_path):
    config = {"cluster": {"worker": ["127.0.0.1:1", "host1:2"]}, "task": {"index": 0}}
    code = (
        "import time\n"
        "from convoy.pipeline.training import strategy\n"
        "with strategy._bounded(0.2):\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TF_CONFIG": json.dumps(config)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith("convoy: error: the workers host1:2 did not all answer within 0.2 s")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
