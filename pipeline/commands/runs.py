"""What was trained, judged and pushed."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import arguments
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    text = "Only what differs between two: RUN, its newest training, or RUN:KEY."
    flags.DEFINE_list("diff", [], text, flag_values=values)

    text = "Instead, remove the artifacts that none of each folder's newest N runs needs."
    flags.DEFINE_integer("clean", None, text, lower_bound=1, flag_values=values)
    flags.DEFINE_bool("dry_run", False, "With --clean: only say what.", flag_values=values)


def _clean(words: list[str], values: flags.FlagValues) -> dict:
    from convoy.pipeline import retention
    from convoy.pipeline.tools import runs

    arguments.unused(values, ("diff",), "with --clean nothing is compared")
    verb = "would remove" if values.dry_run else "removed"
    removed: dict[str, dict[str, int]] = {}
    for store in retention.stores(runs.find(words or ["runs"])):
        found = retention.clean(store, values.clean, plan=values.dry_run)
        removed[str(store)] = found
        for name, size in found.items():
            print(f"{verb} {store / name} ({size / retention.MIB:,.1f} MiB)")
        print(f"{store}: {verb} {retention.summary(found)}")
    return {"removed": {} if values.dry_run else removed, "unneeded": removed}


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if values.clean is not None:
        return _clean(words, values)
    arguments.unused(values, ("dry_run",), "it is of --clean")
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
    "[DIR]... [--diff=RUN,RUN | --clean=N [--dry_run]]",
    ("convoy runs runs/demo --diff=demo:3f2a,demo --json", "convoy runs --clean=5 --dry_run"),
    _run,
    _flags,
)
