"""Which versions of which models are loaded: TensorFlow Serving's life of a servable.

A model's base path holds numbered folders with a `saved_model.pb`; a poll thread loads what the
policy wants, warms it up, lets calls in, and only then drops what is no longer wanted, once the
calls that run on it have ended. A version that fails to load is reported (END, with the error) and
whatever served before goes on. So it does where the base path itself is gone, or cannot be read;
but a base path that holds no version any more takes the last one out of service.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tensorflow_serving.apis import get_model_status_pb2

from convoy.serving import batching, engines, memory
from convoy.serving.errors import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNKNOWN,
    ServingError,
)
from convoy.serving.servable import Servable, load
from convoy.serving.served import Model, is_version, versions_of

log = logging.getLogger(__name__)

State = get_model_status_pb2.ModelVersionStatus.State


@dataclasses.dataclass
class Version:
    """One numbered folder and what became of it."""

    number: int
    path: pathlib.Path
    stamp: tuple  # of saved_model.pb; a broken version is tried again when this changes
    state: int = State.START
    code: int = 0
    error: str = ""
    servable: Servable | None = None
    running: int = 0  # calls


class Asked(NamedTuple):
    """Which model a call is for: a version by number or by label; neither: the latest."""

    name: str
    number: int | None = None
    label: str = ""


class Manager:
    """Keeps the versions on disk and the versions in memory in step."""

    def __init__(
        self,
        models: Callable[[], Mapping[str, Model]],
        engine: str = "tensorflow",
        together: batching.Parameters | None = None,
    ):
        """models: by name, as they are now; asked at each look at the disk. engine: engines.py.

        together: how calls are joined, None = each runs by itself.
        """
        self._engine, self._together = engine, together
        self._wanted = models
        self._models: dict[str, dict[int, Version]] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        self._bases: dict[str, Model] = {}  # of every model that has been seen
        self._gone: set[str] = set()  # whose base paths are missing, said once
        self._lock = threading.Condition()
        self._polling = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, poll_s: float) -> None:
        """Loads what is there, then looks again every poll_s seconds (0 = never again)."""
        self.poll()
        if poll_s > 0:
            self.every(poll_s, self.poll)

    def every(self, seconds: float, look: Callable[[], None]) -> None:
        """Calls `look` again and again, in a thread of its own, until the end."""
        thread = threading.Thread(target=self._watch, args=(seconds, look), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, seconds: float, look: Callable[[], None]) -> None:
        while not self._stop.wait(seconds):
            try:
                look()
            except Exception:  # whatever it is: the next look may see more
                log.exception("looking for models")

    def poll(self) -> None:
        """One look at the disk: load what the policies select, then drop the rest."""
        with self._polling:
            wanted = {**self._bases, **self._wanted()}
            self._bases = wanted
            for name, model in wanted.items():
                with self._lock:
                    self._labels[name] = model.labels
                try:
                    self._poll_model(name, model)
                except OSError:  # a folder that vanishes while it is read; the next look sees why
                    log.exception("looking for versions of %s", name)

    def reload(self, models: Mapping[str, Model]) -> None:
        """Serves these models from now on, and no others; returns once they are loaded.

        Raises ServingError, and nothing changes, where a base path is missing, or a label would
        move to a version that does not serve; and, with the change made, where a model of the
        list has no version that serves.
        """
        for name, model in models.items():
            if not model.base.is_dir():
                raise ServingError(
                    FAILED_PRECONDITION,
                    f"Could not find base path {model.base} for servable {name}",
                )
        with self._polling:
            self._check_labels(models)
            self._wanted, self._bases = lambda: models, dict(models)
        self.poll()
        with self._polling:
            for name in set(self._models) - set(models):
                self._drop(name)
        idle = sorted(set(models) - set(self.names()))
        if idle:
            raise ServingError(
                UNKNOWN,
                f"{len(idle)} servable(s) did not become available: {', '.join(idle)}; the status "
                "of each says why",
            )

    def _check_labels(self, models: Mapping[str, Model]) -> None:
        for name, model in models.items():
            serving = _serving(self._models.get(name, {}))
            for label, number in model.labels.items():
                moved = self._labels.get(name, {}).get(label, number) != number
                if moved and number not in serving:
                    raise ServingError(
                        FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is "
                        "not currently available for inference",
                    )

    def _poll_model(self, name: str, model: Model) -> None:
        if not model.base.is_dir():
            if name not in self._gone:
                self._gone.add(name)
                log.error("%s: no folder %s; what serves goes on", name, model.base)
            return
        self._gone.discard(name)
        folders = versions_of(model.base)
        with self._lock:
            versions = self._models.setdefault(name, {})
        stamps = {number: _stamp(path) for number, path in folders.items()}
        while pending := _selected(model, versions, stamps) - _serving(versions):
            number = max(pending)
            version = Version(number, folders[number], stamps[number])
            with self._lock:
                versions[number] = version
            self._load(name, version)
        selected = _selected(model, versions, stamps)
        if selected & _serving(versions) or not any(
            is_version(child.name) for child in model.base.iterdir()
        ):
            for number in _serving(versions) - selected:
                self._unload(name, versions[number])
        with self._lock:
            for number in [n for n in versions if n not in folders]:
                if versions[number].state == State.END:
                    del versions[number]

    def _drop(self, name: str) -> None:
        """A model that is no longer served."""
        versions = self._models[name]
        for number in sorted(_serving(versions)):
            self._unload(name, versions[number])
        with self._lock:
            del self._models[name]
            self._labels.pop(name, None)

    def _load(self, name: str, version: Version) -> None:
        started = time.perf_counter()
        self._set(version, State.LOADING)
        try:
            servable = load(version.path)
            replayed = servable.warm_up()
            engines.settle(servable, self._engine)
            if self._together:
                batching.settle(servable, self._together)
        except Exception as error:
            log.error("%s version %d cannot be loaded: %s", name, version.number, error)
            code = error.code if isinstance(error, ServingError) else UNKNOWN
            self._set(version, State.END, code, str(error))
            return
        with self._lock:
            version.servable = servable
            version.state = State.AVAILABLE
        memory.give_back()
        seconds = time.perf_counter() - started
        log.info(
            "%s version %d serves (%.1f s, %d warm-up calls)",
            name,
            version.number,
            seconds,
            replayed,
        )

    def _unload(self, name: str, version: Version) -> None:
        with self._lock:
            version.state = State.UNLOADING
            self._lock.wait_for(lambda: version.running == 0)
            version.servable = None
            version.state = State.END
        memory.give_back()
        log.info("%s version %d unloaded", name, version.number)

    def _set(self, version: Version, state: int, code: int = 0, error: str = "") -> None:
        with self._lock:
            version.state, version.code, version.error = state, code, error

    @contextlib.contextmanager
    def use(self, asked: Asked) -> Iterator[tuple[int, Servable]]:
        """The number and the servable for a call, which keeps it loaded."""
        with self._lock:
            version = self._find(asked)
            version.running += 1
        try:
            yield version.number, version.servable
        finally:
            with self._lock:
                version.running -= 1
                if version.running == 0:
                    self._lock.notify_all()

    def _find(self, asked: Asked) -> Version:
        versions, number = self._models.get(asked.name, {}), self._number(asked)
        if number is None:
            serving = _serving(versions)
            if serving:
                return versions[max(serving)]
            raise ServingError(NOT_FOUND, f"Servable not found for request: Latest({asked.name})")
        version = versions.get(number)
        if version is None or version.state != State.AVAILABLE:
            raise ServingError(
                NOT_FOUND, f"Servable not found for request: Specific({asked.name}, {number})"
            )
        return version

    def _number(self, asked: Asked) -> int | None:
        if not asked.label:
            return asked.number
        number = self._labels.get(asked.name, {}).get(asked.label)
        if number is None:
            raise ServingError(
                INVALID_ARGUMENT, f"Unrecognized servable version label: {asked.label}"
            )
        return number

    def status(self, asked: Asked) -> get_model_status_pb2.GetModelStatusResponse:
        """State of every known version of a model, or of one."""
        response = get_model_status_pb2.GetModelStatusResponse()
        with self._lock:
            name, number = asked.name, self._number(asked)
            versions = self._models.get(name, {})
            if not versions:
                raise ServingError(NOT_FOUND, f"Could not find any versions of model {name}")
            if number is not None and number not in versions:
                raise ServingError(NOT_FOUND, f"Could not find version {number} of model {name}")
            chosen = (
                [versions[number]]
                if number is not None
                else sorted(versions.values(), key=lambda v: -v.number)
            )
            for version in chosen:
                entry = response.model_version_status.add()
                entry.version, entry.state = version.number, version.state
                entry.status.error_code = version.code
                entry.status.error_message = version.error
        return response

    def names(self) -> list[str]:
        """Models with a version that serves."""
        with self._lock:
            return sorted(
                name
                for name, versions in self._models.items()
                if any(v.state == State.AVAILABLE for v in versions.values())
            )


def _selected(model: Model, versions: dict[int, Version], stamps: dict[int, tuple]) -> set[int]:
    """The versions on disk that the policy asks for, without those known to be broken."""
    broken = {n for n, v in versions.items() if v.code and v.stamp == stamps.get(n)}
    return model.policy.of(set(stamps) - broken)


def _serving(versions: dict[int, Version]) -> set[int]:
    return {n for n, version in versions.items() if version.state == State.AVAILABLE}


def _stamp(path: pathlib.Path) -> tuple:
    """Changes when a file of the version does, as while a slow copy is still under way."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
