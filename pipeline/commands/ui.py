"""Open Dagster's web UI on a recipe."""

from __future__ import annotations

import os
import sys

from absl import flags

from convoy.pipeline import config, steps
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import Interrupted
from convoy.pipeline.tools import guard


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_integer("port", 3000, "Of the web UI.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
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


VERB = Verb(
    "RECIPE [--port N]",
    (f"convoy ui {recipes.VOC}", f"convoy ui {recipes.FOLDER} --port 3001"),
    _run,
    _flags,
)
