"""The words behind a verb: our flags, positional arguments, and options of Apache Beam.

Beam's options follow a bare `--`; those that Beam's own parser knows may stand before it too. Any
other flag that the verb does not have is an error: Beam alone would leave it out without a word.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from absl import flags

from convoy.pipeline import config, hints
from convoy.pipeline.errors import UsageError

CLOSE = 0.75  # share of letters from which on another flag is meant
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
        raise UsageError(str(error)) from error
    unknown = [word for word in remaining if _is_flag(word)]
    beam_flags = beam_options() if beam and (unknown or behind) else {}
    before = {name: beam_flags[name] for name in beam_flags if name not in OURS}
    for word in unknown:
        _check(word, words, values, before)
    for word in filter(_is_flag, behind if beam else ()):
        _check_behind(word, beam_flags)
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


def _check_behind(word: str, beam_flags: dict[str, bool]) -> None:
    """Options of other runners cannot be known, but those almost like a known one are slips."""
    name, _ = _split(word)
    close = difflib.get_close_matches(name, beam_flags, n=1, cutoff=0.9)
    if close and name not in beam_flags and not name.startswith("no_"):
        raise UsageError(f"--{name} is no option of Apache Beam; did you mean --{close[0]}?")
