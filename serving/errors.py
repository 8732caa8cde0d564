"""Errors of the model server, with the canonical codes that gRPC, HTTP and TensorFlow share."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND = 2, 3, 4, 5
RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14

# As TensorFlow Serving maps them; every other code is 500.
HTTP_STATUS = {
    0: 200,
    INVALID_ARGUMENT: 400,
    NOT_FOUND: 404,
    6: 409,  # already exists
    7: 403,  # permission denied
    RESOURCE_EXHAUSTED: 429,
    FAILED_PRECONDITION: 400,
    10: 409,  # aborted
    11: 400,  # out of range
    UNIMPLEMENTED: 501,
    UNAVAILABLE: 503,
    DEADLINE_EXCEEDED: 504,
    16: 401,  # unauthenticated
}


class ServingError(Exception):
    """A request that cannot be answered. `code` is canonical (gRPC's numbers)."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


class PortInUse(OSError):
    """The server cannot listen: another program holds the port."""

    def __init__(self, host: str, port: int, flag: str):
        super().__init__(
            f"port {port} on {host} is in use: stop the other program or choose another {flag}"
        )


def cannot_listen(host: str, port: int, flag: str, error: OSError) -> OSError:
    """What to raise where a socket cannot be bound."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(host, port, flag)
    return OSError(f"cannot listen on port {port} of {host!r} ({flag}): {error}")


def from_tensorflow(error: tf.errors.OpError) -> ServingError:
    """The error of a running graph, without the stack of the process that wrote the graph."""
    text = str(error.message)
    text = re.sub(
        r"(?s)^Graph execution error:\s*Detected at node.*?<stack traces [^>]*>\s*", "", text
    )
    text = re.sub(r"\s*\[\[\{\{.*$", "", text, flags=re.DOTALL)
    assertion = re.match(r"assertion failed: (\[.*\])$", text)
    if assertion:
        text = " ".join(re.findall(r"\[(.*?)\]", assertion[1]))
    return ServingError(int(error.error_code), text.strip())
