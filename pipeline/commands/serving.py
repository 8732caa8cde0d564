"""Verbs on pushed models, and the web UI."""

from __future__ import annotations

import os
import pathlib
import sys

from absl import flags

from convoy.pipeline import config, steps
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb, set_up_logs
from convoy.pipeline.errors import Interrupted, UsageError
from convoy.pipeline.tools import guard

LEAST_TILE = 32  # pixels


def _serve_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("port", 8500, "gRPC.", flag_values=values)
    flags.DEFINE_integer("rest_api_port", 8501, "REST.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)
    flags.DEFINE_string("name", None, "Model name; default: the folder's.", flag_values=values)
    flags.DEFINE_string("versions", "latest", "latest, all, or a number.", flag_values=values)


def _serve(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
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
    )
    return {"stopped": True}


def _predict_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", ".", "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_float("score", 0.5, "Draw detections from this score on.", flag_values=values)
    text = "SIZE,OVERLAP in pixels: cut large pictures, put the boxes together."
    flags.DEFINE_string("tiles", None, text, values)
    text = "flip and scales, e.g. flip,1.25: look several times, give one answer."
    flags.DEFINE_list("tta", [], text, values)


def _predict(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) < 2:
        raise UsageError("expected a model folder and at least one picture, or sentence")
    from convoy.pipeline.tools import predict_pictures

    model, *pictures = words
    output = pathlib.Path(values.output)
    seen = {"tiles": _tiles(values.tiles), "tta": _tta(values.tta)}
    rows = predict_pictures.run(model, pictures, output, values.score, tell=print, **seen)
    failed = [row for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} pictures failed: {failed[0]['error']}")
    return {"output": values.output, "predictions": rows}


def _tiles(text: str | None) -> tuple[int, int] | None:
    """Text such as 640,128 -> (640, 128)."""
    if text is None:
        return None
    words = text.split(",")
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(words) != 2 or len(numbers) != 2:
        raise UsageError(f"--tiles: expected SIZE,OVERLAP in pixels such as 640,128, got {text!r}")
    size, overlap = numbers
    if size < LEAST_TILE:
        raise UsageError(f"--tiles {text}: expected a SIZE of at least {LEAST_TILE} pixels")
    if overlap >= size:
        raise UsageError(
            f"--tiles {text}: expected an OVERLAP smaller than the SIZE; about the size of the "
            "objects is best"
        )
    return size, overlap


def _tta(words: list[str]) -> tuple[str | float, ...]:
    from convoy.pipeline.evaluation import views

    try:
        return views.check_words(words)
    except ValueError as error:
        raise UsageError(f"--tta: {error}, got {','.join(words)}") from None


def _ui_flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_integer("port", 3000, "Of the web UI.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)


def _ui(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    job = steps.Job(recipes.load(words, values, beam))
    home = job.run_dir / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    write_bytes(home / "dagster.yaml", b"telemetry:\n  enabled: false\n")
    recipe = home / "recipe.yaml"
    write_bytes(recipe, config.dump(job.recipe).encode())
    command = [sys.executable, "-m", "dagster", "dev", "-m", "convoy.pipeline.definitions"]
    command += ["-h", values.host, "-p", str(values.port)]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "CONVOY_RECIPE": str(recipe)}
    schedule = job.recipe.schedule or "none"
    recipes.say(f"Dagster on http://{values.host}:{values.port}; schedule: {schedule}")
    try:
        with guard.on_sigterm(Interrupted("Dagster was stopped by SIGTERM")):
            code = guard.run(command, environment)
    except KeyboardInterrupt:
        return {"port": values.port}
    if code:
        raise RuntimeError(f"dagster dev ended with {code}; its messages are above")
    return {"port": values.port}


VERBS = {
    "ui": Verb(
        "open Dagster's web UI with the recipe's assets and schedule",
        "RECIPE [--port N]",
        (f"convoy ui {recipes.VOC}", f"convoy ui {recipes.FOLDER} --port 3001"),
        _ui,
        _ui_flags,
    ),
    "serve": Verb(
        "serve pushed models by TF Serving's gRPC and REST protocols",
        "DIR [--port N] [--rest_api_port N]",
        ("convoy serve runs/demo/served", "convoy serve served/digits --port 9500 --versions all"),
        _serve,
        _serve_flags,
    ),
    "predict": Verb(
        "run a pushed model on pictures and draw what it finds; or on sentences",
        "MODEL IMAGE... -o DIR [--tiles SIZE,OVERLAP] [--tta flip,SCALE...] | MODEL TEXT...",
        (
            "convoy predict runs/demo/served/demo street.jpg -o out",
            "convoy predict served/cells/3 slide.png -o out --tiles 640,128 --tta flip --json",
        ),
        _predict,
        _predict_flags,
    ),
}
