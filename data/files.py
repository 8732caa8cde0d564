"""Files of a data set wherever they lie: in a folder, or in a .tar or .zip, or in several of them.

A `Tree` lists names once; a file is then addressed by its path, or by the `Span` of bytes that
holds it, so that a worker reads one picture out of a 150 GB archive without opening the rest. Tars
inside a tar are listed as folders of their name (ILSVRC2012_img_train.tar). Of a gzipped file, each
process unpacks one unnamed temporary copy when it first reads from it.
"""

from __future__ import annotations

import functools
import gzip
import os
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

PICTURES = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
_GZIPPED = (".gz", ".tgz")


class SourceError(ValueError):
    """A data set cannot be read as a whole; the message says what was looked for, and where."""


class Span(NamedTuple):
    """`size` bytes from `offset` of a file; of the unpacked file where it is packed by gzip."""

    path: str
    offset: int
    size: int
    packed: str = ""  # "", "gzip" (the whole file), "deflate" (these bytes, as in a .zip)


Where = str | Span


def is_picture(name: str) -> bool:
    """By extension, in any case; hidden files are not."""
    base = name.rpartition("/")[2]
    return base.lower().endswith(PICTURES) and not base.startswith(".")


def read(where: Where) -> bytes:
    """The bytes. Raises OSError; FileNotFoundError also for what an archive lacks."""
    if isinstance(where, str):
        try:
            with open(where, "rb") as file:
                return file.read()
        except NotADirectoryError as error:  # a name "inside" of an archive that it does not hold
            raise FileNotFoundError(error.errno, error.strerror, where) from None
    if where.packed == "gzip":
        return os.pread(_unpacked(where.path).fileno(), where.size, where.offset)
    with open(where.path, "rb", buffering=0) as file:
        file.seek(where.offset)
        data = file.read(where.size)
    if where.packed == "deflate":
        try:
            return zlib.decompress(data, -zlib.MAX_WBITS)
        except zlib.error as error:
            raise OSError(0, f"damaged archive: {error}", where.path) from None
    return data


def size(where: Where) -> int:
    """Bytes as stored; 0 for what does not exist."""
    if isinstance(where, Span):
        return where.size
    try:
        return os.path.getsize(where)
    except OSError:
        return 0


def name_of(where: Where) -> str:
    """For messages: a path, or path@offset."""
    return where if isinstance(where, str) else f"{where.path}@{where.offset}"


class Tree:
    """The files below a folder or in an archive: POSIX names relative to `root`, sorted.

    A folder without any picture but with archives at its top is read as if they were unpacked
    there, which is how VOC, COCO and ImageNet are downloaded.
    """

    def __init__(self, root: str | os.PathLike):
        """Raises SourceError."""
        self.root = os.path.normpath(os.fspath(root))
        if os.path.isdir(self.root):
            found = dict(_walk(self.root, self.root, set()))
            archives = [name for name in sorted(found) if _is_archive(name) and "/" not in name]
            if archives and not any(map(is_picture, found)):
                for name in archives:
                    path = os.path.join(self.root, name)
                    found = {**dict(_members(path)), **found}
        elif os.path.isfile(self.root) and _is_archive(self.root):
            found = dict(_members(self.root))
        elif os.path.isfile(self.root):
            found = {os.path.basename(self.root): self.root}
        else:
            raise SourceError(f"{self.root}: no such file or folder")
        self._found: dict[str, Where] = found
        self.names: list[str] = sorted(found)

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def where(self, name: str) -> Where:
        """Where a file lies, or would lie: reading that fails as for any missing file."""
        return self._found.get(name) or os.path.join(self.root, *name.split("/"))

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises OSError."""
        return read(self.where(name))

    def under(self, folder: str) -> list[str]:
        """Names below a folder, itself not included; "" is the top."""
        prefix = f"{folder}/" if folder else ""
        return [name for name in self.names if name.startswith(prefix)]

    def folders(self, folder: str = "") -> list[str]:
        """Names, without their path, of the folders directly inside a folder; hidden ones left
        out."""
        prefix = f"{folder}/" if folder else ""
        inside = (name[len(prefix) :] for name in self.under(folder))
        found = {rest.partition("/")[0] for rest in inside if "/" in rest}
        return sorted(name for name in found if not name.startswith("."))


def tree(path: str | os.PathLike | Tree) -> Tree:
    """The Tree of a path; a Tree is passed through."""
    return path if isinstance(path, Tree) else Tree(path)


def _is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def _walk(folder: str, root: str, seen: set[str]) -> Iterator[tuple[str, Where]]:
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path, root, seen | {real})
            else:
                yield os.path.relpath(entry.path, root).replace(os.sep, "/"), entry.path


def _members(path: str) -> Iterator[tuple[str, Where]]:
    try:
        if path.lower().endswith(".zip"):
            yield from _zipped(path)
        elif path.lower().endswith(_GZIPPED):
            copy = _unpacked(path)
            for name, span in _tarred(path, os.fdopen(os.dup(copy.fileno()), "rb"), 0):
                yield name, span._replace(packed="gzip")
        else:
            yield from _tarred(path, os.fdopen(os.open(path, os.O_RDONLY), "rb"), 0)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, struct.error) as error:
        raise SourceError(f"{path}: damaged archive: {error}; fetch it again") from None


def _tarred(path: str, file, start: int, end: int | None = None) -> Iterator[tuple[str, Span]]:
    """Members of the tar that begins at byte `start`; those of a tar inside under its name."""
    with file:
        file.seek(start)
        archive = tarfile.TarFile(fileobj=file) if end is None else None
        if archive is None:
            archive = tarfile.TarFile(fileobj=_Window(file, start, end))
        inner = []
        for member in archive:
            if not member.isfile():
                continue
            name = os.path.normpath(member.name).replace(os.sep, "/")
            offset = start + member.offset_data
            if name.lower().endswith(".tar"):
                inner.append((name[: -len(".tar")], offset, member.size))
            else:
                yield name, Span(path, offset, member.size)
        for name, offset, length in inner:
            nested = os.fdopen(os.dup(file.fileno()), "rb")
            for below, span in _tarred(path, nested, offset, offset + length):
                yield f"{name}/{below}", span


class _Window:
    """Bytes `start` to `end` of a file, as a file of its own."""

    def __init__(self, file, start: int, end: int):
        self._file, self._start, self._end = file, start, end
        self._at = 0

    def seek(self, position: int) -> int:
        self._at = position
        return position

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        count = max(0, min(count, self._end - self._start - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        self._at += len(data)
        return data


def _zipped(path: str) -> Iterator[tuple[str, Span]]:
    methods = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "deflate"}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for member in archive.infolist():
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            if member.compress_type not in methods or member.flag_bits & 1:
                raise SourceError(
                    f"{path}: {member.filename} is encrypted or packed in a way other than "
                    "store and deflate; unpack the archive"
                )
            file.seek(member.header_offset + 26)  # lengths of the local name and extra field
            name_length, extra_length = struct.unpack("<HH", file.read(4))
            offset = member.header_offset + 30 + name_length + extra_length
            name = os.path.normpath(member.filename).replace(os.sep, "/")
            yield name, Span(path, offset, member.compress_size, methods[member.compress_type])


@functools.lru_cache(maxsize=4)
def _unpacked(path: str):
    """An open, unnamed temporary file with the unpacked content of a gzipped one."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115, it stays open for as long as the process
    try:
        with gzip.open(path, "rb") as packed:
            shutil.copyfileobj(packed, copy, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(0, f"damaged gzip file: {error}", path) from None
    copy.flush()
    return copy
