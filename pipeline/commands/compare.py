"""Modes of transfer learning side by side."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_list("modes", "extract,fine_tune,scratch", "Which, in this order.", values)


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    from convoy.pipeline.tools import compare

    wrong = [mode for mode in values.modes if mode not in compare.MODES]
    if wrong or not values.modes:
        raise UsageError(f"--modes: expected some of {', '.join(compare.MODES)}, got {wrong}")
    recipe = recipes.load(words, values, beam)
    recipes.check_weights(recipe)
    result = compare.run(recipe, values.modes, recipes.say)
    for row in result["rows"]:
        print(" ".join(f"{name} {value}" for name, value in row.items()))
    print(result["report"])
    return result


VERB = Verb(
    "RECIPE [--modes extract,fine_tune,scratch] [--weights imagenet|PATH|URL]",
    (
        "convoy compare configs/transfer.yaml --set data.path=pictures --weights imagenet",
        "convoy compare configs/transfer.yaml --modes extract,scratch --set train.epochs=5 --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
