"""A program that ends when its caller does, however the caller ends, with all that it started.

`run` starts this file as a guard in a process group of its own; the guard starts the program in
that group, and reads a pipe that only the caller holds. The pipe closes when the caller ends, by
SIGKILL too. Then the group gets SIGTERM, and what is left after a while SIGKILL. It needs Linux'
/proc.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

GRACE_S = 15.0


@contextlib.contextmanager
def on_sigterm(error: Exception) -> Iterator[None]:
    """Raises `error` where SIGTERM comes, so that `run` ends its program first."""

    def stop(*_):
        raise error

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(command: Sequence[str], environment: Mapping[str, str], grace_s: float = GRACE_S) -> int:
    """The program's exit code; KeyboardInterrupt and what a signal handler raises end it first."""
    guard = subprocess.Popen(
        [sys.executable, "-I", __file__, str(grace_s), *command],
        env=dict(environment),
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        return guard.wait()
    finally:
        guard.stdin.close()
        guard.wait()
        _signal_group(guard.pid, signal.SIGKILL)  # where the guard itself was killed


def _guard(grace_s: float, command: Sequence[str]) -> int:
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: None)  # meant for the program; the program has its own
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_the_caller, args=(grace_s,), daemon=True).start()
    code = program.wait()
    _end_group(grace_s)  # what the program left behind
    return code


def _end_with_the_caller(grace_s: float) -> None:
    os.read(0, 1)  # nothing is ever written: it returns when the pipe closes
    _end_group(grace_s)


def _end_group(grace_s: float) -> None:
    """Ends the guard's group, and the guard with it only where SIGTERM is not enough."""
    group = os.getpgid(0)
    _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _others(group):
        if time.monotonic() > deadline:
            _signal_group(group, signal.SIGKILL)
        time.sleep(0.05)


def _others(group: int) -> bool:
    """Whether processes of the group run, beside this one; ended ones wait for their parents."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:  # "pid (name) state parent group ..."
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended
            continue
        if int(its_group) == group and state != "Z" and path.parent.name != str(os.getpid()):
            return True
    return False


def _signal_group(group: int, kind: signal.Signals) -> None:
    try:
        os.killpg(group, kind)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(_guard(float(sys.argv[1]), sys.argv[2:]))
