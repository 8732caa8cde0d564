import collections
import json
import zipfile

import numpy as np
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, coco, detect
from tests.data.build_coco import (
    CATEGORIES,
    PEOPLE,
    ids,
    pictures,
    row,
    samples,
    write,
)


def test_official_layout_with_keypoints_and_captions(tmp_path):
    for split in ("train", "val"):
        pictures(tmp_path / f"{split}2017", "000001.jpg", "000002.jpg")
        names = ["000001.jpg", "000002.jpg"]
        where, end = tmp_path / "annotations", f"{split}2017.json"
        points = [15, 10, 2, 20, 12, 1, 0, 0, 0]
        write(where / f"instances_{end}", names, [row(7, 1), row(8, 1, 3), row(9, 1)])
        keyed = [row(9, 1, keypoints=points), row(11, 1, bbox=(0, 0, 9, 9), keypoints=[0] * 9)]
        write(where / f"person_keypoints_{end}", names, keyed, [PEOPLE])
        caption = [{"id": i, "image_id": 1, "caption": f" {split} {i}\n"} for i in (1, 2)]
        write(where / f"captions_{end}", names, [*caption, {"image_id": 2, "caption": ""}], [])
    assert detect(tmp_path) == "coco"
    listing = coco.scan(tmp_path)
    assert ids(listing) == [(s, f"{s}2017/00000{i}.jpg") for s in ("train", "val") for i in (1, 2)]
    assert listing.labels == ("person", "car", "brush")
    assert listing.keypoints == ("nose", "left_eye", "right_eye")
    assert listing.keypoint_pairs == ((1, 2),)
    found, warned = samples(listing)
    sample = found["val2017/000001.jpg"]
    assert sample.classes.tolist() == [0, 1, 0, 0]
    wanted = np.zeros((4, 3, 3))
    wanted[2] = [[10, 15, 2], [12, 20, 1], [0, 0, 0]]  # y, x, visibility of annotation 9
    np.testing.assert_array_equal(sample.keypoints, wanted)
    assert sample.captions == ("val 1", "val 2")
    empty = found["val2017/000002.jpg"]
    assert (empty.boxes.shape, empty.captions) == ((0, 4), ())
    assert warned == {"bad_caption": 2}


def test_captions_alone(tmp_path):
    """Without categories; the records' one class is of nothing."""
    pictures(tmp_path / "train2017", "1.jpg", "2.jpg")
    caption = {"id": 1, "image_id": 1, "caption": "a dog"}
    write(tmp_path / "annotations/captions_train2017.json", ["1.jpg", "2.jpg"], [caption], [])
    assert detect(tmp_path) == "coco"
    listing = coco.scan(tmp_path)
    assert listing.labels == ("picture",)
    found, warned = samples(listing)
    assert {name: sample.captions for name, sample in found.items()} == {
        "train2017/1.jpg": ("a dog",),
        "train2017/2.jpg": (),
    }
    assert not warned


def test_zips_as_downloaded(tmp_path):
    pictures(tmp_path / "x", "train2017/1.jpg", "val2017/1.jpg")
    for split in ("train", "val"):
        name = f"instances_{split}2017.json"
        write(tmp_path / "x" / "annotations" / name, ["1.jpg"], [row(1, 1)])
    (tmp_path / "zips").mkdir()
    for folder, name in [("train2017",) * 2, ("val2017",) * 2, ("annotations", "annotations_tv")]:
        path = tmp_path / "zips" / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((tmp_path / "x" / folder).iterdir()):
                archive.write(file, f"{folder}/{file.name}")
    assert detect(tmp_path / "zips") == "coco"
    listing = coco.scan(tmp_path / "zips")
    assert ids(listing) == [("train", "train2017/1.jpg"), ("val", "val2017/1.jpg")]
    assert [len(s.boxes) for s in samples(listing)[0].values()] == [1, 1]


def test_roboflow_layout(tmp_path):
    for split in ("train", "valid", "test"):
        pictures(tmp_path / split, "a.jpg")
        write(tmp_path / split / "_annotations.coco.json", ["a.jpg"], [row(1, 1)])
    assert ids(coco.scan(tmp_path)) == [
        ("test", "test/a.jpg"),
        ("train", "train/a.jpg"),
        ("val", "valid/a.jpg"),
    ]


@pytest.mark.parametrize(
    ("json_name", "picture", "file_name"),
    [
        ("a/train.json", "a/1.jpg", "1.jpg"),
        ("a/train.json", "a/images/1.jpg", "images/1.jpg"),
        ("a/train.json", "images/train/1.jpg", "1.jpg"),
        ("a/train.json", "images/train/1.jpg", "train/1.jpg"),
        ("a/train.json", "images/1.jpg", "../images/1.jpg"),
        ("a/train.json", "b/c/1.jpg", "/home/me/set/b/c/1.jpg"),
        ("a/train.json", "b/c/1.jpg", r"C:\set\c\1.jpg"),
        ("a/train.json", "b/c/1.jpg", r"c\1.jpg"),
        ("a/train.json", "b/c/1.JPG", "1.jpg"),
        ("a/train.json", "deep/down/é 猫.jpg", "é 猫.jpg"),
        ("annotations/instances_train2017.json", "images/train2017/1.jpg", "1.jpg"),
        ("lvis_train.json", "train2017/1.jpg", "http://images.cocodataset.org/train2017/1.jpg"),
    ],
)
def test_where_pictures_are_looked_for(tmp_path, json_name, picture, file_name):
    pictures(tmp_path, picture, "other/val/1.jpg")
    write(tmp_path / json_name, [file_name], [row(1, 1)])
    assert ids(coco.scan(tmp_path)) == [("train", picture)]


def test_longest_ending_decides_between_pictures_of_one_name(tmp_path):
    pictures(tmp_path, "x/a/1.jpg", "x/b/1.jpg")
    write(tmp_path / "ann" / "all.json", ["/data/b/1.jpg", "1.jpg"])
    listing = coco.scan(tmp_path)
    assert {r.source_id for r in listing.references} == {"x/b/1.jpg", "1.jpg"}
    missing = next(r for r in listing.references if r.source_id == "1.jpg")
    with pytest.raises(BadSample, match="missing_image"):
        coco.read(missing, listing.labels)


def test_a_single_file_is_split_by_a_hash(tmp_path):
    names = [f"{i}.jpg" for i in range(40)]
    pictures(tmp_path / "images", *names)
    write(tmp_path / "trainval.json", names)
    found = ids(coco.scan(tmp_path, Options(holdout=0.25)))
    assert len(found) == 40
    assert 3 <= sum(split == "val" for split, _ in found) <= 18
    write(tmp_path / "train.json", names[:30])
    write(tmp_path / "val.json", names[30:])
    listing = coco.scan(tmp_path)
    assert collections.Counter(split for split, _ in ids(listing)) == {"train": 30, "val": 10}
    assert any("trainval.json" in note for note in listing.notes)


def test_the_path_of_one_json_file(tmp_path):
    pictures(tmp_path / "val2017", "1.jpg")
    path = write(tmp_path / "annotations" / "instances_val2017.json", ["1.jpg"], [row(1, 1)])
    write(tmp_path / "annotations" / "instances_train2017.json", ["2.jpg"])
    assert detect(path) == "coco"
    assert ids(coco.scan(path)) == [("val", "val2017/1.jpg")]
    pictures(tmp_path / "annotations", "1.jpg")
    assert ids(coco.scan(path)) == [("val", "1.jpg")]


def test_files_that_contradict_each_other(tmp_path):
    pictures(tmp_path, "1.jpg", "2.jpg")
    write(tmp_path / "train.json", ["1.jpg"], [row(1, 1)])
    write(tmp_path / "train_copy.json", ["1.jpg"], [row(1, 1)])
    with pytest.raises(SourceError, match=r"train\.json and train_copy\.json describe the same"):
        coco.scan(tmp_path)
    path = write(tmp_path / "train_copy.json", ["2.jpg"], [row(1, 1, keypoints=[1, 1, 2] * 3)])
    write(tmp_path / "val.json", ["2.jpg"], [row(1, 1, keypoints=[1, 1, 2] * 5)], CATEGORIES[:1])
    with pytest.raises(SourceError, match=r"train_copy\.json: 3; val\.json: 5 points"):
        coco.scan(tmp_path)
    assert len(coco.scan(path).keypoints) == 3


def test_pictures_that_are_not_there(tmp_path):
    pictures(tmp_path / "val2017", "1.jpg")
    write(tmp_path / "annotations" / "instances_val2017.json", ["1.jpg", "2.jpg"])
    write(tmp_path / "annotations" / "instances_train2017.json", ["3.jpg"])
    listing = coco.scan(tmp_path)
    assert ids(listing) == [("val", "val2017/1.jpg"), ("val", "val2017/2.jpg")]
    assert listing.notes == (
        "annotations/instances_train2017.json: none of its 1 pictures is there: left out",
    )
    (tmp_path / "val2017" / "1.jpg").unlink()
    with pytest.raises(SourceError, match=r"such as 3\.jpg"):
        coco.scan(tmp_path)


def test_no_file_outside_of_the_data_set_is_read(tmp_path):
    pictures(tmp_path, "outside.jpg", "set/1.jpg")
    names = ["1.jpg", "../outside.jpg", "../../../outside.jpg", "/", "\ud800.jpg"]
    write(tmp_path / "set" / "train.json", names)
    listing = coco.scan(tmp_path / "set")
    assert {r.source_id for r in listing.references} == {"1.jpg", "outside.jpg", "?", "?.jpg"}
    for reference in listing.references:
        if reference.source_id != "1.jpg":
            with pytest.raises(BadSample, match=r"missing_image|unreadable_image"):
                coco.read(reference, listing.labels)


def test_damaged_file_says_where(tmp_path):
    pictures(tmp_path, "1.jpg")
    path = write(tmp_path / "train.json", ["1.jpg"], [row(1, 1)])
    path.write_bytes(path.read_bytes()[:-40])
    assert detect(tmp_path) == "coco"
    with pytest.raises(SourceError, match=r"train\.json.*damaged at byte \d+"):
        coco.scan(tmp_path)


def test_what_is_not_coco(tmp_path):
    pictures(tmp_path, "1.jpg")
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    for name, told in [
        ("detections.json", found),
        ("train.json", {"images": []}),
        ("labels.json", {"images": ["a.jpg"], "annotations": [[1]]}),
        ("config.json", {"a": 1}),
        ("broken.json", "{"),
    ]:
        (tmp_path / name).write_text(told if isinstance(told, str) else json.dumps(told))
    assert not coco.detect(coco.files.tree(tmp_path))
    with pytest.raises(SourceError, match="expected COCO's JSON"):
        coco.scan(tmp_path)
    write(tmp_path / "instances.json", ["1.jpg"], [row(1, 1)])
    assert len(coco.scan(tmp_path).references) == 1  # what lies around it does not disturb


def test_image_info_alone(tmp_path):
    pictures(tmp_path / "test2017", "1.jpg")
    write(tmp_path / "annotations" / "image_info_test2017.json", ["1.jpg"])
    listing = coco.scan(tmp_path)
    assert ids(listing) == [("test", "test2017/1.jpg")]
    assert samples(listing)[0]["test2017/1.jpg"].boxes.shape == (0, 4)
    write(tmp_path / "annotations" / "image_info_test-dev2017.json", ["1.jpg"])
    assert ids(coco.scan(tmp_path)) == [("test", "test2017/1.jpg")]


def test_same_listing_and_order_again(tmp_path):
    names = [f"{i}.jpg" for i in range(12)]
    pictures(tmp_path / "images", *names)
    write(tmp_path / "all.json", names, [row(i, 1 + i % 12, 1 + 2 * (i % 2)) for i in range(40)])
    first = coco.scan(tmp_path)
    assert repr(coco.scan(tmp_path)) == repr(first)
