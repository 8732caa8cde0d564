"""Look at what a model gets most wrong."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", None, "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_integer("count", 12, "Pictures of each kind.", 1, flag_values=values)
    flags.DEFINE_string("kind", None, "One kind of error alone; default: each.", values)
    text = "Answers count from this score on; default: as the evaluation found best."
    flags.DEFINE_float("score", None, text, 0.0, 1.0, flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1 or not values.output:
        raise UsageError("expected a run that was evaluated, and -o DIR")
    from convoy.pipeline.tools import worst

    return worst.run(
        pathlib.Path(words[0]),
        pathlib.Path(values.output),
        count=values.count,
        kind=values.kind,
        score=values.score,
        tell=print,
        note=recipes.say,
    )


VERB = Verb(
    "RUN -o DIR [--kind KIND] [--count N] [--score S]",
    ("convoy worst runs/birds -o worst", "convoy worst runs/birds -o missed --kind missed"),
    _run,
    _flags,
)
