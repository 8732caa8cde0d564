"""Serve pushed models."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands.verb import Verb, set_up_logs
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("port", 8500, "gRPC.", flag_values=values)
    flags.DEFINE_integer("rest_api_port", 8501, "REST.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)
    flags.DEFINE_string("name", None, "Model name; default: the folder's.", flag_values=values)
    text = "Refuse pictures of more, before they are decoded; 0: none."
    flags.DEFINE_integer("max_pixels", 100_000_000, text, flag_values=values)
    flags.DEFINE_string("versions", "latest", "latest, all, or a number.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError("expected one model folder")
    from convoy.serving import server

    set_up_logs(max(values.verbosity, 0))  # which versions come and go is worth a line
    server.serve(
        words[0],
        name=values.name,
        host=values.host,
        port=values.port,
        rest_api_port=values.rest_api_port,
        versions=values.versions,
        max_pixels=values.max_pixels,
    )
    return {"stopped": True}


VERB = Verb(
    "serve pushed models by TF Serving's gRPC and REST protocols",
    "DIR [--port N] [--rest_api_port N]",
    ("convoy serve runs/demo/served", "convoy serve served/digits --port 9500 --versions all"),
    _run,
    _flags,
)
