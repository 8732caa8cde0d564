"""Check records, by a recipe or without one."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    recipes.define(values)
    flags.DEFINE_string("records", None, "Folder of records, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Run folder, with --records.", values, short_name="o")


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if words:
        arguments.unused(values, ("records", "output"), "a recipe says where its records are")
        return recipes.upto("example_validator")(words, values, beam)
    if not values.records or not values.output:
        raise UsageError("expected a recipe file, or --records DIR --output DIR")
    arguments.unused(values, ("dry_run", "weights"), "with --records nothing is trained")
    from convoy.pipeline.tools import validate_records

    result = validate_records.run(values.records, values.output, values.set, beam, recipes.say)
    print(result["validation"]["summary"])
    print(result["validation"]["report"])
    return result


VERB = Verb(
    "RECIPE | --records DIR --output DIR",
    (
        f"convoy validate {recipes.VOC} --set data.path=VOCdevkit --set validate.max_empty=0.5",
        "convoy validate --records records -o checked --set data.train=trainval --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
