import collections

import numpy as np
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, files, tiny_imagenet
from tests.data import build

FISH, BALL = "n01443537", "n02802426"


def tiny(root):
    """Two classes of train, two pictures of val and one of test."""
    for wnid, rows in (
        (BALL, "{0}_0.JPEG\t8\t6\t63\t63\n{0}_1.JPEG\t20\t0\t25\t0\n"),
        (FISH, "{0}_0.JPEG\t0\t0\t62\t61\r\n\r\n"),
    ):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        (images.parent / f"{wnid}_boxes.txt").write_bytes(rows.format(wnid).encode())
        for index in range(2):
            (images / f"{wnid}_{index}.JPEG").write_bytes(build.picture(64, 64, seed=index))
    for split in ("val", "test"):
        (root / split / "images").mkdir(parents=True)
        for index in range(2):
            name = f"{split}_{index}.JPEG"
            (root / split / "images" / name).write_bytes(build.picture(64, 64, seed=9 + index))
    rows = f"val_0.JPEG\t{FISH}\t5\t5\t9\t7\n"
    (root / "val" / "val_annotations.txt").write_text(rows)
    (root / "wnids.txt").write_text(f"{BALL}\n{FISH}\n")
    (root / "words.txt").write_text(f"{BALL}\tbasketball\n{FISH}\tgoldfish, Carassius auratus\n")
    return root


@pytest.mark.parametrize("below", ["", "tiny-imagenet-200"])
def test_corners_count_from_0_and_are_inclusive(tmp_path, below):
    tiny(tmp_path / below)
    assert detect(tmp_path) == "tiny_imagenet"
    listing = tiny_imagenet.scan(tmp_path)
    assert listing.labels == ("goldfish", "basketball")  # in the order of the synsets
    assert listing.notes == ("2 pictures of test have no labels and are not used",)
    assert [(r.split, r.source_id.rpartition("/")[2]) for r in listing.references] == [
        ("train", f"{FISH}_0.JPEG"),
        ("train", f"{FISH}_1.JPEG"),
        ("train", f"{BALL}_0.JPEG"),
        ("train", f"{BALL}_1.JPEG"),
        ("val", "val_0.JPEG"),
    ]
    assert [row[1] for row in listing.rejected] == ["missing_annotation"]  # val_1
    warned = collections.Counter()
    samples = [
        tiny_imagenet.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in listing.references
    ]
    assert [s.labels.tolist() for s in samples] == [[0], [0], [1], [1], [0]]
    boxes = [s.boxes.tolist() for s in samples]
    assert boxes == [[[0, 0, 62, 63]], [], [[6, 8, 64, 64]], [], [[5, 5, 8, 10]]]
    assert samples[2].classes.tolist() == [1]
    assert warned == {"empty_box": 1}


def test_train_alone_is_not_taken_for_imagenet(tmp_path):
    root = tiny(tmp_path)
    for name in ("val", "test"):
        (root / name).rename(tmp_path.parent / f"{tmp_path.name}_{name}")
    assert detect(tmp_path) == "tiny_imagenet"


def test_labels_and_missing_names(tmp_path):
    root = tiny(tmp_path)
    for labels in (("basketball",), (BALL,)):
        listing = tiny_imagenet.scan(root, Options(labels=labels))
        assert (listing.labels, len(listing.references)) == (labels, 2)
        sample = tiny_imagenet.read(listing.references[0], listing.labels)
        np.testing.assert_array_equal(sample.boxes, [[6, 8, 64, 64]])
        assert collections.Counter(row[1] for row in listing.rejected) == {
            "unknown_class": 3,
            "missing_annotation": 1,
        }
    (root / "words.txt").unlink()
    listing = tiny_imagenet.scan(root)
    assert listing.labels == (FISH, BALL)
    assert any("no words.txt" in note for note in listing.notes)


@pytest.mark.parametrize(
    "row", ["x\t1\t2\t3", "1\t2\t3", "", "1.5\t2\t3\t4", f"1\t2\t3\t{10**400}"]
)
def test_damaged_lines_name_their_number(tmp_path, row):
    root = tiny(tmp_path)
    path = root / "train" / BALL / f"{BALL}_boxes.txt"
    path.write_text(f"\n{BALL}_0.JPEG\t{row}\n{BALL}_1.JPEG\t1\t2\t30\t40\n")
    listing = tiny_imagenet.scan(root)
    bad, good = listing.references[2:4]
    with pytest.raises(BadSample, match=r"corrupt_annotation.*_boxes\.txt line 2"):
        tiny_imagenet.read(bad, listing.labels)
    assert tiny_imagenet.read(good, listing.labels).boxes.tolist() == [[2, 1, 41, 31]]


def test_other_folders(tmp_path):
    with pytest.raises(SourceError, match=r"_boxes\.txt"):
        tiny_imagenet.scan(tmp_path)
    build.classes(tmp_path / "train", {FISH: 2, BALL: 1})
    assert not tiny_imagenet.detect(files.tree(tmp_path))
