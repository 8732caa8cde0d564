"""What takes long and is needed by many requests: made once, in a thread, waited for by pages."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Hashable
from typing import Any


class Working(Exception):
    """It is being made: ask again. The message says what is made."""


class Once:
    """Keeps the `most` values that were asked for last. Threads may share it."""

    def __init__(self, most: int, patience_s: float = 0.4):
        self._most, self._patience_s = most, patience_s
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[Hashable, concurrent.futures.Future] = (
            collections.OrderedDict()
        )
        self._work = threading.Lock()  # one thing is made at a time

    def get(self, key: Hashable, make: Callable[[], Any], told: str) -> Any:
        """The value. Raises Working while it is made, and once what `make` raised."""
        with self._lock:
            if key not in self._made:
                self._made[key] = self._begun(make)
            self._made.move_to_end(key)
            while len(self._made) > self._most and next(iter(self._made)) != key:
                self._made.popitem(last=False)
            future = self._made[key]
        try:
            return future.result(self._patience_s)
        except concurrent.futures.TimeoutError:
            if not future.done():
                raise Working(told) from None
            with self._lock:
                self._made.pop(key, None)
            raise
        except BaseException:
            with self._lock:
                self._made.pop(key, None)
            raise

    def _begun(self, make: Callable[[], Any]) -> concurrent.futures.Future:
        """By a thread that does not keep the server from ending."""
        future: concurrent.futures.Future = concurrent.futures.Future()

        def run() -> None:
            try:
                with self._work:
                    future.set_result(make())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True, name="look").start()
        return future
