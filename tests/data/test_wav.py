"""WAV files: against SciPy's reader and writer, and headers written by hand."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import scipy.io.wavfile

from convoy.data.sample import BadSample
from convoy.data.signals import series, wav

DRAW = np.random.default_rng(0)
WAVEFORM = np.clip(DRAW.normal(0, 0.4, (37, 2)), -0.99, 0.99)
# kind of NumPy -> (the array that SciPy writes, what it stands for)
KINDS = {
    "uint8": (np.uint8(WAVEFORM * 127 + 128), lambda x: (x.astype(float) - 128) / 128),
    "int16": (np.int16(WAVEFORM * 2**15), lambda x: x / 2.0**15),
    "int32": (np.int32(WAVEFORM * 2**31), lambda x: x / 2.0**31),
    "float32": (np.float32(WAVEFORM * 3), lambda x: x),
    "float64": (np.float64(WAVEFORM * 3), lambda x: x),
}


def written(numbers, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    scipy.io.wavfile.write(file, rate, numbers)
    return file.getvalue()


def header(kind=1, channels=1, rate=8000, bits=16, size=4, extra=b"") -> bytes:
    """A file up to its samples, of which it says that they have `size` bytes."""
    width = channels * bits // 8
    body = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(body)) + body + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + size) + b"WAVE" + chunks


def with_24_bits() -> bytes:
    """-1, -2**-23, 0 and 0.5 by hand."""
    return header(bits=24, size=12) + b"\0\0\x80" + b"\xff\xff\xff" + b"\0\0\0" + b"\0\0\x40"


def with_odd_chunk() -> bytes:
    """A chunk of three bytes, and the one that fills it up, before the samples."""
    data = header() + b"\1\0\2\0"
    return data[:36] + b"LIST\3\0\0\0abc\0" + data[36:]


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_scipys(kind):
    array, meant = KINDS[kind]
    found, rate = wav.values(written(array))
    assert (found.shape, found.dtype, rate) == ((37, 2), np.float32, 8000)
    np.testing.assert_array_equal(found, meant(array).astype(np.float32))


def test_values_by_hand():
    found, _ = wav.values(with_24_bits())
    np.testing.assert_array_equal(found[:, 0], np.float32([-1, -(2.0**-23), 0, 0.5]))
    found, _ = wav.values(with_odd_chunk())
    np.testing.assert_array_equal(found[:, 0] * 2**15, [1, 2])
    extensible = header(kind=0xFFFE, extra=struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14))
    found, _ = wav.values(extensible + b"\1\0\2\0")
    np.testing.assert_array_equal(found[:, 0] * 2**15, [1, 2])


def test_what_a_stream_states_reaches_to_the_end():
    data = bytearray(header() + b"\1\0\2\0\3\0")
    struct.pack_into("<I", data, 40, 0xFFFFFFFF)
    found, _ = wav.values(bytes(data))
    np.testing.assert_array_equal(found[:, 0] * 2**15, [1, 2, 3])


@pytest.mark.parametrize("shape", [(1, 1), (9, 3)])
def test_what_is_written_is_read_by_scipy(shape):
    numbers = np.float32(DRAW.normal(0, 100, shape))
    rate, found = scipy.io.wavfile.read(io.BytesIO(wav.encode(numbers, 250)))
    assert rate == 250
    np.testing.assert_array_equal(found.reshape(shape), numbers)
    found, rate = wav.values(wav.encode(numbers, 250))
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "bad_signal", "begins with RIFF"),
        (b"ID3\3" + bytes(40), "bad_signal", "begins with RIFF"),
        (header()[:30], "bad_signal", "breaks off before"),
        (header(kind=2, bits=4), "bad_signal", "4 bits in WAV's format 2"),
        (header(kind=3, bits=16) + bytes(4), "bad_signal", "16 bits in WAV's format 3"),
        (header(channels=0) + bytes(4), "bad_signal", "0 channels"),
        (header(rate=0) + bytes(4), "bad_signal", "at 0 samples per second"),
        (header(size=400) + bytes(4), "bad_signal", "take 400 bytes, 4 are there"),
        (header(size=0), "empty_signal", "no sample"),
        (header(size=1) + b"\1", "empty_signal", "no sample"),
        (
            header(kind=3, bits=32, size=8) + struct.pack("<ff", np.nan, 1),
            "bad_signal",
            "1 of its samples are no finite",
        ),
    ],
)
def test_what_is_refused(data, reason, words):
    with pytest.raises(BadSample, match=words) as caught:
        wav.values(data, "x.wav")
    assert caught.value.reason == reason
    assert caught.value.detail.startswith("x.wav: ")


def saved(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.npy", saved(np.arange(3)), [[0], [1], [2]]),
        ("a.npy", saved(np.float64([[1, 2], [3, 4]])), [[1, 2], [3, 4]]),
        ("a.csv", b"x,y\n1,2\n3,-4e1\n\n", [[1, 2], [3, -40]]),
        ("a.csv", "\ufeff1;2\r\n3;4".encode(), [[1, 2], [3, 4]]),
        ("a.tsv", b"1\n2\n", [[1], [2]]),
        ("a.csv", b"1 2\n3 4\n", [[1, 2], [3, 4]]),
    ],
)
def test_series_become_signals(name, data, expected):
    found, rate = wav.values(series.signal(data, name))
    np.testing.assert_array_equal(found, np.float32(expected))
    assert rate == 1


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.npy", b"\x93NUMPY", "no array that NumPy reads"),
        ("a.npy", saved(np.array([{}]), allow_pickle=True), "no array that NumPy reads"),
        ("a.npy", saved(np.array(["a"])), "expected an array of numbers"),
        ("a.npy", saved(np.zeros((2, 2, 2))), r"shape \[2, 2, 2\]"),
        ("a.npy", saved(np.zeros((2, 2000))), "2000 channels of 2 samples"),
        ("a.npy", saved(np.float64([1e300])), "1 of its 1 numbers are not finite"),
        ("a.csv", b"1,2\n3\n", "lines of 1 to 2 columns"),
        ("a.csv", b"1,2\n3,x\n", "expected a table of numbers"),
        ("a.csv", b"1,2\n" + b"9" * 200_000 + b",2\n", "1 of its 4 numbers are not finite"),
        ("a.csv", b"\n", "holds no sample"),
        ("a.csv", b"x,y\n", "holds no sample"),
        ("a.csv", b"\xff1,2\n", "UTF-8"),
    ],
)
def test_series_that_are_refused(name, data, words):
    with pytest.raises(BadSample, match=words):
        series.signal(data, name)
