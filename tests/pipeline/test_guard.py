"""What `convoy ui` starts ends with it: real processes, really killed."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from convoy.pipeline.tools import guard

ROOT = pathlib.Path(__file__).resolve().parents[2]
CALLER = "import os, sys; from convoy.pipeline.tools import guard;" + (
    "sys.exit(guard.run([sys.executable, '-c', *sys.argv[1:]], os.environ, grace_s=0.5))"
)
# Writes its own and its child's number to the file, then sleeps; told so, neither minds SIGTERM.
PROGRAM = """
import os, pathlib, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
path.with_suffix(".part").rename(path)
if "leave" in sys.argv:
    sys.exit(7)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_the_program_and_its_child_end_with_the_caller(tmp_path, kind, manner):
    file = tmp_path / "numbers"
    command = [sys.executable, "-c", CALLER, PROGRAM, str(file), manner]
    # A shell's background job ignores SIGINT, and what it starts does, too; Dagster then SIGTERM.
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    try:
        caller = subprocess.Popen(command, cwd=ROOT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    wait_for(file.exists, 60)
    numbers = [int(number) for number in file.read_text().split()]
    assert all(map(runs, numbers))
    caller.send_signal(kind)
    wait_for(lambda: not any(map(runs, numbers)), 30)
    assert caller.wait(30) != 0


def test_the_exit_code_and_what_the_program_leaves_behind(tmp_path):
    file = tmp_path / "numbers"
    command = [sys.executable, "-c", PROGRAM, str(file), "leave"]
    assert guard.run(command, os.environ, grace_s=5) == 7
    assert not any(runs(int(number)) for number in file.read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_convoy_ui(tmp_path, kind):
    """Once the page answers, the command is killed: no process of Dagster is left."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: tiny\ntask: detection\nrun_dir: {tmp_path}/run\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "convoy.pipeline.cli", "ui", str(recipe), "--port", str(port)]
    convoy = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: _answers(port), 180)
        dagster = _with_environment(f"DAGSTER_HOME={tmp_path}/run/dagster")
        assert len(dagster) >= 4  # the guard, dagster dev, its web server, its daemon, ...
    finally:
        convoy.send_signal(kind)
    wait_for(lambda: not any(map(runs, dagster)), 60)
    assert convoy.wait(60) == {signal.SIGKILL: -9, signal.SIGTERM: 143}[kind]


def _answers(port: int) -> bool:
    try:
        return (
            urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5).status == 200
        )
    except (urllib.error.URLError, OSError):
        return False


def _with_environment(setting: str) -> list[int]:
    numbers = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if setting.encode() in path.read_bytes().split(b"\0"):
                numbers.append(int(path.parent.name))
        except OSError:
            continue
    return numbers
