"""Pictures found = in records + rejected + told; annotations of unknown kinds are no folders."""

import hashlib
import json

import numpy as np
import pytest

from convoy.data.files import files
from convoy.data.ingest import account, written
from convoy.data.ingest.shards import IngestError
from convoy.data.sample import Listing, Reference
from convoy.data.sources import SourceError
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params
from convoy.pipeline.manifest import lines, summary
from convoy.pipeline.validation import checks
from tests.data import build
from tests.data.fuzz_sets import SETS

ONE = ("--direct_num_workers=1",)


def ingest(source, out, format_name="auto", **params):
    params = Params(format=format_name, splits=(), beam=ONE, max_rejected=1, **params)
    example_gen.run({"source": source}, params, out)
    return json.loads((out / "manifest.json").read_text())


def test_every_picture_and_file_is_accounted_for(tmp_path):
    splits = {"train": ["000001", "000002"], "val": ["000003"]}
    root = build.voc(tmp_path / "set", splits=splits)
    (root / "JPEGImages" / "000002.jpg").write_bytes(b"no picture")
    build.written(root, {"extra/a.json": "{}", ".thumbs/a.jpg": build.picture(), "README": "x"})
    manifest = ingest(root, tmp_path / "out")
    assert manifest["pictures"] == {"found": 13, "in_records": 2, "rejected": 1, "unused": 10}
    told = {(row["what"], row["count"]) for row in manifest["unused"]}
    assert told >= {
        ("pictures", 9), ("pictures", 1), (".json files in folders called extra", 1),
        ("files without an ending at the top", 1),
    }  # fmt: skip
    text = "\n".join(lines(summary(tmp_path / "out")))
    assert "pictures: 13 found = 2 in records + 1 rejected + 10 unused" in text
    assert "unused: 1 .json files in folders called extra (e.g. extra/a.json)" in text
    assert "note: 9 pictures are in no list of ImageSets: left out" in text


def test_the_check_of_the_data_sees_what_was_told():
    told = {
        "unused": [
            {"what": "pictures", "count": 9, "why": "in no list", "examples": ["a.jpg"]},
            {"what": ".md files at the top", "count": 1, "why": "-", "examples": ["README.md"]},
        ],
        "ambiguous": [
            {"what": "samples", "count": 2, "why": "scaled to the picture", "examples": ["b.jpg"]}
        ],
    }
    rows = list(checks.of_told({"told": told}))
    assert [(row.name, row.value, row.verdict) for row in rows] == [
        ("not used: pictures", 9, "warning"),
        ("not used: .md files at the top", 1, "ok"),
        ("read in one of two ways: samples", 2, "warning"),
    ]
    assert rows[2].examples == ("b.jpg",)
    assert list(checks.of_told({})) == []


def test_pictures_of_splits_that_are_not_asked_for_are_told(tmp_path):
    build.classes(tmp_path / "set" / "train", {"a": 2, "b": 1})
    build.classes(tmp_path / "set" / "test", {"a": 2, "b": 2})
    params = Params(splits=("train",), beam=ONE)
    example_gen.run({"source": tmp_path / "set"}, params, tmp_path / "out")
    counts = summary(tmp_path / "out")
    assert counts["pictures"] == {"found": 7, "in_records": 3, "rejected": 0, "unused": 4}
    assert {row["why"] for row in counts["unused"]} == {"of a split that is not asked for (train)"}


def test_a_sample_that_is_lost_fails_the_ingest(tmp_path):
    build.written(tmp_path, {"a.jpg": b"", "b.jpg": b""})
    tree = files.tree(tmp_path)
    references = tuple(Reference(n, "train", tree.where(n)) for n in ("a.jpg", "b.jpg"))
    opened = account.opened(tree, Listing(references, ("x",)), "pictures", found=True)

    def shard(written, refused=()):
        rows = [(name, "corrupt_image", "no") for name in refused]
        return [{"split": "train", "source_ids": list(written), "rejected": rows}]

    counts, told = account.closed(opened, ["train"], shard(("a.jpg", "b.jpg")))
    assert counts == {"found": 2, "in_records": 2, "rejected": 0, "unused": 0}
    assert told == ()
    for shards in (shard(("a.jpg",)), shard(("a.jpg", "b.jpg"), ("b.jpg",))):
        with pytest.raises(IngestError, match="samples are neither in a record nor rejected"):
            account.closed(opened, ["train"], shards)


ANNOTATIONS = {
    "kitti": {"training/label_2/{stem}.txt": "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12"},
    "supervisely": {"ds/ann/{base}.json": '{"objects": []}'},
    "words": {"{folder}/Tag/{stem}.txt": "an apple at the left"},
    "matlab": {"annotations.mat": "MATLAB 5.0"},
    "landmarks": {"{folder}/{stem}.pts": "version: 1\nn_points: 68"},
    "one list": {"boxes.txt": "{name} 10 4 20 10 apple\n"},
    "one table": {"boxes.csv": "file,what\n{base},is this\n"},
    "json lines": {"all.jsonl": '{{"image": "{base}", "boxes": [[1, 2, 3, 4]]}}\n'},
    "xml": {"all.xml": '<images><image file="{name}"><box top="1"/></image></images>'},
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations_of_an_unknown_kind_are_not_read_as_folders(tmp_path, kind):
    build.classes(tmp_path, {"cat": 2, "dog": 2})
    for name in [*files.tree(tmp_path).names]:
        folder, base = name.split("/")
        fields = {"name": name, "folder": folder, "base": base, "stem": base.partition(".")[0]}
        for path, text in ANNOTATIONS[kind].items():
            named = "{name}" in text or "{base}" in text
            text = text.format(**fields) if named else text
            build.written(tmp_path, {path.format(**fields): text})
    for format_name in ("auto", "folder"):
        tree, found, listing = example_gen.listed(tmp_path, Params(format=format_name))
        assert found == "folder"
        if format_name == "auto":
            with pytest.raises(SourceError, match=r"annotation files .* --format folder"):
                account.opened(tree, listing, found, found=True)
        else:
            told = account.opened(tree, listing, found, found=False).unused
            assert sum(group.count for group in told) in (1, 2, 4)


def test_lists_readmes_and_recipes_are_told_and_not_refused(tmp_path):
    build.classes(tmp_path, {"cat": 2, "dog": 2})
    names = files.tree(tmp_path).names
    content = {
        "train.txt": "\n".join(names),
        "LICENSE": "free",
        "README.txt": f"a set, of which {names[0]} is the best",
        "cat/notes.txt": "",
        "meta/train.json": json.dumps({"cat": [n.partition(".")[0] for n in names]}),
        "meta/images.json": json.dumps(names),
        "meta.json": '{"version": 1}',
        "log.csv": "a,b\n1,2\n",
        "classes.txt": "cat\ndog\n",
        "features.npy": "",
        "Thumbs.db": "x",
    }
    build.written(tmp_path, content)
    tree, found, listing = example_gen.listed(tmp_path, Params())
    assert found == "folder"
    told = account.opened(tree, listing, found, found=True).unused
    assert sum(group.count for group in told) == len(content)


@pytest.mark.parametrize("name", sorted({*SETS} - {"digits"}))
def test_files_that_a_reader_uses_are_not_told(tmp_path, name):
    """All files of the small set of each format are used."""
    build.written(tmp_path, SETS[name]())
    tree, found, listing = example_gen.listed(tmp_path, Params(format=name, scale=2))
    opened = account.opened(tree, listing, found, found=False)
    assert opened.unused == ()
    left = [picture for picture, numbers in opened.pictures.items() if not numbers]
    assert len(left) == (name == "label_studio")  # of a task that nobody annotated


@pytest.mark.parametrize("seed", range(4))
def test_the_sum_holds_over_sets_with_junk(tmp_path, seed):
    """Mixed layouts, odd names, damaged pictures, stray files: nothing is lost without a word."""
    rng = np.random.default_rng(seed)
    kinds = ("voc", "coco", "yolo", "labelme", "folder", "csv")
    content = dict(SETS[kinds[rng.integers(len(kinds))]]())
    for number in range(12):
        stem = ("é 猫", "train", "notes", "a b", "x.y", "IMAGES", "1")[rng.integers(7)]
        ending = (".jpg", ".PNG", ".json", ".txt", ".xml", "", ".tif", ".csv")[rng.integers(8)]
        folder = ("", "train/", "images/", "labels/", "Annotations/", ".hidden/")[rng.integers(6)]
        data = (build.picture(seed=number), b"", b"{}", b"0 0.5 0.5 0.1 0.1")[rng.integers(4)]
        content.setdefault(f"{folder}{stem}{number}{ending}", data)
    root = build.written(tmp_path / "set", content)
    try:
        manifest = ingest(root, tmp_path / "out")
    except (SourceError, IngestError) as error:
        assert "fault of the ingest" not in str(error)  # noqa: PT017
        return
    found = sum(files.is_picture(name.rpartition("/")[2].lstrip(".")) for name in content)
    counts = manifest["pictures"]
    assert counts.pop("found") == found == sum(counts.values())
    pictures = [row for row in manifest["unused"] if row["what"] == "pictures"]
    assert sum(row["count"] for row in pictures) == counts["unused"]


def test_a_set_whose_every_sample_is_rejected_says_why(tmp_path):
    """Two pictures of each name: nothing is written, and the message has the reason."""
    build.written(tmp_path / "set", {"data.yaml": "names: [cat]\ntrain: images\n"})
    for number in range(2):
        files_ = {f"images/{number}.{ending}": build.picture() for ending in ("jpg", "png")}
        build.written(tmp_path / "set", {**files_, f"labels/{number}.txt": "0 0.5 0.5 0.2 0.2\n"})
    with pytest.raises(IngestError, match=r"4 of 4 samples cannot be used.*ambiguous_picture"):
        example_gen.run(
            {"source": tmp_path / "set"}, Params(format="yolo", splits=()), tmp_path / "records"
        )


@pytest.mark.parametrize("lists", [[], [[]], [[["a", "0f"]], [], [["b", "1e"], ["ü", "2d"]]]])
def test_the_hash_of_the_inputs_is_that_of_one_text(lists):
    expected = hashlib.sha256(json.dumps(lists).encode()).hexdigest()
    assert written._sha256(lists) == expected
