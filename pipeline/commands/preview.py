"""Draw the batches that the loss will see."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.models import tasks
from convoy.pipeline import steps
from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_string("output", None, "Folder for the pictures.", values, short_name="o")
    flags.DEFINE_integer("batches", 3, "How many to draw.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if not values.output:
        raise UsageError("expected a recipe file and -o DIR")
    recipe = recipes.load(words, values, beam)
    if tasks.row(recipe.task).request != "image":
        raise UsageError(f"preview: draws batches of pictures, the recipe's task is {recipe.task}")
    job = steps.Job(recipe, tell=recipes.say)
    steps.run(job, "example_gen")
    from convoy.pipeline.tools import preview

    records = job.done["example_gen"].path
    result = preview.run(recipe, records, pathlib.Path(values.output), values.batches)
    for path in result["pictures"]:
        print(path)
    return result


VERB = Verb(
    "RECIPE -o DIR [--batches N]",
    (
        f"convoy preview {recipes.VOC} -o preview --set data.path=VOCdevkit",
        f"convoy preview {recipes.FOLDER} -o preview --set augment=slides --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
