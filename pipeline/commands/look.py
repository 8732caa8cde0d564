"""Look at data, results, runs and a model in a browser."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands.verb import Verb, set_up_logs
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    text = "0: any that is free."
    flags.DEFINE_integer("port", 8600, text, 0, 65535, flag_values=values)
    text = "Address to listen on; another than this machine's own asks for a token."
    flags.DEFINE_string("host", "127.0.0.1", text, flag_values=values)
    text = "HOST:PORT/NAME of a model server's REST side, asked in place of the folder's model."
    flags.DEFINE_string("server", "", text, flag_values=values)
    flags.DEFINE_bool("open", False, "Open it in this machine's browser.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) > 1:
        raise UsageError(f"expected one folder: a run, runs, records or a model; got {words}")
    if values.server and not values.server.partition("/")[2]:
        raise UsageError(f"--server: expected HOST:PORT/NAME, got {values.server!r}")
    from convoy.pipeline.look import listening

    set_up_logs(values.verbosity)
    return listening.serve(
        words[0] if words else "runs", values.host, values.port, values.server, values.open
    )


VERB = Verb(
    "[RUN|RUNS|RECORDS|MODEL] [--port N]",
    ("convoy look runs/birds", "convoy look records --port 8700 --open"),
    _run,
    _flags,
)
