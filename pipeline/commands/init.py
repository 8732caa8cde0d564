"""A recipe for a data set."""

from __future__ import annotations

import shlex

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", "recipe.yaml", "The recipe to write.", values, short_name="o")
    flags.DEFINE_string("format", "auto", "As of data.format; docs/data.md lists all.", values)
    flags.DEFINE_string("task", None, "What to learn; default: what the data shows.", values)
    text = "What the training may take, by the steps that are measured."
    flags.DEFINE_float("hours", 1.0, text, lower_bound=0.0, flag_values=values)
    text = "--nomeasure: batch and epochs by rule alone, without steps of training."
    flags.DEFINE_bool("measure", True, text, flag_values=values)
    flags.DEFINE_bool("yes", False, "Run the recipe, too.", flag_values=values)
    flags.DEFINE_bool("force", False, "Replace a recipe that is there.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError(f"expected the folder or archive of one data set, got {words or 'none'}")
    if not values.measure:
        arguments.unused(values, ("hours",), "with --nomeasure no time is known")
    from convoy.pipeline.tools.init import run

    made = run.run(
        words[0],
        values.output,
        tell=recipes.say,
        format_name=values.format,
        task=values.task,
        hours=values.hours,
        measured=values.measure,
        force=values.force,
    )
    print(f"{made['recipe']}: {made['task']} by {made['network']}, {made['epochs']} epochs of "
          f"batches of {made['batch_size']}; {made['time']}")  # fmt: skip
    if not values.yes:
        print(f"convoy run {shlex.quote(str(made['recipe']))}")
        return made
    return {**made, **recipes.run_to("pusher", made["recipe"])}


VERB = Verb(
    "DATA [-o recipe.yaml] [--task T] [--yes]",
    (
        "convoy init pictures",
        "convoy init VOCdevkit -o voc.yaml --task multilabel --hours 0.5 --yes",
    ),
    _run,
    _flags,
)
