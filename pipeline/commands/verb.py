"""What a verb of the command line is, and how its process logs."""

from __future__ import annotations

import dataclasses
import logging as standard_logging
import os
from collections.abc import Callable

from absl import flags, logging


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: `run` gets (positional arguments, flags, options of Beam), returns the result."""

    usage: str
    examples: tuple[str, str]
    run: Callable[[list[str], flags.FlagValues, list[str]], dict]
    define: Callable[[flags.FlagValues], None] = lambda _: None
    passes_flags: bool = False  # what follows `--` goes on to Apache Beam


def set_up_logs(verbosity: int) -> None:
    """At absl's `verbosity`; of Beam, which logs by the root logger too, only what went wrong."""
    logging.use_absl_handler()
    logging.set_verbosity(verbosity)
    ours = logging.get_absl_logger()  # else its level would be the root logger's
    ours.setLevel(logging.converter.absl_to_standard(verbosity))
    for chatty in ("apache_beam", "root"):
        standard_logging.getLogger(chatty).setLevel("DEBUG" if verbosity > 0 else "ERROR")
    for server in ("convoy.serving", "uvicorn"):
        standard_logging.getLogger(server).setLevel("INFO" if verbosity >= 0 else "WARNING")


def quiet_tensorflow() -> None:
    """Before its import: errors alone; without a GPU not even those, which only say so."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidia0") else "3")
