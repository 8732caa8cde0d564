"""Serve pushed models."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands import json_logs, recipes
from convoy.pipeline.commands.verb import Verb, set_up_logs
from convoy.pipeline.errors import UsageError
from convoy.serving.limits import Limits

DEFAULTS = Limits()
LIMITS = {  # flag: (default, what it says)
    "max_pixels": (DEFAULTS.pixels, "Refuse pictures of more, before they are decoded; 0: none."),
    "max_pictures": (DEFAULTS.pictures, "Refuse requests of more pictures; 0: none."),
    "max_request_mb": (DEFAULTS.request_bytes >> 20, "Refuse larger requests; 0: none."),
    "request_seconds": (DEFAULTS.seconds, "Give up a REST request that takes longer; 0: none."),
    "max_connections": (DEFAULTS.connections, "Refuse more at once, of each protocol; 0: none."),
}


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("port", 8500, "gRPC.", flag_values=values)
    flags.DEFINE_integer("rest_api_port", 8501, "REST.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)
    flags.DEFINE_string("name", None, "Model name; default: the folder's.", flag_values=values)
    flags.DEFINE_string("versions", "latest", "latest, all, or a number.", flag_values=values)
    text = "TensorFlow Serving's model config file, instead of DIR."
    flags.DEFINE_string("model_config_file", None, text, flag_values=values)
    text = "Read the model config file again so often; 0: never."
    name = "model_config_file_poll_wait_seconds"
    flags.DEFINE_float(name, 0, text, lower_bound=0, flag_values=values)
    text = "TensorFlow Serving's file of keys: gRPC is encrypted."
    flags.DEFINE_string("ssl_config_file", None, text, flag_values=values)
    text = "Of the network: auto takes openvino where it agrees and is faster."
    flags.DEFINE_enum("engine", "auto", ["auto", "tensorflow", "openvino"], text,
                      flag_values=values)  # fmt: skip
    text = "Join calls of several clients, by TensorFlow Serving's defaults or the file below."
    flags.DEFINE_bool("enable_batching", False, text, flag_values=values)
    text = "TensorFlow Serving's file: sizes, waiting times, queues. Enables batching."
    flags.DEFINE_string("batching_parameters_file", None, text, flag_values=values)
    text = "text, or json: a line of JSON per event."
    flags.DEFINE_enum("log_format", "text", ["text", "json"], text, flag_values=values)
    for name, (default, text) in LIMITS.items():
        define = flags.DEFINE_float if isinstance(default, float) else flags.DEFINE_integer
        define(name, default, text, lower_bound=0, flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    config = values.model_config_file
    if len(words) != (0 if config else 1):
        raise UsageError("expected one run or model folder, or --model_config_file")
    if config and (values.name or values.versions != "latest"):
        raise UsageError("--name and --versions: the model config file says both; leave them out")
    if values.model_config_file_poll_wait_seconds and not config:
        raise UsageError("--model_config_file_poll_wait_seconds needs --model_config_file")
    from convoy.pipeline.tools import served_folder
    from convoy.serving import server

    set_up_logs(max(values.verbosity, 0))  # which versions come and go is worth a line
    if values.log_format == "json":
        json_logs.set_up()
    given = None if config else served_folder.of(words[0], values.versions, recipes.say)
    server.serve(
        given and given.base,
        name=values.name,
        host=values.host,
        port=values.port,
        rest_api_port=values.rest_api_port,
        versions=given.versions if given else values.versions,
        config_file=config,
        config_poll_s=values.model_config_file_poll_wait_seconds,
        ssl_config_file=values.ssl_config_file,
        engine=values.engine,
        together=_together(values),
        limits=Limits(
            pixels=values.max_pixels,
            pictures=values.max_pictures,
            request_bytes=values.max_request_mb << 20,
            seconds=values.request_seconds,
            connections=values.max_connections,
        ),
    )
    return {"stopped": True}


def _together(values: flags.FlagValues):
    """How calls are joined, None where they are not."""
    from convoy.serving import batching

    if values.batching_parameters_file:
        return batching.read(pathlib.Path(values.batching_parameters_file))
    return batching.Parameters() if values.enable_batching else None


VERB = Verb(
    "RUN|DIR [--port N] [--rest_api_port N]",
    (
        "convoy serve served/digits --port 9500 --versions all",
        "convoy serve --model_config_file models.config",
    ),
    _run,
    _flags,
)
