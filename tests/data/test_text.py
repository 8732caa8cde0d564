import json
import zipfile

import pytest

from convoy.data import example, tfrecord
from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, text
from convoy.pipeline.components import example_gen
from tests.data import build


def files_of(root, content):
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def sentences(listing):
    samples = [text.read(r, listing.labels) for r in listing.references]
    return {(s.split, listing.labels[s.labels[0]], s.text) for s in samples}


def test_endings_are_classes(tmp_path):
    files_of(
        tmp_path,
        {
            "rt-polarity.pos": "a fine film .\r\n\r\nso good\x85 it hurts \n",
            "rt-polarity.neg": "simply dull\nno , thanks\n",
            "SOURCE.txt": "from somewhere\n",
        },
    )
    assert detect(tmp_path) == "text"
    listing = text.scan(tmp_path)
    assert listing.labels == ("neg", "pos")
    assert {row[1:] for row in sentences(listing)} == {
        ("pos", "a fine film ."),
        ("pos", "so good\x85 it hurts"),
        ("neg", "simply dull"),
        ("neg", "no , thanks"),
    }
    assert [row[:2] for row in listing.rejected] == [("rt-polarity.pos:2", "empty_text")]
    sample = text.read(listing.references[0], listing.labels)
    assert (sample.image, sample.height, sample.width) == (b"", 0, 0)


def test_names_are_classes(tmp_path):
    files_of(tmp_path, {"pos.txt": "very good\n", "neg.txt": "very bad\n", "README": "x y"})
    assert detect(tmp_path) == "text"
    assert {row[1:] for row in sentences(text.scan(tmp_path))} == {
        ("pos", "very good"),
        ("neg", "very bad"),
    }


def test_copies_are_left_out_and_noted(tmp_path):
    lines = [f"it's the {i}. film – good" for i in range(20)]
    whole = "\n".join(lines)
    edited = "\n".join([*lines[:-1], "something else"])
    files_of(
        tmp_path,
        {
            "mr.pos": whole,
            "latin1_mr.pos": edited.encode("cp1252"),
            "mr.neg": whole.replace("good", "bad"),
            "latin1_mr.neg": whole.replace("good", "bad").encode("cp1252"),
        },
    )
    listing = text.scan(tmp_path)
    assert len(listing.references) == 40
    assert {r.source_id.partition(":")[0] for r in listing.references} == {"mr.pos", "mr.neg"}
    assert "latin1_mr.pos is left out: 19 of its 20 sentences are in mr.pos" in listing.notes
    assert "latin1_mr.neg is not UTF-8 and was read as Windows-1252" in listing.notes


def test_equal_sentences_share_a_split(tmp_path):
    lines = [f"sentence number {i}" for i in range(40)]
    content = "\n".join(lines + lines)
    files_of(tmp_path, {"a.yes": content, "a.no": "\n".join(f"not {x}" for x in lines)})
    listing = text.scan(tmp_path, Options(holdout=0.5))
    splits = {}
    for reference in listing.references:
        splits.setdefault(reference.annotation[1], set()).add(reference.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({split for found in splits.values() for split in found}) == 2


def test_one_file_a_text(tmp_path):
    files_of(
        tmp_path,
        {
            "aclImdb/README": "about it",
            "aclImdb/imdb.vocab": "the",
            "aclImdb/train/pos/0_9.txt": "Great.<br />\nReally great.",
            "aclImdb/train/neg/0_1.txt": b"caf\xe9 noir",
            "aclImdb/train/unsup/0_0.txt": "who knows",
            "aclImdb/test/pos/0_9.txt": "Good one.",
            "aclImdb/test/neg/7_1.txt": "  \n",
        },
    )
    assert detect(tmp_path) == "text"
    listing = text.scan(tmp_path)
    assert listing.labels == ("neg", "pos")
    assert listing.notes[0].startswith("1 texts without a class")
    good = [r for r in listing.references if "7_1" not in r.source_id]
    bad = next(r for r in listing.references if "7_1" in r.source_id)
    found = {(s.split, s.text) for s in (text.read(r, listing.labels) for r in good)}
    assert found == {
        ("train", "Great.<br />\nReally great."),
        ("train", "café noir"),
        ("test", "Good one."),
    }
    with pytest.raises(BadSample, match="empty_text"):
        text.read(bad, listing.labels)


TABLES = {
    "trec": (
        "train_5500.label",
        "DESC:manner How did it end ?\nHUM:ind Who won ?\nDESC:def What is it ?\n",
        {("train", "DESC", "How did it end ?"), ("train", "DESC", "What is it ?")},
    ),
    "fasttext": (
        "train.txt",
        "__label__good fine film\n__label__bad dull film\n",
        {("train", "good", "fine film"), ("train", "bad", "dull film")},
    ),
    "tsv": (
        "SMSSpamCollection",
        'ham\tOk "lar ... Joking\nspam\tWin a prize now\nham\tSee you there\nspam\tFree entry\n',
        {(None, "ham", 'Ok "lar ... Joking'), (None, "spam", "Free entry")},
    ),
    "csv": (
        "test.csv",
        'review,sentiment\n"Two lines,\nof a review",positive\n"so ""so""",negative\n',
        {("test", "positive", "Two lines,\nof a review"), ("test", "negative", 'so "so"')},
    ),
    "ag_news": (
        "train.csv",
        '"3","Wall St.","Stocks fell today"\n"1","World","News of it"\n'
        '"3","Oil","Oil is up, again"\n"1","Peace","At last again"\n',
        {("train", "3", "Wall St. Stocks fell today"), ("train", "1", "World News of it")},
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_class_in_each_line(tmp_path, kind):
    name, content, wanted = TABLES[kind]
    files_of(tmp_path, {name: "\ufeff" + content})
    assert detect(tmp_path) == "text"
    found = sentences(text.scan(tmp_path))
    found = found if None not in {w[0] for w in wanted} else {(None, *row[1:]) for row in found}
    assert wanted <= found


def test_a_small_file_has_the_form_of_its_like(tmp_path):
    files_of(
        tmp_path,
        {
            "train.tsv": "".join(f"{'ab'[i % 2]}\tsentence {i}\n" for i in range(8)),
            "dev.tsv": "b\tthe only one\n\nno class\n",
        },
    )
    listing = text.scan(tmp_path)
    assert ("val", "b", "the only one") in sentences(listing)
    assert [row[:2] for row in listing.rejected] == [
        ("dev.tsv:2", "empty_text"),
        ("dev.tsv:3", "missing_annotation"),
    ]


def test_trec_has_a_test_file(tmp_path):
    files_of(
        tmp_path,
        {
            "train_5500.label": "DESC:manner How ?\nHUM:ind Who ?\n",
            "TREC_10.label": "NUM:dist How far is it ?\n",
        },
    )
    listing = text.scan(tmp_path)
    assert {row[0] for row in sentences(listing)} == {"train", "test"}
    assert listing.labels == ("DESC", "HUM", "NUM")


def test_unknown_classes_and_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "mr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rt-data/rt-data/mr.pos", "so good\n")
        archive.writestr("rt-data/rt-data/mr.neg", "so bad\n")
    assert detect(tmp_path / "mr.zip") == "text"
    listing = text.scan(tmp_path / "mr.zip", Options(labels=("pos",)))
    assert [r.annotation for r in listing.references] == [("pos", "so good")]
    assert [row[:2] for row in listing.rejected] == [("rt-data/rt-data/mr.neg:1", "unknown_class")]


def test_other_data_is_not_claimed(tmp_path):
    files_of(
        tmp_path / "lists",
        {"synsets.txt": "n01440764\nn01443537\n", "lemmas.txt": "n01440764\ttench, Tinca\n"},
    )
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.jpg").write_bytes(build.picture())
    files_of(tmp_path / "mixed", {"x.pos": "so good\n", "x.neg": "so bad\n"})
    assert not text.detect(files.tree(tmp_path / "lists"))
    assert not text.detect(files.tree(tmp_path / "mixed"))
    with pytest.raises(SourceError, match="expected sentences"):
        text.scan(tmp_path / "lists")


def test_records_of_sentences(tmp_path):
    content = {
        f"{split}/mr.{kind}": f"{split} is {kind}\n"
        for split in ("train", "val")
        for kind in ("pos", "neg")
    }
    files_of(tmp_path / "set", content)
    out = tmp_path / "records"
    example_gen.run({"source": tmp_path / "set"}, example_gen.Params(format="text"), out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert {name: split["records"] for name, split in manifest["splits"].items()} == {
        "train": 2,
        "val": 2,
    }
    records = [r for path in sorted(out.glob("*.tfrecord")) for r in tfrecord.read(path)]
    found = {(s.split, s.text, s.image) for s in map(example.decode, records)}
    assert found == {(k[: k.find("/")], v.strip(), b"") for k, v in content.items()}


NUMBERED = ["1 a stirring , funny tale", "0 simply dull", "1 so good it hurts", "0 no , thanks"]
TREES = ["(3 (2 It) (4 (3 (2 's) (3 good)) (2 .)))", "(1 (2 It) (1 drags))",
         "(3 (2 Go) (2 see))", "(1 (2 Stay) (1 away))"]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "first"),
    [(NUMBERED, ("1", "a stirring , funny tale")), (TREES, ("3", "It 's good ."))],
)
@pytest.mark.parametrize("names", [("train", "dev", "test"), ("x.train", "x.dev", "x.test")])
def test_files_called_as_splits_are_no_classes(tmp_path, lines, first, names):
    """stsa.fine.train, stsa.fine.dev, ...: the ending is the split, the class is in the line."""
    names = [name if "." in name else f"{name}.txt" for name in names]
    content = {
        name: "\n".join(line.replace("ood", f"ood{i}").replace("ay", f"ay{i}") for line in lines)
        for i, name in enumerate(names)
    }
    files_of(tmp_path, content)
    assert detect(tmp_path) == "text"
    listing = text.scan(tmp_path)
    assert listing.labels == tuple(sorted({line.strip("(")[0] for line in lines}))
    found = sentences(listing)
    assert {split for split, _, _ in found} == {"train", "val", "test"}
    assert ("train", *first) in {(s, c, w.replace("ood0", "ood")) for s, c, w in found}


def test_lines_of_numbers_are_no_sentences(tmp_path):
    """Labels of YOLO whose pictures are not there."""
    lines = "0 0.5 0.5 0.4 0.4\n1 0.5 0.5 0.4 0.4\n" * 3
    files_of(tmp_path, {f"labels/{name}.txt": lines for name in "ab"})
    with pytest.raises(SourceError):
        detect(tmp_path)


def test_numbered_lines_are_no_classes(tmp_path):
    files_of(tmp_path, {"a.txt": "\n".join(f"{i} a sentence" for i in range(1, 30))})
    with pytest.raises(SourceError):
        detect(tmp_path)
