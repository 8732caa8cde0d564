"""TFRecord files without TensorFlow: length, its checksum, bytes, their checksum.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from convoy.data.files.files import Span

OVERHEAD = 16  # bytes per record


class CorruptRecord(ValueError):
    """A TFRecord file is damaged; the message names the file and the byte."""


def write(file: BinaryIO, record: bytes) -> None:
    """Appends one record."""
    length = struct.pack("<Q", len(record))
    file.write(length + _checksum(length))
    file.write(record)
    file.write(_checksum(record))


def read(path: str | os.PathLike) -> Iterator[bytes]:
    """Yields the records of a file. Raises CorruptRecord."""
    with open(path, "rb") as file:
        position = 0
        while head := file.read(12):
            if len(head) < 12 or head[8:] != _checksum(head[:8]):
                raise CorruptRecord(f"{path}: byte {position}: not the start of a TFRecord")
            (length,) = struct.unpack("<Q", head[:8])
            record, tail = file.read(length), file.read(4)
            if len(record) != length or len(tail) != 4:
                raise CorruptRecord(
                    f"{path}: byte {position}: expected a record of {length} bytes, "
                    f"the file ends after {len(record)}; write it again"
                )
            if tail != _checksum(record):
                raise CorruptRecord(
                    f"{path}: byte {position}: the checksum of a record of {length} bytes "
                    "does not match; write the file again"
                )
            yield record
            position += length + OVERHEAD


def index(path: str | os.PathLike, start: int = 0, size: int | None = None) -> Iterator[Span]:
    """Where each record of a file lies, with the checksum after it, which `checked` looks at.

    Reads lengths alone. `start`, `size`: bytes of the file that are the TFRecord file, in a tar.
    Raises CorruptRecord.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        end = start + size if size is not None else os.fstat(file.fileno()).st_size
        position = start
        while position < end:
            file.seek(position)
            head = file.read(12)
            if len(head) < 12 or head[8:] != _checksum(head[:8]):
                raise CorruptRecord(f"{path}: byte {position}: not the start of a TFRecord")
            (length,) = struct.unpack("<Q", head[:8])
            if position + length + OVERHEAD > end:
                raise CorruptRecord(
                    f"{path}: byte {position}: expected a record of {length} bytes, the file ends "
                    "before; write it again"
                )
            yield Span(path, position + 12, length + 4)
            position += length + OVERHEAD


def checked(data: bytes) -> bytes:
    """The record of `index`'s bytes. Raises CorruptRecord."""
    record, tail = data[:-4], data[-4:]
    if tail != _checksum(record):
        raise CorruptRecord(f"the checksum of a record of {len(record)} bytes does not match")
    return record


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as the format wants it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
