"""Bytes inside of archives: where they lie, and reading them from there.

Names are taken as relative to the top of the archive, whatever "/" or ".." they begin with; nothing
is ever written where they say. Links to other files of the archive are followed. Of a gzipped file,
each process unpacks one unnamed temporary copy when it first reads from it; so it does of a part of
a packed part.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import io
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
_GZIPPED = (".gz", ".tgz")
_NESTED = (".tar", ".tar.gz", ".tgz")
_DEPTH = 2  # of tars inside tars; ends those that hold themselves
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, NotImplementedError)  # the last by zipfile
_DAMAGE += (EOFError, ValueError, zlib.error, struct.error)
_SPARSE_BYTES = 1 << 30  # of a sparse file, which may claim any size


class SourceError(ValueError):
    """A data set cannot be read as a whole; the message says what was looked for, and where."""


class UnreadableFile(SourceError, OSError):
    """A file of a data set that is there, but cannot be read."""


class Span(NamedTuple):
    """`size` bytes from `offset` of a file; of the unpacked file where it is packed by gzip."""

    path: Where
    offset: int
    size: int
    packed: str = ""  # "", "gzip" (all of path), "deflate" (these bytes), "sparse" (tar member)
    unpacked: int = 0  # bytes after unpacking, of "deflate"


Where = str | Span


def read(where: Where) -> bytes:
    """The bytes. Raises OSError; FileNotFoundError also for what an archive lacks."""
    if isinstance(where, Span):
        return _read_span(where)
    try:
        with open(where, "rb") as file:
            return file.read()
    except NotADirectoryError as error:  # a name "inside" of an archive that it does not hold
        raise FileNotFoundError(error.errno, error.strerror, where) from None
    except ValueError as error:  # NUL or half a surrogate pair: no file can have such a name
        raise FileNotFoundError(2, str(error), where) from None


def needed(where: Where) -> bytes:
    """The bytes of a file that a whole data set depends on.

    Raises FileNotFoundError, or UnreadableFile, which is a SourceError.
    """
    try:
        return read(where)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"{error.strerror}; fetch it again" if error.errno == 5 else error.strerror
        raise UnreadableFile(error.errno, message, name_of(where)) from None


def _read_span(where: Span) -> bytes:
    if where.packed == "sparse":
        if where.size > _SPARSE_BYTES:
            raise OSError(27, f"a sparse file of {where.size:,} bytes", name_of(where))
        with tarfile.TarFile(fileobj=io.BytesIO(read(where.path))) as archive:
            return archive.extractfile(archive.next()).read()
    if where.packed == "gzip" or isinstance(where.path, Span):
        copy = _unpacked(where.path, where.packed)  # held, so that it cannot be closed meanwhile
        return _bytes_at(copy.fileno(), where)
    with open(where.path, "rb", buffering=0) as file:
        data = _bytes_at(file.fileno(), where)
    if where.packed != "deflate":
        return data
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(data, where.unpacked + 1)
    except zlib.error as error:
        raise OSError(5, f"damaged archive: {error}", name_of(where)) from None
    if len(data) != where.unpacked:
        message = f"damaged archive: {where.unpacked:,} bytes expected, unpacked to {len(data):,}"
        raise OSError(5, message, name_of(where))
    return data


def _bytes_at(handle: int, where: Span) -> bytes:
    """Without moving a position, so that threads may share the handle."""
    parts, at, end = [], where.offset, where.offset + where.size
    while at < end:
        part = os.pread(handle, min(end - at, 1 << 30), at) if at < 1 << 62 else b""
        if not part:
            raise OSError(5, f"the file ends {end - at:,} bytes early", name_of(where))
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def size(where: Where) -> int:
    """Bytes as stored; 0 for what does not exist."""
    if isinstance(where, Span):
        return where.size
    try:
        return os.path.getsize(where)
    except (OSError, ValueError):
        return 0


def length(where: Where) -> int:
    """Bytes that `read` returns; 0 for what does not exist."""
    deflated = isinstance(where, Span) and where.packed == "deflate"
    return where.unpacked if deflated else size(where)


def part(where: Where, offset: int, count: int, packed: str = "") -> Span:
    """`count` bytes from `offset` of a file; packed: "gzip" if what it unpacks to is meant.

    Raises OSError for bytes behind the end of a file inside an archive: others follow there.
    """
    if isinstance(where, Span) and not packed and where.packed in ("", "gzip"):
        if offset + count > where.size:
            message = f"it has {where.size:,} bytes, not {offset + count:,}"
            raise OSError(errno.EIO, message, name_of(where))
        return Span(where.path, where.offset + offset, count, where.packed)
    return Span(where, offset, count, packed)


def name_of(where: Where) -> str:
    """For messages: a path, or path@offset."""
    return where if isinstance(where, str) else f"{name_of(where.path)}@{where.offset}"


def is_archive(name: str) -> bool:
    """By extension, in any case; hidden files are not."""
    return name.lower().endswith(ARCHIVES) and not posixpath.basename(name).startswith(".")


def without_ending(name: str) -> str:
    ending = max((e for e in ARCHIVES if name.lower().endswith(e)), key=len)
    return name[: -len(ending)]


def members(path: str) -> Iterator[tuple[str, Where]]:
    try:
        if path.lower().endswith(".zip"):
            yield from _zipped(path)
        elif path.lower().endswith(_GZIPPED):
            yield from _tarred_packed(path, _DEPTH)
        else:
            with open(path, "rb") as file:
                yield from _tarred(path, file, 0, os.path.getsize(path), "", _DEPTH)
    except SourceError:
        raise
    except _DAMAGE as error:
        raise SourceError(f"{path}: damaged archive: {error}; fetch it again") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None


def _tarred_packed(path: Where, depth: int) -> Iterator[tuple[str, Span]]:
    copy = _unpacked(path, "gzip")
    yield from _tarred(path, copy, 0, os.fstat(copy.fileno()).st_size, "gzip", depth)


def _tarred(
    path: Where, file, start: int, end: int, packed: str, depth: int
) -> Iterator[tuple[str, Span]]:
    """Members of the tar in bytes `start` to `end`; those of a tar inside under its name."""
    window = _Window(file.fileno(), start, end)
    archive = tarfile.TarFile(fileobj=window)
    spans: dict[str, Span] = {}
    links = []
    while (member := archive.next()) is not None:
        archive.members.clear()  # they would grow with the archive
        name = _relative(member.name)
        if member.issparse():
            whole = Span(path, start + member.offset, archive.offset - member.offset, packed)
            spans[name] = Span(whole, 0, member.size, "sparse")
        elif member.isfile():
            spans[name] = Span(path, start + member.offset_data, member.size, packed)
        elif member.islnk():
            links.append((name, _relative(member.linkname)))
        elif member.issym():
            links.append((name, _beside(name, member.linkname)))
    window.seek(archive.offset)
    if window.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile ends at a damaged header in silence
        raise tarfile.ReadError(f"no header at byte {start + archive.offset:,}")
    _follow(links, spans)
    for name, span in spans.items():
        if not depth or not name.lower().endswith(_NESTED) or span.packed == "sparse":
            yield name, span
        elif name.lower().endswith(".tar"):
            inner = _tarred(path, file, span.offset, span.offset + span.size, packed, depth - 1)
            yield from ((f"{without_ending(name)}/{n}", s) for n, s in inner)
        else:
            inner = _tarred_packed(span, depth - 1)
            yield from ((f"{without_ending(name)}/{n}", s) for n, s in inner)


class _Window:
    """Bytes `start` to `end` of a file, as a file of its own."""

    def __init__(self, handle: int, start: int, end: int):
        self._handle, self._start, self._end = handle, start, end
        self._at = 0

    def seek(self, position: int) -> int:
        self._at = position
        return position

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        count = max(0, min(count, self._end - self._start - self._at))
        data = os.pread(self._handle, count, self._start + self._at)
        self._at += len(data)
        return data


def _zipped(path: str) -> Iterator[tuple[str, Span]]:
    methods = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "deflate"}
    spans: dict[str, Span] = {}
    links = []
    with zipfile.ZipFile(path) as archive, open(path, "rb", buffering=0) as file:
        for member in archive.infolist():
            name = _relative(_zip_name(member))
            if member.filename.endswith(("/", "\\")) or name.startswith("__MACOSX/"):
                continue
            if member.compress_type not in methods or member.flag_bits & 1:
                raise SourceError(
                    f"{path}: {member.filename} is encrypted or packed in a way other than "
                    "store and deflate; unpack the archive"
                )
            header = os.pread(file.fileno(), 30, member.header_offset)
            if header[:4] != b"PK\3\4":
                raise zipfile.BadZipFile(f"no header of {name} at byte {member.header_offset:,}")
            name_length, extra_length = struct.unpack("<HH", header[26:])  # of the local header
            offset = member.header_offset + 30 + name_length + extra_length
            packed = methods[member.compress_type]
            span = Span(path, offset, member.compress_size, packed, member.file_size)
            if stat.S_ISLNK(member.external_attr >> 16) and member.file_size < 4096:
                links.append((name, _beside(name, read(span).decode("utf-8", "surrogateescape"))))
            else:
                spans[name] = span if packed else span._replace(unpacked=0)
    _follow(links, spans)
    yield from spans.items()


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Some programs write UTF-8 without saying so, and "\\" for "/"."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return name.replace("\\", "/")


def _relative(name: str) -> str:
    """Normal, and below the top of the archive."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _beside(name: str, target: str) -> str:
    return _relative(posixpath.join(posixpath.dirname(name), target))


def _follow(links: list[tuple[str, str]], spans: dict[str, Span]) -> None:
    """Adds the links that lead, maybe by other links, to a file of the archive."""
    targets = dict(links)
    for name in targets:
        target, steps = name, 0
        while target in targets and steps < 40:
            target, steps = targets[target], steps + 1
        if target in spans:
            spans.setdefault(name, spans[target])


_LOCK = threading.RLock()  # a thread that waits here finds the copy made


def _unpacked(path: Where, packed: str):
    """An open, unnamed temporary file: what a gzipped file, or a part of an archive, unpacks to.

    A changed file is unpacked again. Raises OSError.
    """
    outer = path
    while isinstance(outer, Span):
        outer = outer.path
    status = os.stat(outer)
    with _LOCK:
        return _copy(path, packed, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=32)
def _copy(path: Where, packed: str, stamp: tuple[int, int]):
    copy = tempfile.TemporaryFile()  # noqa: SIM115, it stays open for as long as it is used
    with open(path, "rb") if isinstance(path, str) else io.BytesIO(read(path)) as file:
        try:
            source = gzip.GzipFile(fileobj=file) if packed == "gzip" else file
            shutil.copyfileobj(source, copy, 1 << 20)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(5, f"damaged gzip file: {error}", name_of(path)) from None
    copy.flush()
    return copy
