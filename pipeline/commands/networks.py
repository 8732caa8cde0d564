"""Verbs on networks."""

from __future__ import annotations

import dataclasses

from absl import flags

from pipeline.cli import UsageError, Verb


def _models(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    import models

    try:
        rows = [_row(models.describe(name)) for name in (words or models.list_models())]
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(f"{'name':<22} {'task':<15} {'parameters':>12} {'MACs':>15} {'input':<12} paper")
    for row in rows:
        size = "x".join(map(str, row["input"]))
        print(
            f"{row['name']:<22} {row['task']:<15} {row['params']:>12,} {row['macs']:>15,} "
            f"{size:<12} {row['paper']} ({row['year']})"
        )
    return rows[0] if len(words) == 1 else {"models": rows}


def _row(info) -> dict:
    row = dataclasses.asdict(info)
    keys = ("name", "task", "params", "macs", "num_classes", "paper", "year")
    return {
        **{key: row[key] for key in keys},
        "input": [*info.preprocess.size, info.preprocess.channels],
    }


VERBS = {
    "models": Verb(
        "list the networks, or describe one",
        "[NAME]",
        ("convoy models", "convoy models ssd300_vgg16 --json"),
        _models,
    ),
}
