"""Hooks: what a recipe has called with the result of a run, as JSON.

on_push      where another model is served than before: a new version, an older one that returned,
             a rollback
on_failure   where the run ended with 1, 2 or 3 (failure, wrong recipe, refused); not where someone
             stopped it (130, 143), and not where the process was killed, which nobody can tell

A hook is a command, which gets the JSON on its standard input and whose output is told on standard
error, or an https:// (or http://) address, to which it is posted. It has TIMEOUT_S seconds. One
that fails is told and changes nothing: the run's result and exit code are its own.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import urllib.parse
from collections.abc import Callable

from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import INTERRUPTED, STOPPED, told

TIMEOUT_S = 60.0
SHOWN = 2000  # characters of a command's output


def pushed(recipe: Recipe, result: dict, tell: Callable[[str], None]) -> None:
    """After a run that ended well; calls on_push where the served model changed."""
    changed = result.get("new") or result.get("returned_from") or "withdrawn" in result
    if recipe.on_push and changed:
        _call("on_push", recipe.on_push, {"name": recipe.name, "exit_code": 0, **result}, tell)


def failed(recipe: Recipe, error: BaseException, code: int, tell: Callable[[str], None]) -> None:
    """After a run that ended with an exit code other than 0."""
    if not recipe.on_failure or code in (INTERRUPTED, STOPPED):
        return
    about = {"error": told(error), "exit_code": code}
    own = getattr(error, "result", {})
    _call("on_failure", recipe.on_failure, {"name": recipe.name, **about, **own}, tell)


def _call(key: str, hook: str, result: dict, tell: Callable[[str], None]) -> None:
    content = json.dumps(result, default=str).encode()
    try:
        if hook.startswith(("https://", "http://")):
            _post(hook, content)
        else:
            _command(hook, content, lambda text: tell(f"{key}: {text}"))
    except Exception as error:  # whatever it is, the run's result stands
        place = urllib.parse.urlsplit(hook).hostname if "://" in hook else shlex.split(hook)[0]
        tell(f"{key}: {place} failed, which changes nothing of the run: {error}")


def _post(address: str, content: bytes) -> None:
    import requests

    headers = {"Content-Type": "application/json"}
    # Streamed: the answer's body is not waited for.
    options = {"timeout": TIMEOUT_S, "allow_redirects": False, "stream": True}
    try:
        answer = requests.post(address, data=content, headers=headers, **options)
        answer.close()
    except requests.RequestException as error:  # whose text has the address, which may be a secret
        raise OSError(f"{type(error).__name__}: no answer") from None
    if not answer.ok or answer.is_redirect:
        raise OSError(f"it answered {answer.status_code} {answer.reason}")


def _command(line: str, content: bytes, tell: Callable[[str], None]) -> None:
    """Without a shell, in a process group of its own, so that all of it can be ended."""
    process = subprocess.Popen(
        shlex.split(line),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(content, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"it did not end within {TIMEOUT_S:g} s, and was ended") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if text := said.decode(errors="replace").strip():
        tell(text[-SHOWN:])
    if process.returncode:
        raise RuntimeError(f"it ended with {process.returncode}")
