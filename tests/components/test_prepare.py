"""Splits, classes and names between a reader's listing and the records; ingests run again."""

import dataclasses
import json
import os

import pytest

from convoy.data import example, tfrecord
from convoy.data.ingest import prepare, shards
from convoy.data.sample import Listing
from convoy.data.sources import SourceError, detect
from convoy.pipeline import cli
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params
from convoy.pipeline.store import fingerprint
from tests.data import build

ONE = ("--direct_num_workers=1",)


def listing_of(path, **params):
    return example_gen.listing_of(path, Params(**params))[1]


def ingest(capfd, source, out, *flags):
    """(exit code, the JSON answer)."""
    words = ["convoy", "ingest", "--input", str(source), "--output", str(out), "--json", *flags]
    code = cli.main([*words, "--", *ONE])
    return code, json.loads(capfd.readouterr().out.splitlines()[-1])


def test_some_of_the_classes(tmp_path, capfd):
    """The others are left out and counted, not rejected; a slip in a name is told."""
    build.classes(tmp_path / "set", {"tulip": 5, "rose": 4, "fern": 3})
    flags = ("--set", "data.labels=[tulips, rose]")
    code, found = ingest(capfd, tmp_path / "set", tmp_path / "out", *flags)
    assert (code, found["records"], found["rejected"]) == (0, 4, 0)
    told = {row["what"]: (row["count"], row["examples"]) for row in found["unused"]}
    assert told["samples"] == (8, ["fern/000.jpeg", "fern/001.jpeg", "fern/002.jpeg"])
    assert told["names of data.labels"] == (1, ["tulips"])
    assert found["pictures"] == {"found": 12, "in_records": 4, "rejected": 0, "unused": 8}


@pytest.mark.parametrize(("train", "test"), [("trainval", "test"), ("train", "test")])
def test_splits_of_a_set_without_any_are_called_as_the_recipe_does(tmp_path, train, test):
    """A plain folder of Annotations and JPEGImages, by the recipe of a devkit."""
    root = build.voc(tmp_path / "plain", count=20)
    own = listing_of(root)
    named = listing_of(root, train=train, splits=(train, test))
    renamed = {"train": train, "val": test}
    assert [(renamed[r.split], r.source_id) for r in own.references] == sorted(
        ((r.split, r.source_id) for r in named.references),
        key=lambda row: ([*renamed.values()].index(row[0]), row[1]),
    )
    assert any(told.what == "splits" for told in named.ambiguous)


def test_splits_that_a_set_brings_keep_their_names(tmp_path):
    root = build.voc(tmp_path / "set", {"train": ["000001"], "val": ["000002"]}, count=2)
    listing = listing_of(root, train="trainval", splits=("trainval", "test"))
    assert {r.split for r in listing.references} == {"train", "val"}


def test_equal_pictures_stay_in_one_split(tmp_path):
    """Of 40 pairs of equal pictures a hash of their ids would part about 16."""
    for number in range(40):
        data = build.picture(seed=number)
        for name in (f"a{number:02d}", f"b{number:02d}"):
            build.saved(tmp_path / "x" / f"{name}.jpg", data)
    build.classes(tmp_path, {"y": 4})
    listing = listing_of(tmp_path, holdout=0.5)
    split = {r.source_id: r.split for r in listing.references}
    assert all(split[f"x/a{n:02d}.jpg"] == split[f"x/b{n:02d}.jpg"] for n in range(40))
    moved = sum(told.count for told in listing.ambiguous if told.what == "pictures")
    assert 8 <= moved <= 32
    assert {*split.values()} == {"train", "val"}
    assert [(r.split, r.source_id) for r in listing.references] == sorted(
        (split, name) for name, split in split.items()
    )


BAD_NAMES = {b"caf\xe9": "is not UTF-8", b"two\nlines": "has a line break"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_class_folders_that_no_line_can_hold_are_refused_first(tmp_path, capfd, name):
    build.classes(tmp_path / "set", {"cat": 2})
    os.rename(os.fsencode(tmp_path / "set" / "cat"), os.fsencode(tmp_path / "set") + b"/" + name)
    build.classes(tmp_path / "set", {"dog": 2})
    code, found = ingest(capfd, tmp_path / "set", tmp_path / "out")
    assert code == 1
    assert BAD_NAMES[name] in found["error"]
    assert "000.jpeg" in found["error"]
    assert not [*tmp_path.glob("*out*/*.tfrecord")]


def test_pictures_and_links_with_odd_names_are_read_or_told(tmp_path, capfd):
    """Both ways in, by a folder and by a recipe's fingerprint, take the same."""
    build.classes(tmp_path / "set", {"cat": 2, "dog": 2})
    inside = os.fsencode(tmp_path / "set")
    os.rename(inside + b"/cat/000.jpeg", inside + b"/cat/caf\xe9.jpeg")
    os.symlink("nowhere", tmp_path / "set" / "README.link")
    os.symlink("gone.jpg", tmp_path / "set" / "cat" / "link.jpg")
    os.symlink(tmp_path / "set", tmp_path / "set" / "dog" / "again")
    os.symlink("itself.txt", tmp_path / "set" / "itself.txt")
    (tmp_path / "set" / "b\udcffad.txt").write_text("x")
    code, found = ingest(
        capfd, tmp_path / "set", tmp_path / "out", "--set", "ingest.max_rejected=1"
    )
    assert code == 0
    assert found["pictures"] == {"found": 5, "in_records": 4, "rejected": 1, "unused": 0}
    assert found["rejected_by_reason"] == {"missing_image": 1}
    before = fingerprint(tmp_path / "set")
    assert before == fingerprint(tmp_path / "set")
    os.unlink(tmp_path / "set" / "README.link")
    assert fingerprint(tmp_path / "set") != before


@pytest.mark.parametrize("edited", ["annotation", "picture"])
def test_what_was_edited_between_two_runs_is_read_again(tmp_path, edited):
    """Killed after some shards: those of edited files are made anew, the others kept."""
    root = build.voc(tmp_path / "set", count=12)
    params = Params(splits=(), shard_mb=0.002, beam=ONE)
    out = tmp_path / "out"
    _, name, listing = example_gen.listed(root, params)
    work = shards.Work(str(out), name, listing.labels, 10**8)
    out.mkdir()
    planned = shards.plan(listing.references, 0.002 * (1 << 20), 0)
    assert len(planned) > 3
    for shard in planned[:3]:
        shards.write(shard, work)
    changed = planned[0].references[0]
    if edited == "annotation":
        objects = build.xml_object("dog", (1, 1, 9, 9))
        (root / "Annotations" / f"{changed.source_id[4:]}.xml").write_text(
            build.annotation(objects)
        )
    else:
        data = build.picture(seed=99)
        (root / "JPEGImages" / f"{changed.source_id[4:]}.jpg").write_bytes(data)
    assert [shards.finished(shard, work) is None for shard in planned[:3]] == [True, False, False]
    example_gen.run({"source": root}, params, out)
    samples = {
        sample.source_id: sample
        for path in out.glob("*.tfrecord")
        for sample in map(example.decode, tfrecord.read(path))
    }
    if edited == "annotation":
        assert samples[changed.source_id].boxes.tolist() == [[0, 0, 9, 9]]
    else:
        assert samples[changed.source_id].image == data


def test_names_in_annotations_are_checked_with_their_file():
    listing = Listing((), ("a\nb",))
    with pytest.raises(SourceError, match=r"classes: the name 'a\\nb' has a line break"):
        prepare.check_names(listing, "set")
    for labels, fault in (((), "at least one class name"), (("a", "a"), "is both class 0")):
        with pytest.raises(SourceError, match=fault):
            prepare.check_names(dataclasses.replace(listing, labels=labels), "set")


def test_a_devkit_of_annots_and_images(tmp_path):
    root = build.voc(tmp_path / "kangaroo", count=4)
    (root / "Annotations").rename(root / "annots")
    (root / "JPEGImages").rename(root / "images")
    assert detect(root) == "voc"
    assert len(listing_of(root).references) == 4
