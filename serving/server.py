"""The embedded model server: TensorFlow Serving's protocol on a folder of versions.

    start("served", port=8500, rest_api_port=8501)

For one machine, tests and the pipeline's own checks. The same folder serves under TensorFlow
Serving itself (`serving/deploy`), which is what to run where many machines share the load.
"""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import threading

from convoy.serving import grpc_api, limits
from convoy.serving.manager import Manager
from convoy.serving.metrics import Metrics
from convoy.serving.rest_api import STOP_S, RestServer
from convoy.serving.service import Service

log = logging.getLogger(__name__)


class Server:
    """A running model server."""

    def __init__(
        self, manager: Manager, host: str, port: int, rest_api_port: int, threads: int, most: int
    ):
        """Takes the ports; calls are answered after `begin`. most: pixels per picture."""
        self.manager = manager
        service = Service(manager, most, Metrics(manager.names))
        self._grpc, self.grpc_port = grpc_api.bind(service, host, port, threads)
        try:
            self._rest = RestServer(service, host, rest_api_port, threads)
        except OSError:
            self._grpc.stop(None).wait()
            raise
        self.rest_port = self._rest.port

    def begin(self, poll_s: float) -> None:
        """Loads what is there, then answers."""
        self.manager.start(poll_s)
        self._grpc.start()
        self._rest.start()

    def stop(self) -> None:
        """No new calls; those in flight end."""
        ended = self._grpc.stop(STOP_S)
        self._rest.stop()
        ended.wait()
        self.manager.stop()


def start(
    base: str | os.PathLike,
    *,
    port: int = 8500,
    rest_api_port: int = 8501,
    name: str | None = None,
    versions: str = "latest",
    poll_s: float = 1.0,
    host: str = "127.0.0.1",
    threads: int = 8,
    max_pixels: int = limits.MOST_PIXELS,
) -> Server:
    """Loads what is there and answers; port 0 = any free one.

    base: a model base path (BASE/VERSION/saved_model.pb) or a folder of those. name: of the model
    where base is a base path; None = the folder's own. versions: "latest", "all" or a number.
    max_pixels: of a picture, above which a request is refused before decoding; 0 = any.
    Raises serving.errors.PortInUse, FileNotFoundError, ValueError.
    """
    base = pathlib.Path(base).resolve()
    if not base.is_dir():
        raise FileNotFoundError(
            f"{base}: no such folder; expected a model base path or a folder of them"
        )
    if (base / "saved_model.pb").is_file():
        raise ValueError(
            f"{base} is one version of a model: expected the folder above it, {base.parent}; "
            f"with --versions {base.name} that version alone is served"
        )
    for flag, number in (("--port", port), ("--rest_api_port", rest_api_port)):
        if not 0 <= number <= 65_535:
            raise ValueError(f"{flag}: expected 0 (any free one) to 65535, got {number}")
    manager = Manager(base, name, versions)
    # A taken port shows before loading.
    server = Server(manager, host, port, rest_api_port, threads, max_pixels)
    server.begin(poll_s)
    log.info(
        "gRPC on %s:%d, REST on %s:%d, models: %s",
        host,
        server.grpc_port,
        host,
        server.rest_port,
        ", ".join(manager.names()) or "none yet",
    )
    return server


def serve(base: str | os.PathLike, **arguments) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls in flight end. Main thread only."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = start(base, **arguments)
    print(f"serving gRPC on port {server.grpc_port}, REST on port {server.rest_port}", flush=True)
    stop.wait()
    server.stop()
