"""Build the embedded data set."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("seed", 0, "Other pictures for another seed.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError("expected one folder to build the devkit in")
    from convoy.data.sources import digits

    digits.build(pathlib.Path(words[0]), seed=values.seed)
    print(words[0])
    return {"path": str(pathlib.Path(words[0]).absolute())}


VERB = Verb(
    "DIR [--seed N]",
    ("convoy digits demo/digits", "convoy digits /tmp/digits --seed 7"),
    _run,
    _flags,
)
