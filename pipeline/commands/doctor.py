"""What is wrong with a data set, and a repaired copy of it."""

from __future__ import annotations

import dataclasses

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import Refused, UsageError
from convoy.pipeline.tools.doctor.limits import Limits


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("format", "auto", "As of convoy ingest.", values)
    flags.DEFINE_integer(
        "channels", None, "Of every picture, as data.channels.", flag_values=values
    )
    flags.DEFINE_enum("bits", "8", ["8", "16"], "Kept of each value, as data.bits.", values)
    flags.DEFINE_string("html", None, "File for the page.", values)
    flags.DEFINE_string("fix", None, "Folder for a repaired copy; DIR is not touched.", values)
    for field in dataclasses.fields(Limits):
        define = flags.DEFINE_integer if isinstance(field.default, int) else flags.DEFINE_float
        define(field.name, field.default, field.metadata["help"], flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError(f"expected one folder or archive of a data set, got {words or 'none'}")
    try:
        limits = Limits(**{field.name: values[field.name].value
                           for field in dataclasses.fields(Limits)})  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    from convoy.data.images.wanted import Wanted
    from convoy.pipeline.tools.doctor import examine

    try:
        looks = Wanted(values.channels, int(values.bits))
        result = examine.run(words[0], values.format, limits, values.html, values.fix, looks)
    except Refused as error:
        _show(error.result)
        raise
    _show(result)
    return result


def _show(result: dict) -> None:
    rank = {"refused": 0, "warning": 1}
    for row in sorted(result["checks"], key=lambda row: rank.get(row["verdict"], 2)):
        if row["verdict"] in rank:
            examples = f" (e.g. {row['examples'][0]})" if row["examples"] else ""
            line = f"{row['verdict']:<8} {row['name']}: {row['text']}{examples}"
            print(line.encode("utf-8", "backslashreplace").decode())
    if "error" in result.get("fix", {}):
        print(f"not repaired: {result['fix']['error']}")
    elif "fix" in result:
        print(f"{result['fix']['output']}; what was changed: {result['fix']['changes']}")
    if "html" in result:
        print(result["html"])
    if result["clean"]:
        print("clean: nothing is over its limit")


VERB = Verb(
    "DIR [--html FILE] [--fix OUT] [--max_near 0.02]...",
    (
        "convoy doctor pictures --html doctor.html",
        "convoy doctor VOCdevkit --fix repaired --max_imbalance 500 --json",
    ),
    _run,
    _flags,
)
