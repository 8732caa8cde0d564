"""A server for a while, and small helpers of the tests that ask it."""

from __future__ import annotations

import os
import pathlib
import shutil
import time

from convoy.serving import client, server
from tests.serving import tiny

PICTURE = tiny.jpeg(40, 60)


class serving:
    """A server for a while: gives (server, gRPC channel, REST connection)."""

    def __init__(self, base, **arguments):
        self.arguments = {"base": base, "port": 0, "rest_api_port": 0, "poll_s": 0.1, **arguments}

    def __enter__(self):
        self.server = server.start(**self.arguments)
        self.channel = client.grpc_channel(f"127.0.0.1:{self.server.grpc_port}")
        self.connection = client.rest_connection(f"127.0.0.1:{self.server.rest_port}")
        return self.server, self.channel, self.connection

    def __exit__(self, *_):
        self.connection.close()
        self.channel.close()
        self.server.stop()


def wait_for(condition, timeout_s=15.0):
    """Until condition() is true; what it raises on the way is no answer yet."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (client.RequestFailed, KeyError):
            pass
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def add_version(base: pathlib.Path, number: int, source: pathlib.Path) -> None:
    shutil.copytree(source, base / f".{number}")
    os.rename(base / f".{number}", base / str(number))
