"""Write the SavedModel: of a recipe, or of a run that is there, whatever its gate said."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if len(words) != 1 or not pathlib.Path(words[0]).is_dir():
        return recipes.upto("exporter")(words, values, beam)
    arguments.unused(values, ("weights", "dry_run"), "a run is trained already")
    if beam:
        raise UsageError(f"{beam[0]} is not used: a run's records are there already")
    for change in values.set:
        if not change.strip().startswith("export."):
            raise UsageError(f"--set {change}: a run is trained already; expected export.key=value")
    from convoy.pipeline.tools import exported

    run = pathlib.Path(words[0])
    if not exported.is_run(run):
        raise UsageError(f"{run}: expected a recipe file, or a run's folder, which has config.yaml")
    model = exported.of_run(run, values.set, tell=recipes.say)
    print(f"exporter: {model}")
    return {"run_dir": str(run.absolute()), "model": str(model), "pushed": False}


VERB = Verb(
    "write the SavedModel; of a run's folder also where its gate refused",
    "RECIPE|RUN [--set section.key=value]... [--weights imagenet|PATH|URL]",
    (f"convoy export {recipes.VOC} --dry_run", "convoy export runs/birds"),
    _run,
    recipes.define,
    passes_flags=True,
)
