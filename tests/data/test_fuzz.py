"""Damaged data sets: every reader rejects by name or reads on; it never crashes or hangs.

One small set of each format; some bytes of one of its files, or of the archive that holds it, are
flipped, cut, doubled or replaced by what parsers stumble over. Seeds are fixed. More under -m slow.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gzip
import io
import signal
import tarfile
import zipfile

import numpy as np
import pytest

from convoy.data import example
from convoy.data.sample import BadSample
from convoy.data.sources import SOURCES, Options, SourceError, detect, source
from tests.data.fuzz_sets import SETS

LIMIT_S = 20
NASTY = [
    b"\0", b"\xff", b"\xff\xfe", b"nan", b"inf", b"-1", b"1e999", b"99999999999999999999", b"0",
    b"", b"\n", b"\r", b",", b'"', b"'", b"<", b"&", b"]]>", b"{", b"}", b"[", b"null", b"true",
    b"[]", b"{}", b'""', b"\xf0\x9f\x90\xb1", b"\xed\xa0\x80", b"\\ud800", b"../", b"/etc/passwd",
    b"%s", b"-", b".", b"e", b" ", b"\t", b"\\", b"0" * 5000, b"9" * 5000, b"[" * 5000,
]  # fmt: skip


NOT_FUZZED = {"tfds"}  # its own tests damage it; writing one needs TFDS


def damaged(data, rng):
    """`data` with one to three wounds."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, kind = int(rng.integers(len(data) + 1)), rng.integers(6)
        if kind == 0 and at < len(data):
            data[at] = rng.integers(256)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.integers(8)
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            end = at + int(rng.integers(1, 40))
            data[at:at] = data[at:end]
        else:
            nasty = NASTY[rng.integers(len(NASTY))]
            data[at : at + int(rng.integers(0, 12))] = nasty
    return bytes(data)


@contextlib.contextmanager
def limited(told):
    """Fails what takes longer than LIMIT_S; inside of C, the process ends with a traceback."""

    def late(*_):
        raise AssertionError(f"more than {LIMIT_S} s: {told}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    faulthandler.dump_traceback_later(2 * LIMIT_S, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def check(sample, labels):
    """What records and training rely on."""
    assert np.isfinite(sample.boxes).all()
    assert sample.boxes.shape == (len(sample.classes), 4)
    if len(sample.boxes):
        ymin, xmin, ymax, xmax = sample.boxes.T
        assert ((ymin >= 0) & (xmin >= 0) & (ymax > ymin) & (xmax > xmin)).all()
        assert ((ymax <= sample.height) & (xmax <= sample.width)).all()
    assert all(0 <= index < len(labels) for index in [*sample.classes, *sample.labels])
    assert np.isfinite(sample.keypoints).all()
    assert np.isfinite(sample.areas).all()
    assert len(sample.masks) in (0, len(sample.classes))
    assert (sample.image[:2], sample.height) != (b"", 0) or sample.text or sample.signal
    example.encode(sample, labels)


def everything(name, path):
    """Reads all; (good, rejected), or None where the set as a whole is refused."""
    reader, warned = source(name), []
    try:
        listing = reader.scan(path, Options(scale=2))
    except (SourceError, OSError) as error:  # OSError: a damaged archive, as a disk's fault
        assert str(error)  # noqa: PT017
        return None
    good, bad = 0, len(listing.rejected)
    ids = [(reference.split, reference.source_id) for reference in listing.references]
    assert ids == sorted(ids)
    for reference in listing.references:
        repr(reference.annotation)
        try:
            sample = reader.read(
                reference, listing.labels, warn=lambda *told: warned.append(told), max_pixels=10**6
            )
        except BadSample as error:
            assert error.reason.isidentifier(), error  # noqa: PT017
            bad += 1
            continue
        check(sample, listing.labels)
        good += 1
    assert all(reason.isidentifier() and detail for reason, detail in warned)
    return good, bad


def written(root, content):
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def packed(content, kind):
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    return gzip.compress(data, mtime=0) if kind == "tar.gz" else data


def test_every_format_has_a_set_here():
    assert {*SETS, *NOT_FUZZED} == {*SOURCES}


@pytest.mark.parametrize("name", SETS)
def test_the_sound_set_is_read_whole(name, tmp_path):
    good, bad = everything(name, written(tmp_path / "set", SETS[name]()))
    assert good > 0
    assert bad == 0


# Sets whose samples are found by the names of files alone: none may vanish without a count.
BY_NAME = {"folder": 7, "pictures": 2, "super_resolution": 2, "style": 2, "pairs": 2, "voc": 2}
BY_NAME |= {"signals": 4}


def fuzz(name, root, trials, seed):
    content, read = SETS[name](), 0
    written(root, content)
    names = sorted(content)
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        victim = names[trial % len(names)]
        wounded = damaged(content[victim], rng)
        (root / victim).write_bytes(wounded)
        try:
            with limited(f"{name} {victim} trial {trial}"):
                found = everything(name, root)
                read += found is not None
                if name in BY_NAME and found and not victim.endswith("train.txt"):
                    assert sum(found) == BY_NAME[name], found
                with contextlib.suppress(SourceError):
                    detect(root)
        except Exception as error:
            raise AssertionError(
                f"{name}: {victim}, seed {seed}, trial {trial}: {wounded[:300]!r}"
            ) from error
        (root / victim).write_bytes(content[victim])
    return read


@pytest.mark.parametrize("name", SETS)
def test_damaged_files(name, tmp_path):
    assert fuzz(name, tmp_path / "set", 40, 0) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_many_damaged_files(name, tmp_path):
    fuzz(name, tmp_path / "set", 3000, 1)


def fuzz_archive(kind, root, trials, seed):
    whole = packed(SETS["voc"](), kind)
    path = root / f"set.{kind}"
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        path.write_bytes(damaged(whole, rng))
        try:
            with limited(f"{kind} trial {trial}"):
                everything("voc", path)
        except Exception as error:
            raise AssertionError(f"{kind}: seed {seed}, trial {trial}") from error


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_damaged_archives(kind, tmp_path):
    fuzz_archive(kind, tmp_path, 60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_many_damaged_archives(kind, tmp_path):
    fuzz_archive(kind, tmp_path, 3000, 1)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("junk", [b"", b"\0" * 5000, b"x", b"[" * 100_000], ids=len)
def test_junk_in_place_of_each_file(name, junk, tmp_path):
    content = SETS[name]()
    for victim in content:
        root = written(tmp_path / "set", {**content, victim: junk})
        with limited(f"{name} {victim}"):
            everything(name, root)
