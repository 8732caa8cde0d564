"""One of many trainings in a process of its own, so that one that fails leaves the others going.

    made = own_process.call("convoy.pipeline.tools.grid", arguments, folder / "row.json")

runs that module's `__main__`, which hands what it makes to `answer`: the row comes back by its
file. What goes wrong is the row {"error": why}.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from convoy.pipeline.artifacts import write_json
from convoy.pipeline.errors import STOPPED, Interrupted
from convoy.pipeline.tools import guard

GRACE_S = 120.0  # for a training that is stopped to save what it has


def call(module: str, arguments: Mapping[str, Any], row: pathlib.Path) -> dict:
    """What the module's process makes of the arguments (JSON), or {"error"}. Raises Interrupted."""
    row.parent.mkdir(parents=True, exist_ok=True)
    row.unlink(missing_ok=True)
    given = json.dumps({**arguments, "row": str(row)})
    with guard.on_sigterm(Interrupted("stopped by SIGTERM; run the same again to go on")):
        code = guard.run([sys.executable, "-m", module, given], os.environ, GRACE_S)
    if code == STOPPED:
        raise Interrupted("stopped; everything is saved, run the same again to go on")
    if not row.exists():
        return {"error": f"its process ended with {code}; was there enough memory? See above"}
    return json.loads(row.read_text())


def answer(make: Callable[..., dict]) -> int:
    """In that process: writes make(**arguments), `tell` among them, as the row; the exit code."""
    from convoy.pipeline.commands.verb import quiet_tensorflow, set_up_logs

    quiet_tensorflow()
    set_up_logs(-1)
    arguments = json.loads(sys.argv[1])
    row = pathlib.Path(arguments.pop("row"))

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        made = make(**arguments, tell=tell)
    except Interrupted as error:
        tell(str(error))
        return STOPPED
    except Exception as error:  # whatever it is, the others are made
        if not isinstance(error, (ValueError, OSError)):
            traceback.print_exception(error)
        made = {"error": " ".join((str(error) or type(error).__name__).split())}
    write_json(row, made)
    return 0
