"""The reader of sounds and series: which files it takes, their classes and splits."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.signals import wav
from convoy.data.sources import Options, SourceError, detect, signals
from convoy.pipeline import manifest
from convoy.pipeline.components import example_gen
from tests.data.test_text import files_of
from tests.data.test_wav import header, saved

SOUND = wav.encode(np.float32([[0.5], [-0.5]]), 8000)
TS = """#a comment
@problemName two
@timeStamps false
@classLabel true left right
@data
1,2,3:4,5,6:left
7,8:9,10:right
"""


def read(listing):
    """(source_id, split, class, values) of every series."""
    found = []
    for reference in listing.references:
        sample = signals.read(reference, listing.labels)
        values = wav.values(sample.signal)[0]
        name = listing.labels[sample.labels[0]]
        found.append((sample.source_id, sample.split, name, values.tolist()))
    return found


def test_folders_are_classes(tmp_path):
    files_of(
        tmp_path,
        {
            "train/yes/a.wav": SOUND,
            "train/no/b.wav": SOUND,
            "val/no/c.WAV": SOUND,
            "val/yes/c.wav": SOUND,
        },
    )
    assert detect(tmp_path) == "signals"
    rows = read(signals.scan(tmp_path))
    assert [row[:3] for row in rows] == [
        ("train/no/b.wav", "train", "no"),
        ("train/yes/a.wav", "train", "yes"),
        ("val/no/c.WAV", "val", "no"),
        ("val/yes/c.wav", "val", "yes"),
    ]
    assert rows[0][3] == [[0.5], [-0.5]]


def test_speech_commands(tmp_path):
    """Lists of splits at the top; long recordings of noise are no class."""
    files_of(
        tmp_path,
        {
            **{f"{name}/{i}.wav": SOUND for name in ("yes", "no") for i in range(1, 5)},
            "_background_noise_/rain.wav": SOUND,
            "validation_list.txt": "yes/1.wav\n",
            "testing_list.txt": "no/2.wav\nno/gone.wav\n",
            "README.md": "words",
        },
    )
    assert detect(tmp_path) == "signals"
    listing = signals.scan(tmp_path)
    assert listing.labels == ("no", "yes")
    splits = {r.source_id: r.split for r in listing.references}
    assert len(splits) == 8
    assert (splits.pop("yes/1.wav"), splits.pop("no/2.wav")) == ("val", "test")
    assert {*splits.values()} == {"train"}
    assert [(told.count, told.examples) for told in listing.unused] == [(1, ("no/gone.wav",))]


def test_arrays_and_tables_in_folders(tmp_path):
    files_of(
        tmp_path,
        {
            "up/a.npy": saved(np.arange(3)),
            "up/b.csv": "1,2\n3,4\n",
            "down/a.npy": saved(np.float32([[1, 2], [3, 4]])),
        },
    )
    assert detect(tmp_path) == "signals"
    rows = {row[0]: row[3] for row in read(signals.scan(tmp_path))}
    assert rows["up/a.npy"] == [[0], [1], [2]]
    assert rows["up/b.csv"] == rows["down/a.npy"] == [[1, 2], [3, 4]]


def test_the_uea_archives_tables(tmp_path):
    files_of(tmp_path, {"Two_TRAIN.ts": TS, "Two_TEST.ts": TS.replace("right\n", "left\n", 1)})
    assert detect(tmp_path) == "signals"
    rows = read(signals.scan(tmp_path))
    assert [(row[1], row[2]) for row in rows] == [
        ("test", "left"),
        ("test", "right"),
        ("train", "left"),
        ("train", "right"),
    ]
    assert rows[2][3] == [[1, 4], [2, 5], [3, 6]]
    assert rows[3][3] == [[7, 9], [8, 10]]


def test_the_ucr_archives_tables(tmp_path):
    """The class first; a shorter series ends with NaN; the old files write 1.0000000e+00."""
    row = "\t".join(map(str, range(10)))
    files_of(
        tmp_path,
        {
            "Three_TRAIN.tsv": f"1\t{row}\n-1\t{row[:-1]}NaN\n",
            "Three_TEST.txt": "  1.0000000e+00  " + row.replace("\t", "  ") + "\n",
            "README.md": "about",
        },
    )
    assert detect(tmp_path) == "signals"
    rows = read(signals.scan(tmp_path))
    assert [(row[0], row[2], len(row[3])) for row in rows] == [
        ("Three_TEST.txt:1", "1", 10),
        ("Three_TRAIN.tsv:1", "1", 10),
        ("Three_TRAIN.tsv:2", "-1", 9),
    ]


def test_a_table_with_a_header(tmp_path):
    names = ",".join(f"t{i}" for i in range(9))
    values = ",".join("123456789")
    files_of(tmp_path, {"all.csv": f"{names},label\n{values},up\n{values},down\n"})
    assert detect(tmp_path) == "signals"
    rows = read(signals.scan(tmp_path, Options(holdout=0.0)))
    assert [(row[0], row[2]) for row in rows] == [("all.csv:2", "up"), ("all.csv:3", "down")]
    assert rows[0][3] == [[i] for i in range(1, 10)]


@pytest.mark.parametrize(
    "content",
    [
        {"a/1.wav": SOUND},  # one class
        {"a/1.wav": SOUND, "b/1.wav": SOUND, "b/1.jpg": b"x"},  # pictures beside them
        {"iris.csv": "a,b,label\n1,2,x\n3,4,y\n"},  # no series
        {"a/1.npy": saved(np.zeros((9, 70))), "b/1.npy": saved(np.zeros((9, 70)))},
        {"a/1.csv": "name,what\nx,y\n", "b/1.csv": "name,what\nx,y\n"},
    ],
)
def test_what_is_not_taken_for_signals(tmp_path, content):
    assert not signals.detect(files.tree(files_of(tmp_path, content)))


def test_what_cannot_be_read_is_counted(tmp_path, capsys):
    """Records, rejections with their reasons, and files that are not used."""
    sounds = [wav.encode(np.float32([[i]]), 8000) for i in range(60)]
    good = {f"{'yes' if i % 2 else 'no'}/{i}.wav": sound for i, sound in enumerate(sounds)}
    files_of(
        tmp_path / "data",
        {
            **good,
            "yes/cut.wav": header(size=400) + bytes(4),
            "yes/empty.wav": header(size=0),
            "no/music.mp3": b"ID3",
        },
    )
    params = example_gen.Params(format="auto", splits=(), train="train")
    example_gen.run({"source": tmp_path / "data"}, params, tmp_path / "records")
    told = manifest.summary(tmp_path / "records")
    assert told["format"] == "signals"
    assert told["records"] == 60
    assert told["rejected_by_reason"] == {"bad_signal": 1, "empty_signal": 1}
    assert [(row["what"], row["count"]) for row in told["unused"]] == [
        (".mp3 files in folders called no", 1)
    ]


def test_errors_of_a_set(tmp_path):
    files_of(tmp_path, {"x.bin": b"1"})
    with pytest.raises(SourceError, match="expected sounds or series"):
        signals.scan(tmp_path)
    timed = TS.replace("@timeStamps false", "@timeStamps true")
    files_of(tmp_path, {"Two_TRAIN.ts": timed})
    with pytest.raises(SourceError, match="times of their own"):
        signals.scan(tmp_path)


def test_channels_of_other_lengths(tmp_path):
    files_of(tmp_path, {"Two_TRAIN.ts": TS + "1,2:3:left\n1,x:3,4:left\n"})
    listing = signals.scan(tmp_path)
    *_, short, word = listing.references
    with pytest.raises(BadSample, match="channels of 1 to 2 samples"):
        signals.read(short, listing.labels)
    with pytest.raises(BadSample, match="expected numbers"):
        signals.read(word, listing.labels)
