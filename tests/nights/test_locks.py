"""Locks: who holds one is said, and what a dead process held is free."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys

import pytest

from convoy.pipeline import config, errors, locks, steps

HOLDS = (
    "import pathlib, sys, time\n"
    "from convoy.pipeline import locks\n"
    "with locks.held(pathlib.Path(sys.argv[1]), 'it'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    """A function that starts a process which holds the lock of a file."""
    started = []

    def start(path) -> subprocess.Popen:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", HOLDS, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_told_who_holds_it(tmp_path, holder):
    path = tmp_path / "run" / locks.LOCK
    process = holder(path)
    since = json.loads(path.read_text())["since"]
    expected = f"runs/a is in use by process {process.pid} on {platform.node()} since {since}; "
    with pytest.raises(locks.Held) as held, locks.held(path, "runs/a"):
        pass
    assert str(held.value) == expected + "wait for its end, or stop it"
    assert json.loads(path.read_text())["pid"] == process.pid  # the second one wrote nothing


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, holder):
    path = tmp_path / locks.LOCK
    process = holder(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(path.read_text())["pid"] == process.pid  # it is still written there
    with locks.held(path, "it"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""


def test_a_lock_is_waited_for_and_told_once(tmp_path, holder):
    path = tmp_path / locks.LOCK
    process = holder(path)
    said: list[str] = []
    waits = locks.held(path, "it", wait_s=0.5, tell=said.append)
    with pytest.raises(locks.Held, match=r"\(waited 0\.5 s\)"), waits:
        pass

    def tell(text: str) -> None:
        process.kill()

    with locks.held(path, "it", wait_s=30, tell=tell):
        pass
    assert len(said) == 1
    assert f"process {process.pid}" in said[0]


def test_shared_ones_stand_beside_each_other_and_against_a_held_one(tmp_path):
    path = tmp_path / locks.LOCK
    with locks.shared(path, "it"), locks.shared(path, "it"):
        held = locks.held(path, "it")
        with pytest.raises(locks.Held, match="in use by another process"), held:
            pass
    with locks.held(path, "it"), pytest.raises(locks.Held), locks.shared(path, "it"):
        pass


def test_one_run_per_folder(tmp_path, holder):
    """The second one ends with 1 before it writes anything; a plan and a follower need no lock."""
    recipe = config.parse(
        {
            "name": "x",
            "task": "classification",
            "run_dir": str(tmp_path / "run"),
            "data": {"format": "folder", "path": str(tmp_path)},
        }
    )
    process = holder(tmp_path / "run" / locks.LOCK)
    with pytest.raises(locks.Held, match=f"run is in use by process {process.pid}") as held:
        steps.run(steps.Job(recipe), "example_gen")
    assert getattr(held.value, "exit_code", errors.FAILURE) == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == [locks.LOCK]
    assert steps.run(steps.Job(recipe, plan=True), "example_gen")["cached"] == []
