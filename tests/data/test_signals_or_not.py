"""What is taken for sounds and series where it may be something else, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.files import files
from convoy.data.signals import wav
from convoy.data.sources import Options, SourceError, detect, signals
from convoy.pipeline.components import example_gen
from tests.data.test_fuzz import damaged, everything, limited, written
from tests.data.test_signals import SOUND, TS
from tests.data.test_text import files_of
from tests.data.test_wav import saved

VALUES = ",".join("123456789")
NUMBERED = ",".join(f"t{i}" for i in range(9))


def arrays(array):
    return {f"{name}/{i}.npy": saved(array) for name in ("cat", "dog") for i in range(3)}


def listed(path, **params):
    return example_gen.listed(path, example_gen.Params(splits=(), **params))


@pytest.mark.parametrize(
    ("array", "name", "told"),
    [
        (np.zeros((28, 28), np.uint8), "folder", 0),  # pictures: their type and their sides
        (np.zeros((64, 64), np.uint16), "folder", 0),
        (np.zeros((20, 24, 12), np.uint16), "folder", 0),
        (np.zeros((200, 8), np.uint8), "signals", 0),
        (np.zeros(500, np.uint16), "signals", 0),
        (np.zeros((200, 3), np.float32), "signals", 0),
        (np.zeros((64, 64), np.float32), "signals", 6),  # either: told
    ],
)
def test_arrays_of_two_dimensions(tmp_path, array, name, told):
    files_of(tmp_path, arrays(array))
    _, found, listing = listed(tmp_path)
    assert found == name
    rows = [row for row in listing.ambiguous if "two dimensions" in row.why]
    assert sum(row.count for row in rows) == told


def test_a_recipe_of_channels_is_of_pictures(tmp_path):
    """data.channels says that the arrays are pictures; sounds with it are refused by name."""
    files_of(tmp_path / "a", arrays(np.zeros((200, 3), np.float32)))
    assert listed(tmp_path / "a", channels=1)[1] == "folder"
    files_of(tmp_path / "b", {"yes/1.wav": SOUND, "no/2.wav": SOUND})
    with pytest.raises(SourceError):
        listed(tmp_path / "b", channels=1)
    files_of(tmp_path / "c", {"train.txt": "1 a fine film\n0 dull\n"})
    for path, name in (("b", "signals"), ("c", "text")):
        with pytest.raises(SourceError, match=f"format {name} holds no pictures"):
            listed(tmp_path / path, channels=1, format=name)


def test_lists_of_splits_hold_for_all_that_they_do_not_name(tmp_path):
    """Behind the last name of the lists, too: nothing is dealt by a hash."""
    content = {f"{name}/{i}.wav": SOUND for name in ("no", "yes") for i in range(30)}
    files_of(tmp_path, {**content, "validation_list.txt": "no/0.wav\n"})
    listing = signals.scan(tmp_path)
    assert [r.source_id for r in listing.references if r.split != "train"] == ["no/0.wav"]
    files_of(tmp_path, {"validation_list.txt": "", "testing_list.txt": ""})
    assert {r.split for r in signals.scan(tmp_path).references} == {"train"}


def test_a_column_that_is_no_number_of_the_series_is_left_out_and_told(tmp_path):
    files_of(tmp_path, {"a.csv": f"id,{NUMBERED},label\n77,{VALUES},up\n78,{VALUES},down\n"})
    assert detect(tmp_path) == "signals"
    listing = signals.scan(tmp_path, Options(holdout=0.0))
    sample = signals.read(listing.references[0], listing.labels)
    assert wav.values(sample.signal)[0][:, 0].tolist() == list(range(1, 10))
    assert [(row.count, row.examples) for row in listing.unused] == [(1, ("id",))]


@pytest.mark.parametrize(
    "head",
    [
        "label," + ",".join(f"pixel{i}" for i in range(9)),
        "label," + ",".join(f"{i}x1" for i in range(9)),
        "label,xmin,ymin,xmax,ymax,a,b,c,d,e",
    ],
)
def test_pixels_and_other_columns_are_no_series_unless_it_is_said(tmp_path, head):
    files_of(tmp_path, {"train.csv": f"{head}\n1,{VALUES}\n2,{VALUES}\n"})
    assert not signals.detect(files.tree(tmp_path))
    assert len(signals.scan(tmp_path).references) == 2


@pytest.mark.parametrize(("first", "found"), [("0.npy", "csv"), ("0", "csv")])
def test_a_table_of_pictures_that_are_arrays_is_no_series(tmp_path, first, found):
    """By names or by numbers: x1, y1, ... are of the picture that another column names."""
    rows = "".join(f"{first.replace('0', str(i))},{'ab'[i]},{VALUES}\n" for i in range(2))
    files_of(
        tmp_path,
        {"train.csv": f"image,class,{NUMBERED}\n{rows}", "img/0.npy": b"", "img/1.npy": b""},
    )
    assert detect(tmp_path) == found
    files_of(tmp_path / "alone", {"train.csv": f"image,class,{NUMBERED}\n0.flac,a,{VALUES}\n"})
    assert not signals.detect(files.tree(tmp_path / "alone"))


def test_lines_of_pixels_without_a_header_are_told(tmp_path):
    row = ",".join(["0", "128", "255", "7"] * 16)  # 8 x 8
    files_of(tmp_path, {"mnist_train.csv": f"5,{row}\n3,{row}\n", "b_test.tsv": "1" + "\t9" * 63})
    told = signals.scan(tmp_path).ambiguous
    assert [(row.count, "8x8" in row.why) for row in told] == [(2, True)]


def test_a_text_that_is_no_table_is_told(tmp_path):
    files_of(tmp_path, {"A_TRAIN.ts": TS, "test.txt": "0 the film was fine\n"})
    tree, name, _ = listed(tmp_path)
    assert name == "signals"
    assert "no table" in tree.passed_over["test.txt"]


def test_a_table_that_annotates_sounds_is_not_lost(tmp_path):
    """UrbanSound8K: folders are parts of a set; the classes are in a table."""
    content = {f"fold{i % 2}/{i}.wav": SOUND for i in range(8)}
    table = "slice_file_name,fold,class\n" + "".join(f"{i}.wav,{i % 2},dog\n" for i in range(8))
    params = example_gen.Params(splits=())
    for name, said in (("UrbanSound8K.csv", "no known layout"), ("a.txt", "would not be used")):
        root = files_of(tmp_path / name, {**content, f"metadata/{name}": table})
        with pytest.raises(SourceError, match=said):
            example_gen.run({"source": root}, params, tmp_path / "records")


def test_an_index_that_pandas_wrote_is_no_channel(tmp_path):
    table = ",x,y\n0,1,2\n1,3,4\n"
    files_of(tmp_path, {"up/a.csv": table, "down/b.csv": table.replace("\n1,", "\n7,")})
    listing, told = signals.scan(tmp_path), []
    samples = [
        signals.read(reference, listing.labels, warn=lambda reason, _: told.append(reason))
        for reference in sorted(listing.references, key=lambda reference: reference.source_id)
    ]
    seven, counted = (wav.values(sample.signal)[0].tolist() for sample in samples)
    assert seven == [[0, 1, 2], [7, 3, 4]]  # counts nothing: a channel
    assert counted == [[1, 2], [3, 4]]
    assert told == ["index_column"]
    files_of(tmp_path / "b", {"a.csv": f"Unnamed: 0,{NUMBERED},label\n0,{VALUES},up\n"})
    listing = signals.scan(tmp_path / "b")
    assert listing.unused[0].examples == ("Unnamed: 0",)
    assert listing.references[0].annotation[1] == VALUES


def test_lines_without_a_class_are_counted_and_other_encodings_told(tmp_path):
    row = "\t" + VALUES.replace(",", "\t") + "\n"
    (tmp_path / "A_TRAIN.tsv").write_bytes(f"caf\u00e9{row}{row}caf\u00e8{row}".encode("cp1252"))
    listing = signals.scan(tmp_path)
    assert listing.labels == ("caf\u00e8", "caf\u00e9")
    assert [row[:2] for row in listing.rejected] == [("A_TRAIN.tsv:2", "missing_label")]
    assert listing.notes == ("A_TRAIN.tsv is not UTF-8: read as Windows-1252",)


def test_numbers_to_be_told_are_no_classes(tmp_path):
    files_of(tmp_path, {"A_TRAIN.ts": "@targetLabel true\n@data\n1,2,3:0.5\n1,2,4:0.7\n"})
    with pytest.raises(SourceError, match="no class"):
        signals.scan(tmp_path)


TABLES = {
    "uea": {"Two_TRAIN.ts": TS.encode(), "Two_TEST.ts": TS.encode()},
    "ucr": {"A_TRAIN.tsv": ("1\t" + VALUES.replace(",", "\t") + "\n").encode() * 3},
    "header": {"all.csv": f"id,{NUMBERED},label\n1,{VALUES},up\n2,{VALUES},down\n".encode()},
}


def fuzz(name, root, trials, seed):
    content = TABLES[name]
    written(root, content)
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        victim = sorted(content)[trial % len(content)]
        wounded = damaged(content[victim], rng)
        (root / victim).write_bytes(wounded)
        try:
            with limited(f"{name} trial {trial}"):
                everything("signals", root)
                signals.detect(files.tree(root))
        except Exception as error:
            raise AssertionError(f"{name} {victim} {seed} {trial}: {wounded[:300]!r}") from error
        (root / victim).write_bytes(content[victim])


@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables(name, tmp_path):
    fuzz(name, tmp_path / "set", 100, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_many_damaged_tables(name, tmp_path):
    fuzz(name, tmp_path / "set", 3000, 1)
