"""The server of the pages: which address it listens on, and its end."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import secrets
import socket
import webbrowser

import uvicorn

from convoy.pipeline.look import places
from convoy.pipeline.look.app import application
from convoy.pipeline.look.context import Context
from convoy.pipeline.look.guard import is_loopback
from convoy.serving.listening import bound

STOP_S = 2


def serve(word: str, host: str, port: int, server: str = "", opens: bool = False) -> dict:
    """Serves until it is stopped. Raises FileNotFoundError, and OSError for a port in use."""
    found = places.of(word)
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    holder = held(host, port)
    with holder:
        port = holder.getsockname()[1]
        shown = f"[{host.strip('[]')}]" if ":" in host else host
        address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
        context = Context(found, token=token, server=server)
        config = uvicorn.Config(
            application(context),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_S,
        )
        print(f"look at {found.given} ({found.role}) on {address}", flush=True)
        if opens:
            webbrowser.open(address)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # how people end it
                uvicorn.Server(config).run(sockets=[holder])
        finally:
            context.worker.stop()
    return {"address": address, "stopped": True}


def held(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError that says who has the port, where that can be seen."""
    try:
        holder = bound(host, port)
        holder.listen(128)
        return holder
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise OSError(f"{host}:{port} cannot be listened on: {error.strerror}") from None
        raise OSError(
            f"port {port} of {host} is in use{_by(port)}: give another with --port, or --port 0"
        ) from None


def _by(port: int) -> str:
    """ ", by process 123 (python ...)", where /proc tells it."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = pathlib.Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        cells = [row.split() for row in rows]
        inodes |= {c[9] for c in cells if c[1].endswith(f":{port:04X}") and c[3] == "0A"}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if wanted & _links(process / "fd"):
            try:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            said = words.decode("utf-8", "replace").strip()
            return f" by process {process.name} ({said[:80]})"
    return ""


def _links(folder: pathlib.Path) -> set[str]:
    """What the links of a folder point at, those that can be read."""
    found = set()
    with contextlib.suppress(OSError):  # of another user
        for link in folder.iterdir():
            with contextlib.suppress(OSError):  # closed since
                found.add(os.readlink(link))
    return found
