"""Public data sets, fetched on demand into a folder, whole and verified, and kept packed.

A file is written to NAME.part and gets its name only when its hash is right; a cut connection or
Ctrl-C leaves a part that the next run goes on with, where a hash is known to judge the whole by.
The hash of a verified file is kept in .NAME.sha256 with its size and time, so that a second look
is quick. Proxies are taken from the environment (HTTPS_PROXY, NO_PROXY, ...).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator

import requests
import tqdm
import urllib3

from convoy.data.fetch.table import SETS, File, Set
from convoy.data.files.files import SourceError

_BLOCK = 1 << 20
_TIMEOUT_S = (20, 60)  # to connect, between two pieces of data
_ATTEMPTS = 5  # in a row without a byte of progress, at one address
_CUT = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError, OSError)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS)
_SPARE = 64 << 20  # bytes of the disk to leave free


class _NextMirror(Exception):
    """This address does not have the file; the message says why."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fetch(
    name: str,
    folder: str | os.PathLike,
    *,
    offline: bool = False,
    mirror: str = "",
    say: Callable[[str], None] = _say,
    pause_s: float = 1.0,
) -> list[pathlib.Path]:
    """The files of a set of SETS, all there and verified. Raises SourceError, OSError.

    offline: only looks. mirror: address of a folder with the files, instead of the table's.
    pause_s: before the second attempt; doubled for each further one.
    """
    entry = look_up(name)
    folder = pathlib.Path(folder)
    say(f"{name}: {entry.title}. Terms: {entry.terms}")
    if offline:
        absent = [file for file in entry.files if not verified(folder / file.name, file)]
        if absent:
            raise SourceError(_missing(name, folder, absent, entry))
        return [folder / file.name for file in entry.files]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder, say):
        absent = [file for file in entry.files if not verified(folder / file.name, file)]
        if entry.account and not mirror and absent:
            raise SourceError(_missing(name, folder, absent, entry))
        _check_space(folder, absent)
        for file in absent:
            urls = (f"{mirror.rstrip('/')}/{file.name}",) if mirror else file.urls
            advice = ", or name a folder on the web that holds it by --mirror URL"
            _fetch(file, urls, folder / file.name, say, pause_s, advice)
    return [folder / file.name for file in entry.files]


def fetch_file(
    file: File, folder: str | os.PathLike, *, say: Callable[[str], None] = _say, pause_s=1.0
) -> pathlib.Path:
    """One file, there and verified; fetched into `folder` if it is not. Raises as `fetch`."""
    path = pathlib.Path(folder) / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent, say):
        if not verified(path, file):
            _check_space(path.parent, [file])
            _fetch(file, file.urls, path, say, pause_s)
    return path


def look_up(name: str) -> Set:
    """The entry of SETS; "-" and "_" are the same. Raises SourceError."""
    key = name.replace("-", "_").lower()
    if key not in SETS:
        raise SourceError(f"data set {name!r}: expected tfds:NAME or one of {', '.join(SETS)}")
    return SETS[key]


def prepare_tfds(name: str, folder: str | os.PathLike, *, offline: bool = False) -> pathlib.Path:
    """Downloads and prepares a set of TensorFlow Datasets into its own layout below `folder`."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=os.fspath(folder))
    except Exception as error:  # its registry raises kinds of its own
        raise SourceError(f"tfds:{name}: {str(error).splitlines()[0]}") from None
    place = pathlib.Path(os.fspath(builder.data_dir))
    if offline and not (place / "dataset_info.json").is_file():
        raise SourceError(f"tfds:{name}: not prepared in {place}; run without --offline")
    if not offline:
        try:
            builder.download_and_prepare()
        except ImportError as error:  # some of its sets need more than it installs
            message = f"tfds:{name} needs another package: {error}; pip install {error.name}"
            raise SourceError(message) from None
    return place


def verified(path: pathlib.Path, file: File) -> bool:
    """Whether the file is there and its hash right; hashed only if it has changed since."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return False
    if file.size is not None and state.st_size != file.size:
        return False
    note = _note(path)
    with contextlib.suppress(OSError, ValueError):
        digest, size, time_ns, md5 = note.read_text().split()
        if (int(size), int(time_ns)) == (state.st_size, state.st_mtime_ns):
            return _right(file, digest, md5)
    digest, md5 = _hashes(path)
    if not _right(file, digest, md5):
        return False
    _take_note(path, digest, md5)
    return True


def _fetch(
    file: File, urls: tuple[str, ...], path: pathlib.Path, say, pause_s: float, advice: str = ""
) -> None:
    """Fills `path` from the first address that has the right file."""
    if path.exists():
        say(f"{path}: not the file that was expected; fetching it again")
    part = path.with_name(f"{path.name}.part")
    failures = []
    for url in urls:
        for fresh in (not (file.sha256 or file.md5), True):  # once more, if what was resumed failed
            if fresh:
                part.unlink(missing_ok=True)
            resumed = part.exists()
            try:
                _download(file, url, part, say, pause_s)
                digest, md5 = _hashes(part)
                if not _right(file, digest, md5):
                    part.unlink()
                    raise _NextMirror(f"another file than expected: sha256 {digest}")
                if not (file.sha256 or file.md5):
                    say(f"{file.name}: no hash is published; noting sha256 {digest}")
                os.replace(part, path)
                _take_note(path, digest, md5)
                return
            except _NextMirror as error:
                failures.append(f"{url}: {error}")
                say(failures[-1])
                if not resumed:
                    break
    causes = "".join(f"\n  {failure}" for failure in failures)
    raise SourceError(
        f"{file.name}: none of {len(urls)} addresses gave it:{causes}\nGet it elsewhere and put it "
        f"at {path}{advice}"
    )


def _download(file: File, url: str, part: pathlib.Path, say, pause_s: float) -> None:
    """Completes `part`, over cut connections. Raises _NextMirror."""
    idle = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        if file.size is not None and before > file.size:
            part.unlink()
            before = 0
        if before and before == file.size:
            return
        try:
            if _receive(file, url, part, before, say):
                return
            problem = "the connection was cut"
        except _CUT as error:
            ours = isinstance(error, OSError) and (error.filename or error.errno in _DISK)
            if ours:
                raise
            problem = str(error)
        after = part.stat().st_size if part.exists() else 0
        idle = 0 if after > before else idle + 1
        if idle >= _ATTEMPTS:
            raise _NextMirror(problem)
        wait = pause_s * 2**idle
        say(f"{url}: {problem}; at {after:,} bytes, again in {wait:g} s")
        time.sleep(wait)


def _receive(file: File, url: str, part: pathlib.Path, start: int, say) -> bool:
    """Appends what one request brings; whether that completes the file. Raises _NextMirror."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "convoy"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
        if answer.status_code == 416:  # nothing there from our byte on
            part.unlink()
            return False
        if answer.status_code >= 400:
            raise _NextMirror(f"HTTP {answer.status_code} {answer.reason}")
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if answer.status_code == 206:
            first, total = _range(answer.headers.get("Content-Range", ""))
            if first != start:
                part.unlink()
                raise _NextMirror(f"asked for bytes from {start}, got them from {first}")
        else:
            start = 0
        if None not in (file.size, total) and total != file.size:
            part.unlink(missing_ok=True)
            raise _NextMirror(f"has {total:,} bytes, expected {file.size:,}")
        total = file.size or total
        with _opened(part, start) as out, _progress(file.name, start, total, say) as advance:
            while block := answer.raw.read(_BLOCK, decode_content=False):
                out.write(block)
                advance(len(block))
            end = out.tell()
    if total is not None and end > total:
        part.unlink()
        raise _NextMirror(f"sent more than {total:,} bytes")
    return total is None or end == total


def _opened(part: pathlib.Path, start: int):
    out = open(part, "r+b" if start else "wb")  # noqa: SIM115, closed by the caller
    out.seek(start)
    out.truncate()
    return out


def _range(header: str) -> tuple[int | None, int | None]:
    """(first byte, bytes of the whole file) of "bytes 5-9/10"; None for what is not said."""
    span, _, total = header.removeprefix("bytes").strip().partition("/")
    first = span.partition("-")[0]
    return (
        int(first) if first.isdigit() else None,
        int(total) if total.isdigit() else None,
    )


@contextlib.contextmanager
def _progress(name: str, start: int, total: int | None, say) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, else a line every 10 %."""
    if sys.stderr.isatty():
        with tqdm.tqdm(
            desc=name, total=total, initial=start, unit="B", unit_scale=True, unit_divisor=1024
        ) as bar:
            yield bar.update
        return
    done, tenths = start, start * 10 // total if total else 0

    def advance(count: int) -> None:
        nonlocal done, tenths
        done += count
        if total and done * 10 // total > tenths:
            tenths = done * 10 // total
            say(f"{name}: {tenths * 10} % of {total:,} bytes")

    yield advance


def _right(file: File, digest: str, md5: str) -> bool:
    if file.sha256:
        return digest.startswith(file.sha256)
    return md5 == file.md5 if file.md5 else True


def _hashes(path: pathlib.Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def _note(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".{path.name}.sha256")


def _take_note(path: pathlib.Path, digest: str, md5: str) -> None:
    state = path.stat()
    with contextlib.suppress(PermissionError):  # a folder shared read-only
        _note(path).write_text(f"{digest} {state.st_size} {state.st_mtime_ns} {md5}\n")


def _check_space(folder: pathlib.Path, absent: list[File]) -> None:
    needed = sum(file.size or 0 for file in absent)
    for file in absent:
        with contextlib.suppress(FileNotFoundError):
            needed -= min((folder / f"{file.name}.part").stat().st_size, file.size or 0)
    free = shutil.disk_usage(folder).free
    if absent and needed + _SPARE > free:
        raise SourceError(
            f"{folder}: {needed:,} bytes are to be fetched, {free:,} are free; free some, or "
            "choose another folder with -o"
        )


def _missing(name: str, folder: pathlib.Path, absent: list[File], entry: Set) -> str:
    lines = [f"{name}: in {folder} {len(absent)} of {len(entry.files)} files are missing or wrong:"]
    for file in absent:
        size = f"{file.size:,} bytes" if file.size else "size unknown"
        lines.append(f"  {file.name} ({size}) {' or '.join(file.urls)}".rstrip())
    if entry.account:
        lines.append(f"They need an account: {entry.account}, put them into {folder} and run again")
    return "\n".join(lines)


@contextlib.contextmanager
def _locked(folder: pathlib.Path, say) -> Iterator[None]:
    """One process at a time fetches into a folder; others wait, then find the files there."""
    with open(folder / ".fetch.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder}: another process fetches into it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
