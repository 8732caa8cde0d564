"""The words behind a verb: our flags, positional arguments, and options of Apache Beam.

Beam's options follow a bare `--`; those that Beam's own parser knows may stand before it too. Any
other flag that the verb does not have is an error: Beam alone would leave it out without a word.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from absl import flags

from convoy.pipeline import config, hints
from convoy.pipeline.errors import UsageError

CLOSE = 0.75  # share of letters from which on another flag is meant
HERE = ("direct", "switchingdirect", "bundlebaseddirect", "prism", "fnapi")  # all of Beam's own
OURS = ("dry_run", "labels", "network")  # Beam has them too; before `--` they are meant for us


def parse(
    values: flags.FlagValues, words: Sequence[str], beam: bool
) -> tuple[list[str], list[str]]:
    """(positional arguments, options of Beam); sets the flags. Raises UsageError.

    beam: whether the verb has a Beam job; where it has none, what follows `--` is positional.
    """
    words = ["-o" + word[2:] if word.startswith("-o=") else word for word in words]
    own, behind = words, []
    if "--" in words:
        place = words.index("--")
        own, behind = words[:place], words[place + 1 :]
    try:
        remaining = values(["convoy", *own], known_only=True)[1:]
    except flags.Error as error:
        # absl says of a flag of yes and no ('what', 'value'), as Python prints it.
        said = re.sub(r"\('(.*)', '(.*)'\)$", r"\1 \2; expected true or false", str(error))
        raise UsageError(said) from error
    unknown = [word for word in remaining if _is_flag(word)]
    beam_flags = beam_options() if beam and (unknown or behind) else {}
    before = {name: beam_flags[name] for name in beam_flags if name not in OURS}
    for word in unknown:
        _check(word, words, values, before)
    if beam and behind:
        _check_behind(behind, beam_flags)
    positional = [word for word in remaining if not _is_flag(word)]
    return (positional, [*unknown, *behind]) if beam else ([*positional, *behind], [])


def unused(values: flags.FlagValues, names: Sequence[str], why: str) -> None:
    """Raises UsageError for the first of the flags `names` that was given.

    why: what makes it useless, such as "with --input there is no recipe".
    """
    for name in names:
        if values[name].present:
            raise UsageError(f"--{name} is not used: {why}")


# Of Beam's DaskRunner, whose parser is there where dask is; where it is not, the job says so.
DASK = dict.fromkeys(
    (
        "dask_client_address",
        "dask_client_name",
        "dask_connection_limit",
        "dask_connection_timeout",
        "dask_npartitions",
        "dask_partition_size",
        "dask_scheduler_file",
    ),
    True,
)


def beam_options() -> dict[str, bool]:
    """{name: whether it takes a value} of all options that Beam's own parser knows."""
    import argparse

    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)  # what Beam has its users override
    return DASK | {
        text.removeprefix("--"): action.nargs != 0
        for action in parser._actions
        for text in action.option_strings
        if text.startswith("--")
    }


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _split(word: str) -> tuple[str, str | None]:
    """--name=value -> (name, value); None without a value."""
    name, separator, value = word.lstrip("-").partition("=")
    return name, value if separator else None


def _check(
    word: str, words: Sequence[str], values: flags.FlagValues, beam_flags: dict[str, bool]
) -> None:
    """A flag before `--` that is none of ours: Beam's, or an error."""
    name, value = _split(word)
    if name in beam_flags:
        if beam_flags[name] and value is None:
            raise UsageError(f"--{name} is Apache Beam's: expected --{name}=VALUE in one word")
        return
    if value is None:
        following = words[words.index(word) + 1 :][:1]
        value = following[0] if following and not _is_flag(following[0]) else "VALUE"
    key = hints.key_named(config.Recipe, name.replace("-", "_")) if "set" in values else None
    if key is not None:
        raise UsageError(f"unknown flag --{name}; did you mean --set {key}={value}?")
    close = difflib.get_close_matches(name, [*values, *beam_flags], n=1, cutoff=CLOSE)
    if close:
        raise UsageError(f"unknown flag --{name}; did you mean --{close[0]}?")
    listed = ", ".join(f"--{flag}" for flag in sorted(values) if len(flag) > 1)
    raise UsageError(f"unknown flag --{name}; expected one of {listed}")


def _check_behind(behind: Sequence[str], beam_flags: dict[str, bool]) -> None:
    """Options of runners elsewhere cannot be known; those of Beam's own runners can."""
    options = _pairs(behind, beam_flags)
    runner = dict(options).get("runner") or "DirectRunner"
    _check_runner(runner)
    here = _bare(runner) in HERE
    for name, value in options:
        if name in beam_flags or name.startswith("no_"):
            continue
        close = difflib.get_close_matches(name, beam_flags, n=1, cutoff=CLOSE if here else 0.9)
        key = hints.key_named(config.Recipe, name.replace("-", "_")) if here else None
        if key is not None:
            meant = f"; did you mean --set {key}={value or 'VALUE'}, before the --?"
        else:
            meant = f"; did you mean --{close[0]}?" if close else ""
        if here or close:
            raise UsageError(f"--{name} is no option of Apache Beam{meant}")


def _pairs(words: Sequence[str], beam_flags: dict[str, bool]) -> list[tuple[str, str | None]]:
    """(name, value) of each flag, whose value may be the next word."""
    options: list[tuple[str, str | None]] = []
    open_for_value = False
    for word in words:
        if _is_flag(word):
            name, value = _split(word)
            options.append((name, value))
            open_for_value = value is None and beam_flags.get(name, True)
        elif open_for_value:
            options[-1] = (options[-1][0], word)
            open_for_value = False
        else:
            raise UsageError(f"{word!r} behind -- is no option of Apache Beam")
    return options


def _check_runner(runner: str) -> None:
    from apache_beam.options.pipeline_options import StandardOptions

    known = [path.rpartition(".")[2] for path in StandardOptions.ALL_KNOWN_RUNNERS]
    if "." not in runner and _bare(runner) not in map(_bare, [*known, "DaskRunner"]):
        raise UsageError(f"--runner={runner}: expected one of {', '.join(known)}, or a dotted path")


def _bare(runner: str) -> str:
    """Beam takes a runner's name in any case, with and without `Runner`."""
    return runner.lower().removesuffix("runner")
