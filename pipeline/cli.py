"""The command line: `convoy VERB ...`.

Results go to standard output, logs to standard error. Exit codes: 0 done, 1 failure, 2 wrong usage
or recipe, 3 refused by a gate, 143 stopped by SIGTERM with everything saved (run again to go on),
130 by Ctrl-C.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import json
import sys
import traceback
from collections.abc import Sequence

from absl import app, flags

from convoy.pipeline.commands.verb import Verb, quiet_tensorflow, set_up_logs
from convoy.pipeline.commands.verbs import VERBS, load
from convoy.pipeline.errors import (
    FAILURE,
    INTERRUPTED,
    OK,
    REFUSED,
    STOPPED,
    USAGE,
    UsageError,
    disk_full,
    told,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    words = list(sys.argv if argv is None else argv)[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return OK if words else USAGE
    if words[0] == "--version":
        print(f"convoy {importlib.metadata.version('convoy-vision')}")
        return OK
    name, *rest = words
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"verbs: {', '.join(VERBS)}"
        return _fail(UsageError(f"unknown verb {name!r}; {hint}"), USAGE, "--json" in rest, False)
    verb = load(name)
    values = _flag_values(verb)
    if any(word in ("-h", "--help", "-help") for word in rest):
        print(_help(name, verb, values))
        return OK
    return _run(verb, values, rest)


def _run(verb: Verb, values: flags.FlagValues, rest: list[str]) -> int:
    from convoy.pipeline.commands import arguments  # reads the recipe's keys

    as_json = "--json" in rest
    set_up_logs(-1)  # until the flags say more: Beam, whose options may be asked for, logs much
    try:
        positional, beam = arguments.parse(values, rest, verb.passes_flags)
        set_up_logs(values.verbosity)
        result = verb.run(positional, values, beam)
    except KeyboardInterrupt:
        return _fail(RuntimeError("stopped by Ctrl-C"), INTERRUPTED, as_json, False)
    except Exception as error:
        code = getattr(error, "exit_code", FAILURE)
        return _fail(error, code, as_json, _is_bug(error) or "--verbosity=1" in rest)
    if as_json:
        print(json.dumps(result, default=str), flush=True)
    return OK


def _flag_values(verb: Verb) -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_bool("json", False, "Last line on stdout is one JSON object.", flag_values=values)
    flags.DEFINE_integer("verbosity", -1, "-1 warnings, 0 info, 1 debug.", flag_values=values)
    verb.define(values)
    return values


def _is_bug(error: BaseException) -> bool:
    """Whether people need the traceback: everything but the kinds that we raise with a message."""
    if disk_full(error):
        return False
    return not isinstance(error, (ValueError, OSError, RuntimeError)) or isinstance(
        error, (NotImplementedError, UnicodeError)
    )


def _fail(error: BaseException, code: int, as_json: bool, with_traceback: bool) -> int:
    message = told(error)
    if with_traceback:
        traceback.print_exception(error)
    word = (
        "refused" if code == REFUSED else "stopped" if code in (STOPPED, INTERRUPTED) else "error"
    )
    print(f"convoy: {word}: {message}", file=sys.stderr)
    if as_json:
        result = {"error": message, "exit_code": code, **getattr(error, "result", {})}
        print(json.dumps(result, default=str), flush=True)
    return code


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = ["convoy: convolutional networks from raw pictures to TensorFlow Serving.", ""]
    lines += [f"  convoy {name:<{width}}  {does}" for name, (_, does) in VERBS.items()]
    closing = "convoy VERB --help shows flags and two examples; convoy --version names the release."
    return "\n".join([*lines, "", closing])


def _help(name: str, verb: Verb, values: flags.FlagValues) -> str:
    lines = [f"convoy {name}: {VERBS[name][1]}", "", f"  convoy {name} {verb.usage}", "", "Flags:"]
    for flag in _flags(values):
        none = flag.default is None or flag.default is False or flag.default in ("", [])
        default = "" if none else f" (default {flag.default})"
        lines.append(f"  --{flag.name:<18} {flag.help}{default}")
    lines += ["", "Examples:", *(f"  {example}" for example in verb.examples)]
    if verb.passes_flags:
        lines.append("\nOptions of Apache Beam follow a bare --, e.g. -- --direct_num_workers=2.")
    return "\n".join(lines)


def _flags(values: flags.FlagValues) -> list[flags.Flag]:
    return [values[name] for name in sorted(values) if len(name) > 1]


def entry() -> None:
    """The console script."""
    quiet_tensorflow()
    app.run(lambda argv: main(argv), flags_parser=_take_all)


def _take_all(argv: list[str]) -> list[str]:
    """Verbs parse their own flags; absl's global ones keep their defaults."""
    flags.FLAGS(argv[:1])
    return argv


if __name__ == "__main__":
    entry()
