"""WAV files: what they hold, without TensorFlow.

A signal of a record is a WAV file, as it was found; a series of numbers (.npy, .csv) becomes one of
32-bit floats with as many channels as it has columns. Read are PCM of 8 bits (unsigned), 16, 24 and
32 bits and floats of 32 and 64 bits, WAVE_FORMAT_EXTENSIBLE among them. PCM is scaled to [-1, 1),
floats are as they are. models/signals/waves.py decodes the same files in the graph.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from convoy.data.sample import BadSample
from convoy.models.spec import SERIES_RATE

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
KINDS = {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}
TO_THE_END = 0xFFFFFFFF  # bytes that a program states which cannot go back to the header
MOST_CHANNELS = 1024


class Wave(NamedTuple):
    """The header of a WAV file."""

    rate: int  # samples per second
    channels: int
    samples: int  # per channel
    kind: int  # PCM or FLOAT
    bits: int  # per sample
    start: int  # of the samples, bytes

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def look(data: bytes, name: str) -> Wave:
    """The header of a file called `name`. Raises BadSample."""

    def bad(text: str) -> BadSample:
        return BadSample("bad_signal", f"{name}: {text}")

    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise bad("expected a WAV file, which begins with RIFF and WAVE")
    chunks = _chunks(data)
    if b"fmt " not in chunks or b"data" not in chunks:
        raise bad("breaks off before its samples: expected the chunks 'fmt ' and 'data'")
    at, size = chunks[b"fmt "]
    if size < 16 or len(data) < at + 16:
        raise bad(f"its chunk 'fmt ' has {size} bytes, expected 16 and more")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
    if kind == EXTENSIBLE and size >= 26 and len(data) >= at + 26:
        (kind,) = struct.unpack_from("<H", data, at + 24)
    if (kind, bits) not in KINDS:
        raise bad(
            f"samples of {bits} bits in WAV's format {kind}; expected PCM (1) of 8, 16, 24 or 32 "
            "bits, or floats (3) of 32 or 64; convert it, as ffmpeg -i IN -c:a pcm_s16le OUT.wav"
        )
    if not 0 < channels <= MOST_CHANNELS or not rate:
        raise bad(f"{channels} channels at {rate} samples per second")
    start, size = chunks[b"data"]
    there = len(data) - start
    if size == TO_THE_END:
        size = there
    if size > there:
        raise bad(f"breaks off: its samples take {size:,} bytes, {there:,} are there")
    samples = size // (channels * bits // 8)
    if not samples:
        raise BadSample("empty_signal", f"{name}: holds no sample")
    return Wave(rate, channels, samples, kind, bits, start)


def _chunks(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Name -> (start, stated size) of the first chunk of each name, up to the samples."""
    chunks: dict[bytes, tuple[int, int]] = {}
    at = 12
    while at + 8 <= len(data) and b"data" not in chunks:
        name, (size,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        chunks.setdefault(name, (at + 8, size))
        at += 8 + size + size % 2  # chunks begin at even places
    return chunks


def values(data: bytes, name: str = "signal") -> tuple[np.ndarray, int]:
    """(float32 [samples, channels], samples per second). Raises BadSample."""
    wave = look(data, name)
    width = wave.bits // 8
    raw = np.frombuffer(data, np.uint8, wave.samples * wave.channels * width, wave.start)
    if wave.kind == FLOAT:
        numbers = raw.view(f"<f{width}").astype(np.float32)
    elif width == 1:
        numbers = (raw.astype(np.float32) - 128) / 128
    else:
        words = np.zeros((raw.size // width, 4), np.uint8)
        words[:, 4 - width :] = raw.reshape(-1, width)  # the upper bytes
        numbers = (words.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    if not np.isfinite(numbers).all():
        count = int((~np.isfinite(numbers)).sum())
        raise BadSample("bad_signal", f"{name}: {count} of its samples are no finite numbers")
    return numbers.reshape(wave.samples, wave.channels), wave.rate


def encode(numbers: np.ndarray, rate: int = SERIES_RATE) -> bytes:
    """A WAV file of 32-bit floats from [samples, channels]."""
    samples, channels = numbers.shape
    content = np.ascontiguousarray(numbers, "<f4").tobytes()
    header = struct.pack("<HHIIHH", FLOAT, channels, rate, 4 * channels * rate, 4 * channels, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header
    body += b"fact" + struct.pack("<II", 4, samples)
    body += b"data" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body
