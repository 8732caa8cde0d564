"""Locks: one process per run folder, one per model folder; a second one is told who holds it.

A lock is the kernel's (flock) on a file that says who holds it. It ends with its process, however
that ends, so that what a dead process held is free at once; the file stays. On a folder that
machines share, the file system must carry flock between them, as NFS 4, Lustre, CephFS and GPFS do.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator

LOCK = ".lock"  # in a folder that one process works in
POLL_S = 0.2
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class Held(RuntimeError):
    """Another process holds a lock; the message says which, where and since when."""


@contextlib.contextmanager
def held(
    path: pathlib.Path,
    what: str,
    *,
    wait_s: float = 0.0,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Holds the lock of a file, which is made, while the block runs.

    what: the folder in words, for messages. Raises Held where another process still has it after
    `wait_s` seconds; `tell` hears of it before the wait.
    """
    with _opened(path) as file:
        _wait(file, path, what, wait_s, tell)
        _write(file, _own())
        try:
            yield
        finally:
            _write(file, {})


@contextlib.contextmanager
def shared(path: pathlib.Path, what: str) -> Iterator[None]:
    """Holds a lock together with others that share it; against it stands `held` alone.

    Raises Held at once.
    """
    with _opened(path) as file:
        if not _take(file, fcntl.LOCK_SH, path):
            raise Held(told(path, what))
        yield


def told(path: pathlib.Path, what: str) -> str:
    """Who holds a lock, in one sentence."""
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError):
        holder = {}
    if not holder:
        return f"{what} is in use by another process"
    return (
        f"{what} is in use by process {holder['pid']} on {holder['host']} since {holder['since']}; "
        "wait for its end, or stop it"
    )


def _wait(
    file: int, path: pathlib.Path, what: str, wait_s: float, tell: Callable[[str], None]
) -> None:
    end, silent = time.monotonic() + wait_s, True
    while not _take(file, fcntl.LOCK_EX, path):
        if time.monotonic() >= end:
            raise Held(told(path, what) + (f" (waited {wait_s:g} s)" if wait_s else ""))
        if silent:
            tell(told(path, what))
            silent = False
        time.sleep(POLL_S)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _take(file: int, kind: int, path: pathlib.Path) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        text = f"this file system has no locks ({error.strerror})"
        raise OSError(error.errno, text, str(path)) from None
    return True


def _write(file: int, holder: dict) -> None:
    """On a full disk nobody is named; the lock holds all the same."""
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        if holder:
            os.pwrite(file, (json.dumps(holder) + "\n").encode(), 0)


def _own() -> dict:
    since = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": since}
