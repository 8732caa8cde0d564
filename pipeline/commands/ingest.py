"""Pictures and annotations to records, by a recipe or without one."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError

RECIPE_FLAGS = ("weights", "dry_run")


def _flags(values: flags.FlagValues) -> None:
    recipes.define(values)
    flags.DEFINE_string("input", None, "Folder of a data set, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Folder for the records, with --input.", values)
    flags.DEFINE_string(
        "format", "auto", "Of --input; auto finds it, docs/data.md lists all.", values
    )


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if words:
        why = "a recipe says where the data is and where its records go"
        arguments.unused(values, ("input", "output", "format"), why)
        return recipes.upto("example_gen")(words, values, beam)
    if not values.input or not values.output:
        raise UsageError("expected a recipe file, or --input DIR --output DIR")
    arguments.unused(values, RECIPE_FLAGS, "with --input there is no recipe")
    from convoy.pipeline.manifest import lines
    from convoy.pipeline.tools import ingest_folder

    result = ingest_folder.run(values.input, values.output, values.format, values.set, beam)
    print("\n".join([result["output"], *(f"  {line}" for line in lines(result))]))
    return result


VERB = Verb(
    "RECIPE | --input DIR --output DIR [--format F] [--set ingest.max_rejected=0.1]...",
    (
        f"convoy ingest {recipes.VOC} --set data.path=VOCdevkit -- --direct_num_workers=2",
        "convoy ingest --input pictures --output records --format folder --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
