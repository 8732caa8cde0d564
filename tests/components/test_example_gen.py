import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

from convoy.data import example, tfrecord
from convoy.data.ingest import shards
from convoy.data.sources import SourceError
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params, TooManyRejected
from convoy.pipeline.config import parse
from convoy.pipeline.store import execute
from tests.data import build

ROOT = pathlib.Path(__file__).resolve().parents[2]
TWO_THREADS = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")
TWO_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
)
TINY = {"shard_mb": 0.002}  # several shards of a few pictures


def ingest(source, out, **params):
    example_gen.run({"source": source}, Params(**params), out)
    return json.loads((out / "manifest.json").read_text())


def records(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tfrecord"))}


def samples(folder, split):
    paths = sorted(folder.glob(f"{split}-*.tfrecord"))
    return [example.decode(record) for path in paths for record in tfrecord.read(path)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """12 good pictures, and one of each: corrupt, without XML, without a picture."""
    root = build.voc(tmp_path_factory.mktemp("source") / "VOC2007", count=15)
    (root / "JPEGImages" / "000013.jpg").write_bytes(b"GIF89a no more")
    (root / "Annotations" / "000014.xml").unlink()
    (root / "JPEGImages" / "000015.jpg").unlink()
    (root / "Annotations" / "000001.xml").write_text(
        build.annotation(
            build.xml_object("dog", (5, 7, 21, 30)) + build.xml_object("dog", (3, 3, 3, 3))
        )
    )
    names = [f"{index:06d}" for index in range(1, 16)]
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split, members in (("train", names[:8] + names[12:]), ("val", names[8:12])):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(members))
    return root


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("done")
    ingest(source, out, max_rejected=0.5, **TINY)
    return out


def test_manifest_counts(done):
    manifest = json.loads((done / "manifest.json").read_text())
    train, val = manifest["splits"]["train"], manifest["splits"]["val"]
    assert (train["read"], train["records"], train["objects"], train["rejected"]) == (11, 8, 15, 3)
    assert (val["read"], val["records"], val["objects"], val["rejected"]) == (4, 4, 8, 0)
    assert train["objects_by_class"] == {"cat": 7, "dog": 8}
    assert train["images_by_class"] == {"cat": 7, "dog": 8}
    assert manifest["labels"] == ["cat", "dog"]
    assert manifest["rejected"] == {
        "corrupt_image": 1, "missing_annotation": 1, "missing_image": 1,
    }  # fmt: skip
    assert manifest["warnings"] == {"empty_box": 1}
    assert manifest["schema_version"] == example.SCHEMA_VERSION
    assert train["file_bytes"] == sum(len(records(done)[name]) for name in train["shards"])
    assert sorted(train["shards"] + val["shards"]) == sorted(records(done))
    rows = [json.loads(line) for line in (done / "rejected.jsonl").read_text().splitlines()]
    assert {(row["source_id"], row["split"], row["reason"]) for row in rows} == {
        ("VOC2007/000013", "train", "corrupt_image"),
        ("VOC2007/000014", "train", "missing_annotation"),
        ("VOC2007/000015", "train", "missing_image"),
    }
    assert (done / "labels.txt").read_text() == "cat\ndog\n"
    kept = {"labels.txt", "manifest.json", "rejected.jsonl", "warnings.jsonl"}
    kept |= {"features.json", "dataset_info.json"}  # for TFDS, with its copies of the labels
    kept |= {f"image-{part}class-label.labels.txt" for part in ("", "object-")}
    assert {path.name for path in done.iterdir()} == kept | records(done).keys()


def test_records_hold_what_the_source_holds(done, source):
    found = {sample.source_id: sample for sample in samples(done, "train")}
    assert sorted(found) == [f"VOC2007/{index:06d}" for index in range(1, 9)]
    sample = found["VOC2007/000003"]
    assert sample.image == (source / "JPEGImages" / "000003.jpg").read_bytes()
    np.testing.assert_array_equal(sample.boxes, [[6, 4, 30, 23], [0, 0, 40, 60]])
    assert sample.classes.tolist() == [1, 0]


@pytest.mark.parametrize(
    "beam",
    [TWO_THREADS, TWO_PROCESSES, ("--direct_num_workers=1",), ("--direct_num_workers=3",)],
    ids=["threads", "processes", "one", "three"],
)
def test_same_bytes_for_any_number_of_workers(source, done, tmp_path, beam):
    ingest(source, tmp_path, max_rejected=0.5, beam=beam, **TINY)
    assert len(records(done)) > 4
    assert records(tmp_path) == records(done)


def test_rerun_keeps_complete_shards(source, done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    work, planned = _work_and_plan(source, out)
    name = sorted(records(out))[0]
    (out / name).unlink()
    for shard in planned:
        shards.write(shard, work)  # what a run leaves when it is killed before the manifest
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    (out / name).write_bytes(b"half")
    (out / ".train-00000-of-00099.tfrecord.abc.tmp").write_bytes(b"left by a killed worker")
    (out / "train-00000-of-00099.tfrecord").write_bytes(b"of another plan")
    ingest(source, out, max_rejected=0.5, **TINY)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    assert {key for key in before if before[key] != after[key]} == {name}
    assert records(out) == records(done)
    assert not list(out.glob(".*"))


def _work_and_plan(source_path, out):
    listing = shards.source("voc").scan(source_path)
    work = shards.Work(str(out), "voc", listing.labels, Params().max_pixels)
    return work, shards.plan(listing.references, TINY["shard_mb"] * 2**20, 0)


INGEST = """
import pathlib, sys
from convoy.pipeline.components import example_gen
params = example_gen.Params(format="folder", shard_mb=0.2)
example_gen.run({"source": pathlib.Path(sys.argv[1])}, params, pathlib.Path(sys.argv[2]))
assert "tensorflow" not in sys.modules, "TensorFlow was imported without need"
"""


def start(source, out):
    return subprocess.Popen(
        [sys.executable, "-c", INGEST, str(source), str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )


def test_killed_in_the_middle_and_run_again(tmp_path):
    """Also: a whole ingest without copies imports no TensorFlow."""
    data = build.picture(1600, 1600, kind="PNG", compress_level=1)  # slow enough to be caught
    for split, count in (("train", 30), ("val", 2)):
        for index in range(count):
            path = tmp_path / "in" / split / "a" / f"{index:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    out = tmp_path / "out"
    victim = start(tmp_path / "in", out)
    deadline = time.monotonic() + 120
    while not list(out.glob("*.tfrecord.json")) or not list(out.glob(".*.tmp")):
        assert victim.poll() is None, victim.stderr.read().decode()
        assert time.monotonic() < deadline, "no shard was written"
        time.sleep(0.002)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (out / "manifest.json").exists()
    early = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tfrecord")}
    again = start(tmp_path / "in", out)
    message = again.communicate()[1].decode()
    assert again.returncode == 0, message
    ingest(tmp_path / "in", tmp_path / "whole", format="folder", shard_mb=0.2)
    assert records(out) == records(tmp_path / "whole")
    assert len(early) < len(records(out))
    assert any((out / name).stat().st_mtime_ns == early[name] for name in early)
    assert json.loads((out / "manifest.json").read_text())["splits"]["train"]["records"] == 30


def test_too_many_rejected_fails_and_leaves_their_list(source, tmp_path):
    with pytest.raises(TooManyRejected) as caught:
        ingest(source, tmp_path, max_rejected=0.1)
    assert "3 of 15 samples" in str(caught.value)
    assert "missing_image (1)" in str(caught.value)
    assert f"all are in {tmp_path / 'rejected.jsonl'}" in str(caught.value)
    (left,) = tmp_path.iterdir()
    rows = [json.loads(line) for line in left.read_text().splitlines()]
    assert sorted(row["source_id"] for row in rows) == [f"VOC2007/0000{i}" for i in (13, 14, 15)]


def test_one_fault_is_never_fatal(tmp_path):
    """1 of 6 is more than 5 %; 0 allows none."""
    root = build.voc(tmp_path / "in", count=6)
    (root / "JPEGImages" / "000002.jpg").write_bytes(b"")
    assert ingest(root, tmp_path / "out", splits=())["rejected"] == {"empty_image": 1}
    with pytest.raises(TooManyRejected, match="1 of 6 samples"):
        ingest(root, tmp_path / "none", splits=(), max_rejected=0)


def test_a_split_without_a_usable_sample_fails(tmp_path):
    root = build.voc(tmp_path / "in", {"train": ["000001"], "val": ["000002"]}, count=2)
    (root / "JPEGImages" / "000002.jpg").write_bytes(b"")
    with pytest.raises(TooManyRejected, match=r"split 'val'.*empty"):
        ingest(root, tmp_path / "out", max_rejected=1.0)


def test_missing_split_names_those_that_exist(source, tmp_path):
    with pytest.raises(SourceError, match=r"split 'test'; the splits are train \(11\), val \(4\)"):
        ingest(source, tmp_path, splits=("train", "test"))
    with pytest.raises(SourceError, match="nothing: no such file or folder"):
        ingest(tmp_path / "nothing", tmp_path)


def test_shared_samples_are_reported(tmp_path):
    names = ["000001", "000002", "000003"]
    root = build.voc(tmp_path / "in", {"trainval": names, "val": names[2:]}, count=3)
    manifest = ingest(root, tmp_path / "out", train="trainval", splits=("trainval", "val"))
    assert manifest["overlap"] == {"trainval+val": 1}


@pytest.mark.parametrize(("files", "place"), [(0, ".plan"), (3, ".tfrecord")])
def test_full_disk_is_one_clear_message(source, files, place):
    """Space enough when work starts, then no place for a file: the plan's folder, a first shard.

    Before that shard there are the plan's folder and its two files, for train and val.
    """
    with _disk_for(files) as out:
        assert shutil.disk_usage(out).free > 500_000
        message = rf"{place}.*: the disk is full; .*needs about .* bytes"
        with pytest.raises(shards.IngestError, match=message):
            ingest(source, out, max_rejected=0.5)
        assert records(out) == {}


@contextlib.contextmanager
def _disk_for(files: int):
    """A folder on a disk of 1 MiB that takes so many files, where this machine lets us mount it."""
    folder = pathlib.Path(tempfile.mkdtemp())
    options = f"size=1m,nr_inodes={1 + files}"  # one is the folder's own
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("cannot mount a small disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_no_space_is_said_before_work_starts(source, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(example_gen.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(shards.IngestError, match=r"needs about 0 MiB for records, 0 MiB are free"):
        ingest(source, tmp_path, max_rejected=0.5)


def test_bad_beam_options_are_explained(source, tmp_path):
    with pytest.raises(shards.IngestError, match="Beam does not take these"):
        ingest(source, tmp_path, max_rejected=0.5, beam=("--direct_num_workers=many",))


def test_beam_options_do_not_change_the_artifact(source, tmp_path):
    made = [
        execute(
            "example_gen",
            example_gen.run,
            inputs={"source": source},
            params=Params(max_rejected=0.5, beam=beam),
            store=tmp_path,
            code="as it is",
        )
        for beam in ((), TWO_THREADS)
    ]
    assert (made[0].cached, made[1].cached) == (False, True)


def test_params_of_a_recipe():
    recipe = parse(
        {
            "name": "a",
            "task": "detection",
            "seed": 7,
            "data": {"train": "trainval", "test": "test", "labels": ["x"]},
            "ingest": {"copies": 2, "beam": ["--runner=FlinkRunner"]},
        }
    )
    params = example_gen.params_of(recipe)
    assert params.splits == ("trainval", "test")
    assert (params.train, params.copies, params.seed) == ("trainval", 2, 7)
    assert params.beam == ("--runner=FlinkRunner",)


def test_augmented_copies_of_the_training_split(source, tmp_path):
    manifest = ingest(
        source,
        tmp_path,
        max_rejected=0.5,
        copies=2,
        augment={"flip_horizontal": 1.0},
    )
    train = samples(tmp_path, "train")
    assert manifest["splits"]["train"]["records"] == len(train) == 24
    assert manifest["splits"]["train"]["copies"] == 16
    assert manifest["splits"]["val"]["copies"] == 0
    found = {sample.source_id: sample for sample in train}
    for copy in ("#aug1", "#aug2"):
        flipped = found[f"VOC2007/000003{copy}"]
        np.testing.assert_allclose(flipped.boxes, [[6, 37, 30, 56], [0, 0, 40, 60]], atol=1e-3)


def test_the_same_picture_in_two_splits_is_reported(tmp_path):
    root = build.classes(tmp_path / "set" / "train", {"cat": 3, "mouse": 3}).parent
    build.classes(root / "val", {"cat": 1, "mouse": 1})
    twin = (root / "train" / "mouse" / "002.jpeg").read_bytes()
    (root / "val" / "mouse" / "again.jpg").write_bytes(twin)
    (root / "train" / "mouse" / "twice.jpg").write_bytes(twin)
    manifest = ingest(root, tmp_path / "out", format="folder")
    # The builder gives val/cat/000 and val/mouse/000 the pictures of their names in train.
    assert manifest["duplicates"]["pictures"] == {"train": 1, "train+val": 3}
    assert ["train: train/mouse/002.jpeg", "train: train/mouse/twice.jpg"] in sorted(
        sorted(pair) for pair in manifest["duplicates"]["examples"]
    )
