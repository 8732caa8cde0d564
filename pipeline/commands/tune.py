"""Search values of a recipe's keys."""

from __future__ import annotations

import pathlib
import shlex

from absl import flags

from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    text = "section.key=A..B, =A..B:log, or =A,B,C: what it may be; once per key."
    flags.DEFINE_multi_string("try", [], text, flag_values=values)
    flags.DEFINE_integer("trials", 20, "How many in all.", 1, flag_values=values)
    flags.DEFINE_bool("halving", True, "Stop the worse ones early.", flag_values=values)
    flags.DEFINE_string("output", None, "Folder; default: RUN_DIR/tune.", values, short_name="o")


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    recipe = recipes.load(words, values, beam)
    if not values["try"].value:
        raise UsageError("expected --try section.key=values, once per key that is searched")
    from convoy.pipeline import steps
    from convoy.pipeline.tools.tune import search, space

    recipes.check_weights(recipe)
    parsed = space.parse(values["try"].value, recipe)
    folder = pathlib.Path(values.output) if values.output else steps.Job(recipe).run_dir / "tune"
    how = {"trials": values.trials, "halving": values.halving, "tell": recipes.say}
    result = search.run(recipe, parsed, folder, **how)
    print(search.text(result))
    if result["best"]:
        print(f"convoy run {shlex.quote(str(result['recipe']))}")
    return result


VERB = Verb(
    "RECIPE --try section.key=VALUES... [--trials N] [-o DIR]",
    (
        f"convoy tune {recipes.VOC} --try train.learning_rate=1e-4..1e-2:log --trials 12",
        "convoy tune recipe.yaml --try model.name=resnet18,mobilenet_v1 --try model.dropout=0..0.5",
    ),
    _run,
    _flags,
    passes_flags=True,
)
