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

import grpc

from convoy.serving import batching, engines, grpc_api, served, tls
from convoy.serving.errors import ServingError
from convoy.serving.limits import Limits
from convoy.serving.manager import Manager
from convoy.serving.metrics import Metrics
from convoy.serving.rest_api import STOP_S, RestServer
from convoy.serving.service import Service

log = logging.getLogger(__name__)

DEFAULTS = Limits()
MOST_THREADS = 64  # per protocol, where calls are joined


class Server:
    """A running model server."""

    def __init__(
        self,
        manager: Manager,
        ports: tuple[int, int],
        host: str,
        threads: int,
        limits: Limits,
        credentials: grpc.ServerCredentials | None = None,
    ):
        """Takes the ports, gRPC's and REST's; calls are answered after `begin`."""
        self.manager = manager
        service = Service(manager, limits, Metrics(manager.names))
        self._grpc, self.grpc_port = grpc_api.bind(service, host, ports[0], threads, credentials)
        try:
            self._rest = RestServer(service, host, ports[1], threads)
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
    base: str | os.PathLike | None = None,
    *,
    port: int = 8500,
    rest_api_port: int = 8501,
    name: str | None = None,
    versions: str = "latest",
    config_file: str | os.PathLike | None = None,
    config_poll_s: float = 0.0,
    ssl_config_file: str | os.PathLike | None = None,
    poll_s: float = 1.0,
    host: str = "127.0.0.1",
    threads: int = 8,
    limits: Limits = DEFAULTS,
    engine: str = "tensorflow",
    together: batching.Parameters | None = None,
) -> Server:
    """Loads what is there and answers; port 0 = any free one.

    base: a model base path (BASE/VERSION/saved_model.pb) or a folder of those. name: of the model
    where base is a base path; None = the folder's own. versions: "latest", "all" or a number.
    config_file: TensorFlow Serving's model config file, instead of base, name and versions; read
    again every config_poll_s seconds, 0 = never. ssl_config_file: see serving/tls.py. engine: see
    serving/engines.py. together: see serving/batching.py; each protocol then has threads for more
    calls at once than a batch holds.
    Raises serving.errors.PortInUse, ServingError, NotInstalled, FileNotFoundError, ValueError.
    """
    for flag, number in (("--port", port), ("--rest_api_port", rest_api_port)):
        if not 0 <= number <= 65_535:
            raise ValueError(f"{flag}: expected 0 (any free one) to 65535, got {number}")
    engines.check(engine)
    if config_file:
        config = pathlib.Path(config_file).absolute()
        first = served.read_config(config)
        manager = Manager(lambda: first, engine, together)
    else:
        folder, policy = _folder(base), served.check_policy(versions)
        manager = Manager(lambda: served.discover(folder, name, policy), engine, together)
    credentials = tls.credentials(pathlib.Path(ssl_config_file)) if ssl_config_file else None
    threads = max(threads, min(2 * together.max_batch_size, MOST_THREADS)) if together else threads
    # A taken port shows before loading.
    server = Server(manager, (port, rest_api_port), host, threads, limits, credentials)
    server.begin(poll_s)
    if config_file and config_poll_s > 0:
        manager.every(config_poll_s, Reread(manager, config))
    log.info(
        "gRPC on %s:%d, REST on %s:%d, models: %s",
        host,
        server.grpc_port,
        host,
        server.rest_port,
        ", ".join(manager.names()) or "none yet",
    )
    return server


def _folder(base: str | os.PathLike | None) -> pathlib.Path:
    if base is None:
        raise ValueError("expected a folder of models, or a model config file")
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
    return base


class Reread:
    """Serves what a model config file says, when it says something else than before."""

    def __init__(self, manager: Manager, path: pathlib.Path):
        self._manager, self._path, self._text = manager, path, path.read_bytes()

    def __call__(self) -> None:
        """One look. A file that cannot be followed is told once, and changes nothing."""
        text = self._path.read_bytes()
        if text == self._text:
            return
        self._text = text
        try:
            self._manager.reload(served.read_config(self._path))
        except ServingError as error:
            log.error("%s: %s", self._path, error)
        else:
            log.info("%s is followed: %s", self._path, ", ".join(self._manager.names()))


def serve(base: str | os.PathLike | None = None, **arguments) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls in flight end. Main thread only."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = start(base, **arguments)
    print(f"serving gRPC on port {server.grpc_port}, REST on port {server.rest_port}", flush=True)
    stop.wait()
    server.stop()
