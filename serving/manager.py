"""Which versions of which models are loaded: TensorFlow Serving's life of a servable.

A model's base path holds numbered folders with a `saved_model.pb`; a poll thread loads what the
policy wants, warms it up, lets calls in, and only then drops what is no longer wanted, once the
calls that run on it have ended. A version that fails to load is reported (END, with the error) and
whatever served before goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import pathlib
import threading
import time
from collections.abc import Iterator

from tensorflow_serving.apis import get_model_status_pb2

from convoy.serving.errors import NOT_FOUND, ServingError
from convoy.serving.servable import Servable, load

log = logging.getLogger(__name__)

MOST_VERSION = 2**63 - 1  # as TensorFlow Serving has it
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


class Manager:
    """Keeps the versions on disk and the versions in memory in step."""

    def __init__(self, base: pathlib.Path, name: str | None, versions: str = "latest"):
        self.base = pathlib.Path(base)
        self.name = name
        self.policy = check_policy(versions)
        self._models: dict[str, dict[int, Version]] = {}
        self._lock = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, poll_s: float) -> None:
        """Loads what is there, then looks again every poll_s seconds (0 = never again)."""
        self.poll()
        if poll_s > 0:
            self._thread = threading.Thread(target=self._watch, args=(poll_s,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _watch(self, poll_s: float) -> None:
        while not self._stop.wait(poll_s):
            try:
                self.poll()
            except Exception:  # a folder that vanishes while it is read; the next look sees why
                log.exception("looking for versions under %s", self.base)

    def poll(self) -> None:
        """One look at the disk: load what the policy selects, then drop the rest."""
        for name, folders in discover(self.base, self.name).items():
            with self._lock:
                versions = self._models.setdefault(name, {})
            stamps = {number: _stamp(path) for number, path in folders.items()}
            while pending := self._selected(versions, stamps) - _serving(versions):
                number = max(pending)
                version = Version(number, folders[number], stamps[number])
                with self._lock:
                    versions[number] = version
                self._load(name, version)
            selected = self._selected(versions, stamps)
            if selected & _serving(versions):
                for number in _serving(versions) - selected:
                    self._unload(name, versions[number])
            with self._lock:
                for number in [n for n in versions if n not in folders]:
                    if versions[number].state == State.END:
                        del versions[number]

    def _selected(self, versions: dict[int, Version], stamps: dict[int, tuple]) -> set[int]:
        """The versions on disk that the policy asks for, without those known to be broken."""
        broken = {n for n, v in versions.items() if v.code and v.stamp == stamps.get(n)}
        sound = set(stamps) - broken
        if self.policy == "all":
            return sound
        if self.policy == "latest":
            return {max(sound)} if sound else set()
        return sound & {int(self.policy)}

    def _load(self, name: str, version: Version) -> None:
        started = time.perf_counter()
        self._set(version, State.LOADING)
        try:
            servable = load(version.path)
            replayed = servable.warm_up()
        except Exception as error:
            log.error("%s version %d cannot be loaded: %s", name, version.number, error)
            code = error.code if isinstance(error, ServingError) else 2
            self._set(version, State.END, code or 2, str(error))
            return
        with self._lock:
            version.servable = servable
            version.state = State.AVAILABLE
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
        gc.collect()
        log.info("%s version %d unloaded", name, version.number)

    def _set(self, version: Version, state: int, code: int = 0, error: str = "") -> None:
        with self._lock:
            version.state, version.code, version.error = state, code, error

    @contextlib.contextmanager
    def use(self, name: str, number: int | None = None) -> Iterator[tuple[int, Servable]]:
        """The servable for a call, which keeps it loaded; number None = the latest that serves."""
        with self._lock:
            version = self._find(name, number)
            version.running += 1
        try:
            yield version.number, version.servable
        finally:
            with self._lock:
                version.running -= 1
                if version.running == 0:
                    self._lock.notify_all()

    def _find(self, name: str, number: int | None) -> Version:
        versions = self._models.get(name, {})
        if number is None:
            serving = [n for n, v in versions.items() if v.state == State.AVAILABLE]
            if serving:
                return versions[max(serving)]
            raise ServingError(NOT_FOUND, f"Servable not found for request: Latest({name})")
        version = versions.get(number)
        if version is None or version.state != State.AVAILABLE:
            raise ServingError(
                NOT_FOUND, f"Servable not found for request: Specific({name}, {number})"
            )
        return version

    def status(
        self, name: str, number: int | None = None
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """State of every known version of a model, or of one."""
        response = get_model_status_pb2.GetModelStatusResponse()
        with self._lock:
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


def discover(base: pathlib.Path, name: str | None) -> dict[str, dict[int, pathlib.Path]]:
    """{model: {version: folder}} under a base path or a folder of base paths.

    name: the model's name; None = the folder's own. A folder without saved_model.pb or whose name
    is not a whole number is no version (yet).
    """
    single = versions_of(base)
    if single or name:
        return {name or base.name: single}
    if not base.is_dir():
        return {}
    models = {child.name: versions_of(child) for child in sorted(base.iterdir()) if child.is_dir()}
    return {child: versions for child, versions in models.items() if versions}


def versions_of(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """The complete versions of a model base path, by number; one beyond 64 bits is none."""
    if not base.is_dir():
        return {}
    return {
        int(child.name): child
        for child in base.iterdir()
        if child.name.isascii()
        and child.name.isdigit()
        and int(child.name) <= MOST_VERSION
        and (child / "saved_model.pb").is_file()
    }


def check_policy(versions: str) -> str:
    """The version policy: "latest", "all", or one number."""
    text = str(versions)
    if text not in ("latest", "all") and not text.isdigit():
        raise ValueError(f"--versions: expected latest, all or a number, got {versions!r}")
    return text


def _serving(versions: dict[int, Version]) -> set[int]:
    return {n for n, version in versions.items() if version.state == State.AVAILABLE}


def _stamp(path: pathlib.Path) -> tuple:
    """Changes when a file of the version does, as while a slow copy is still under way."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
