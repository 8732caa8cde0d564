"""Time networks."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("batch", 20, "Pictures per batch.", lower_bound=1, flag_values=values)
    side = "Input in pixels of names without @SIZE; default: each network's own."
    flags.DEFINE_integer("size", None, side, lower_bound=1, flag_values=values)
    text = "Runs of each; medians are shown."
    flags.DEFINE_integer("rounds", 5, text, lower_bound=1, flag_values=values)
    policies = ["float32", "mixed_bfloat16", "mixed_float16"]
    flags.DEFINE_enum("precision", "float32", policies, "Of arithmetic.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if not words:
        raise UsageError("expected at least one NAME or NAME@SIZE")
    from convoy.pipeline.tools import benchmark

    rows = benchmark.run(
        words,
        batch=values.batch,
        size=values.size,
        rounds=values.rounds,
        precision=values.precision,
    )
    print(benchmark.text(rows))
    failed = [row["error"] for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} networks failed: {failed[0]}")
    return {"benchmark": rows}


VERB = Verb(
    "[--batch N] [--size N] NAME[@SIZE]...",
    (
        "convoy benchmark --batch 20 vgg16 inception_v3@399 resnet200",
        "convoy benchmark --batch 4 --size 64 resnet50_v1 --precision mixed_bfloat16 --json",
    ),
    _run,
    _flags,
)
