"""Errors that end a command, each with the exit code that it stands for.

0 done, 1 failure, 2 wrong usage or recipe, 3 refused by a gate, 143 stopped by SIGTERM with
everything saved (run again to go on), 130 by Ctrl-C.
"""

from __future__ import annotations

import errno
import re

FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = ("No space left on device", "Disk quota exceeded")  # of libraries that have no errno
_PATH = re.compile(r"(/[^\s;'\"]+?)[;:]?\s+(?:" + "|".join(_WORDS) + ")")

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


def told(error: BaseException) -> str:
    """An error's message for people; of a full disk, whichever library met it, what to do."""
    text = str(error) or type(error).__name__
    if not disk_full(error):
        return text
    found = _PATH.search(text)
    name = getattr(error, "filename", None) or (found[1] if found else "while writing")
    return f"the disk is full ({name}); free space and run again"


def disk_full(error: BaseException) -> bool:
    """Whether a full disk, or a used up quota, is behind an error: also TensorFlow's and HDF5's."""
    if getattr(error, "errno", None) in FULL:
        return True
    return any(word in str(error) for word in _WORDS)
