"""What was trained, judged and pushed."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    text = "Only what differs between two: RUN, its newest training, or RUN:KEY."
    flags.DEFINE_list("diff", [], text, flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(values.diff) not in (0, 2):
        raise UsageError(f"--diff: expected two, as in --diff=A,B, got {len(values.diff)}")
    from convoy.pipeline.tools import runs

    found = [row for run in runs.find(words or ["runs"]) for row in runs.rows(run)]
    if not values.diff:
        print(runs.table(found))
        return {"runs": found}
    one, other = (runs.chosen(word, found) for word in values.diff)
    differs = runs.difference(one, other)
    for name, (first, second) in differs.items():
        print(f"{name}: {first} -> {second}")
    if not differs:
        print("no difference")
    return {"of": [one, other], "differs": differs}


VERB = Verb(
    "list trainings: data, metrics, what was pushed or refused and why",
    "[DIR]... [--diff=RUN,RUN]",
    ("convoy runs", "convoy runs runs/demo --diff=demo:3f2a,demo --json"),
    _run,
    _flags,
)
