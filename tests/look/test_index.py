"""The index of records and its filters, by hand and after changes of the records."""

from __future__ import annotations

import os

import numpy as np
import pytest

from convoy.data.tfrecord import CorruptRecord
from convoy.pipeline.look import alike, filters, index
from convoy.pipeline.look.once import Once, Working
from convoy.pipeline.look.pictures import Gone, Records
from tests.look.asking import LABELS, SAMPLES, write_records


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    return write_records(tmp_path / "records")


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"split": "val"}, [3, 4]),
        ({"class": "0"}, [0, 2]),
        ({"class": "1", "size": "16-32"}, [0, 3]),
        ({"class": "0", "size": "16-32"}, []),  # the object of 20 px is of another class
        ({"size": "small"}, [0, 1, 2, 3]),
        ({"size": "0-8"}, [1]),
        ({"count": "0"}, [4]),
        ({"count": "1"}, [1, 2, 3]),
        ({"count": "2-3"}, [0]),
        ({"side": "32-64"}, [0, 1, 2, 3, 4]),
        ({"side": "64-"}, []),
        ({"copies": "yes"}, [2]),
        ({"copies": "no"}, [0, 1, 3, 4]),
        ({"duplicates": "yes"}, [0, 3]),
        ({"find": "A/1"}, [0, 2]),
        ({"find": "<i>"}, [1]),
        ({"find": "jpgb"}, []),  # the end of one name and the beginning of the next
        ({"find": "b/", "split": "train"}, []),
        ({"unknown": "x"}, [0, 1, 2, 3, 4]),
    ],
)
def test_filters_by_hand(folder, asked, rows):
    assert filters.rows(index.load(folder), asked).tolist() == rows


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "tset"}, "no split 'tset'; there are train, val"),
        ({"class": "bee"}, "expected a number, or two as in 16-32, got 'bee'"),
        ({"size": "nan"}, "got 'nan'"),
        ({"count": "1-x"}, "got 'x'"),
    ],
)
def test_a_bad_filter_is_named(folder, asked, message):
    with pytest.raises(ValueError, match=message):
        filters.rows(index.load(folder), asked)


def test_histograms_by_hand(folder):
    made = index.load(folder)
    found = filters.histograms(made, filters.rows(made, {}), len(LABELS))
    assert found == {
        "class": [["0", 2], ["1", 2], ["2", 1]],
        "size": [["4-8", 1], ["8-16", 2], ["16-32", 2]],
        "side": [["32-64", 5]],
        "count": [["0", 1], ["1", 3], ["2", 1]],
        "split": [["train", 3], ["val", 2]],
    }
    found = filters.histograms(made, filters.rows(made, {"split": "val"}), len(LABELS))
    assert found["class"] == [["1", 1]]
    # Every bar is a filter that lets through as many records as have such an object.
    for name, bars in filters.histograms(made, np.arange(5), len(LABELS)).items():
        for value, count in bars:
            rows = filters.rows(made, {name: value})
            assert len(rows) == count or name in ("class", "size"), (name, value)
            assert len(rows), (name, value)


def test_records_are_read_by_their_place(folder):
    records = Records(folder, index.load(folder))
    for row, sample in enumerate(SAMPLES):
        assert records.index.source_id(row) == sample.source_id
        assert records.sample(row).image == sample.image
        assert records.sample(row).boxes.tolist() == sample.boxes.tolist()
    with pytest.raises(Gone, match="there are 5 records, none is number 5"):
        records.sample(5)
    assert records.thumb(0) is records.thumb(0)


def test_it_is_kept_and_made_anew_where_records_change(folder, monkeypatch):
    first = index.load(folder)
    monkeypatch.setattr(index, "build", None)  # it is not built again
    again = index.load(folder)
    assert again.records.tobytes() == first.records.tobytes()
    assert again.shards == first.shards
    monkeypatch.undo()
    write_records(folder, SAMPLES[:2])
    os.remove(folder / "val-00000-of-00001.tfrecord")
    assert len(index.load(folder).records) == 2
    (folder / index.FILE).write_bytes(b"half a file")
    assert len(index.load(folder).records) == 2


def test_records_that_can_only_be_read_are_indexed_elsewhere(folder, tmp_path, monkeypatch):
    real = index.write_bytes

    def write(path, content):
        if path.parent == folder:
            raise PermissionError(path)
        real(path, content)

    monkeypatch.setattr(index, "write_bytes", write)
    index.load(folder)
    assert not (folder / index.FILE).exists()
    assert len(list((tmp_path / "cache" / "look").iterdir())) == 1


def test_damaged_and_missing_records(folder):
    path = folder / "train-00000-of-00001.tfrecord"
    records = Records(folder, index.load(folder))
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(Gone, match="has changed since the page was opened"):
        records.sample(0)
    with pytest.raises(CorruptRecord):
        index.load(folder)
    path.unlink()
    with pytest.raises(Gone, match="the records were removed"):
        records.sample(0)
    with pytest.raises(FileNotFoundError, match="1 record files are missing"):
        index.load(folder)


def test_pictures_that_look_alike(tmp_path):
    """A texture, the same one darker, and another."""
    import dataclasses
    import io

    from PIL import Image

    rng = np.random.default_rng(0)
    textures = [np.kron(rng.integers(60, 255, (8, 8, 3)), np.ones((8, 8, 1))) for _ in range(2)]
    pixels = [textures[0], textures[0] * 0.8, textures[1]]
    samples = []
    for n, values in enumerate(pixels):
        buffer = io.BytesIO()
        Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
        changes = {"source_id": str(n), "image": buffer.getvalue(), "height": 64, "width": 64}
        samples.append(dataclasses.replace(SAMPLES[1], **changes))
    folder = write_records(tmp_path / "records", samples)
    records = Records(folder, index.load(folder))
    assert alike.rows(Once(2, patience_s=60), records).tolist() == [0, 1]


def test_once():
    import threading

    gate, made, once = threading.Event(), [], Once(2, patience_s=0.01)

    def make():
        gate.wait()
        made.append(1)
        return "value"

    with pytest.raises(Working, match="something is made"):
        once.get("a", make, "something is made")
    gate.set()
    patient = Once(2, patience_s=10)
    assert patient.get("a", make, "") == "value"
    for _ in range(200):
        try:
            assert once.get("a", make, "") == "value"
            break
        except Working:
            continue
    assert len(made) == 2  # one of each
    with pytest.raises(ZeroDivisionError):
        patient.get("b", lambda: 1 / 0, "")
    assert patient.get("b", lambda: 2, "") == 2  # a failure is not kept
