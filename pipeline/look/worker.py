"""A process beside the server that has TensorFlow: it answers pictures and augments them.

So the page's server stays small, and a model that does not answer is stopped without it. One
question at a time; a second viewer waits for the first.
"""

from __future__ import annotations

import multiprocessing
import threading
from typing import Any, NamedTuple

from convoy.pipeline.look import work

ANSWER_S = 60.0  # for an answer
LOAD_S = 180.0  # more for the first question: TensorFlow and the model are loaded


class Ask(NamedTuple):
    """A question: a name of work.KINDS, and what its function takes."""

    kind: str
    values: tuple


class NoAnswer(RuntimeError):
    """The model failed, or did not answer in time."""


class Worker:
    """Threads may share it. The process is started by the first question."""

    def __init__(self, answer_s: float = ANSWER_S, load_s: float = LOAD_S):
        self._answer_s, self._load_s = answer_s, load_s
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Any = None
        self._asked: set[tuple] = set()  # what was loaded for

    def ask(self, question: Ask) -> dict:
        """The answer. Raises NoAnswer."""
        if not self._lock.acquire(timeout=self._answer_s):
            raise NoAnswer("the model still answers somebody else: try again in a moment")
        try:
            return self._ask(question)
        finally:
            self._lock.release()

    def _ask(self, question: Ask) -> dict:
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=work.serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            self._asked.clear()
        loaded = question.kind, question.values[0]
        limit = self._answer_s + (0 if loaded in self._asked else self._load_s)
        try:
            self._pipe.send(question)
            if not self._pipe.poll(limit):
                self._stop()
                raise NoAnswer(
                    f"no answer within {limit:g} s: it was stopped, and is loaded again when it is "
                    "asked again"
                )
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._stop()
            raise NoAnswer(
                f"the process that answers ended ({type(error).__name__}), perhaps for lack of "
                "memory; it is started again when it is asked again"
            ) from None
        if "error" in answer:
            raise NoAnswer(answer["error"])
        self._asked.add(loaded)
        return answer

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None
