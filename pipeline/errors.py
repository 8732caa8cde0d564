"""Errors that end a command, each with the exit code that it stands for.

0 done, 1 failure, 2 wrong usage or recipe, 3 refused by a gate, 143 stopped by SIGTERM with
everything saved (run again to go on), 130 by Ctrl-C.
"""

from __future__ import annotations

OK, FAILURE, USAGE, REFUSED, INTERRUPTED, STOPPED = 0, 1, 2, 3, 130, 143


class UsageError(ValueError):
    """The command line is wrong."""

    exit_code = USAGE


class ConfigError(ValueError):
    """A recipe cannot be used; the message says which key, what was expected, and what came."""

    exit_code = USAGE


class Refused(RuntimeError):
    """The data is not valid, or the gate refuses the model. `result`: what --json prints too."""

    exit_code = REFUSED

    def __init__(self, message: str, result: dict | None = None):
        super().__init__(message)
        self.result = result or {}


class Interrupted(RuntimeError):
    """SIGTERM or SIGINT came; everything is saved, and the same command goes on.

    exit_code: STOPPED, or INTERRUPTED where it was SIGINT.
    """

    def __init__(self, message: str, exit_code: int = STOPPED):
        super().__init__(message)
        self.exit_code = exit_code
