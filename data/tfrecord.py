"""TFRecord files without TensorFlow: length, its checksum, bytes, their checksum.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

OVERHEAD = 16  # bytes a record


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


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as the format wants it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
