"""Leave out channels that a task does not use."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string("set", [], "section.key=value, for fine-tuning.", flag_values=values)
    flags.DEFINE_string("output", None, "Run folder of the result.", values, short_name="o")
    flags.DEFINE_float("keep", 0.5, "Part of channels that stays.", flag_values=values)
    flags.DEFINE_string("criterion", "activation", "Or weights.", values)
    flags.DEFINE_float("epochs", 5.0, "Of fine-tuning after; 0: none.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1 or not values.output:
        raise UsageError("expected one run or model folder, and -o DIR")
    from convoy.pipeline.tools import prune

    result = prune.run(
        words[0],
        values.output,
        keep=values.keep,
        criterion=values.criterion,
        epochs=values.epochs,
        overrides=values.set,
        tell=recipes.say,
    )
    for row in result["rows"]:
        print(" ".join(f"{name} {value}" for name, value in row.items()))
    print(result["report"])
    return result


VERB = Verb(
    "RUN -o DIR [--keep P] [--criterion activation|weights] [--epochs N]",
    (
        "convoy prune runs/transfer -o runs/small --keep 0.5",
        "convoy prune runs/transfer -o runs/small --criterion weights --epochs 0 --json",
    ),
    _run,
    _flags,
)
