"""Formats that list the objects of each picture: what they say, by hand; what is wrong in them."""

from __future__ import annotations

import collections
import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.files.files import tree
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, source
from tests.data import build, fuzz_sets
from tests.data.build import written

FIRST = [3, 2, 9, 8]  # ymin, xmin, ymax, xmax of the first object everywhere
# format: (classes, splits, {picture: [(class, box), ...]}, words in notes)
RIGHT = {
    "cvat": (
        ("cup", "jug"),
        {"images/1.jpg": "train", "images/2.jpg": "val"},
        {
            "images/1.jpg": [("cup", FIRST), ("jug", [2, 2, 7, 8])],
            "images/2.jpg": [("cup", [1, 5, 9, 7])],  # 8 x 2 turned by 90 degrees about (6, 5)
        },
        "1 <points>",
    ),
    "datumaro": (
        ("cup", "jug"),
        {"images/train/1.jpg": "train", "images/validation/2.jpg": "val"},
        {
            "images/train/1.jpg": [("cup", FIRST), ("jug", [2, 2, 7, 8])],
            "images/validation/2.jpg": [],
        },
        "1 of type caption",
    ),
    "supervisely": (
        ("jug", "cup"),
        None,
        {"ds/img/1.jpg": [("jug", FIRST), ("cup", [2, 2, 7, 8])], "ds/img/2.jpg": []},
        "1 point",
    ),
    "kitti": (
        ("Car",),
        {"training/image_2/000001.png": "train", "training/image_2/000002.png": "train"},
        {"training/image_2/000001.png": [("Car", FIRST)], "training/image_2/000002.png": []},
        "1 regions DontCare",
    ),
    "wider": (
        ("face",),
        {
            "WIDER_train/images/0--Parade/1.jpg": "train",
            "WIDER_train/images/0--Parade/2.jpg": "train",
        },
        {
            "WIDER_train/images/0--Parade/1.jpg": [("face", FIRST), ("face", [1, 1, 5, 4])],
            "WIDER_train/images/0--Parade/2.jpg": [],
        },
        "",
    ),
    "oid_toolkit": (
        ("Cup", "Tea pot"),
        {"train/Cup/1.jpg": "train", "validation/Cup/2.jpg": "val"},
        {
            "train/Cup/1.jpg": [("Cup", FIRST), ("Tea pot", [1, 1, 5, 4.5])],
            "validation/Cup/2.jpg": [("Cup", [0, 0, 5, 5])],
        },
        "1 texts are of pictures that another class has, too",
    ),
    "huggingface": (
        ("0", "4"),
        {"train/1.jpg": "train", "train/2.jpg": "train"},
        {"train/1.jpg": [("0", FIRST), ("4", [1, 1, 5, 4])], "train/2.jpg": []},
        "keys that are not used: note",
    ),
}


def samples_of(name: str, root, labels=()):
    listing = source(name).scan(root, Options(holdout=0, labels=labels))
    warned: collections.Counter = collections.Counter()
    samples = {
        reference.source_id: source(name).read(
            reference, listing.labels, warn=lambda reason, _: warned.update([reason])
        )
        for reference in listing.references
    }
    return listing, samples, dict(warned)


@pytest.mark.parametrize("name", RIGHT)
def test_what_it_says(name, tmp_path):
    written(tmp_path, fuzz_sets.SETS[name]())
    assert detect(tmp_path) == name
    labels, splits, objects, note = RIGHT[name]
    listing, samples, warned = samples_of(name, tmp_path)
    assert (listing.labels, listing.rejected, warned) == (labels, (), {})
    assert sorted(samples) == sorted(objects)
    for picture, expected in objects.items():
        sample = samples[picture]
        assert [listing.labels[index] for index in sample.classes] == [row[0] for row in expected]
        np.testing.assert_allclose(
            sample.boxes, np.reshape([row[1] for row in expected], (-1, 4)), atol=1e-5
        )
    if splits:
        assert {row.source_id: row.split for row in listing.references} == splits
    assert note in "; ".join(listing.notes)


def test_flags(tmp_path):
    written(tmp_path / "k", fuzz_sets.kitti())
    written(tmp_path / "w", fuzz_sets.wider())
    written(tmp_path / "d", fuzz_sets.datumaro())
    assert samples_of("kitti", tmp_path / "k")[1]["training/image_2/000001.png"].truncated.tolist()
    faces = samples_of("wider", tmp_path / "w")[1]["WIDER_train/images/0--Parade/1.jpg"]
    assert faces.difficult.tolist() == [False, True]
    first = samples_of("datumaro", tmp_path / "d")[1]["images/train/1.jpg"]
    assert first.crowd.tolist() == [True, False]


@pytest.mark.parametrize("name", ["cvat", "datumaro", "supervisely"])
def test_polygons_are_masks_and_rectangles_beside_them_too(name, tmp_path):
    written(tmp_path, fuzz_sets.SETS[name]())
    _, samples, _ = samples_of(name, tmp_path)
    sample = samples[min(samples)]
    assert len(sample.masks) == 2
    expected = np.zeros((2, 10, 12), bool)
    expected[0, 3:9, 2:8] = expected[1, 2:7, 2:8] = True
    for mask, right in zip(sample.masks, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(mask))) > 0, right)


BROKEN = {
    "kitti": ("training/label_2/000001.txt", b"Car 0 0 0 1 1 x 4 1 1 1 1 1 1 1\n"),
    "oid_toolkit": ("validation/Cup/Label/2.txt", b"Cup 1 2 3\n"),
    "supervisely": ("ds/ann/1.jpg.json", b'{"size": {"height": 10, "width": 12}, "objects": [{}]}'),
    "huggingface": ("train/metadata.jsonl", b'{"file_name": "1.jpg", "objects": {"bbox": [[1]]}}\n'
                    b'{"file_name": "2.jpg"}'),
    "wider": ("wider_face_split/wider_face_train_bbx_gt.txt", b"0--Parade/1.jpg\nmany\n"),
    "datumaro": ("annotations/train.json", json.dumps({
        "categories": {"label": {"labels": []}}, "items": [{"id": "1", "annotations": [
            {"type": "bbox", "label_id": 3, "bbox": [1, 1, 2, 2]}]}]}).encode()),
    "cvat": ("annotations.xml", b'<annotations><image name="1.jpg" width="12" height="10">'
             b'<box label="cup" xtl="a" ytl="1" xbr="2" ybr="2"/></image>'
             b'<image name="2.jpg" width="12" height="10"/></annotations>'),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_rejected_by_itself(name, tmp_path):
    file, content = BROKEN[name]
    written(tmp_path, {**fuzz_sets.SETS[name](), file: content})
    listing = source(name).scan(tmp_path, Options(holdout=0))
    assert [reason for _, reason, _ in listing.rejected] == ["corrupt_annotation"]
    assert all(file in detail for *_, detail in listing.rejected)


def test_a_picture_that_is_missing_or_twice(tmp_path):
    rows = [{"file_name": name, "label": "cup"} for name in ("a.jpg", "b.jpg", "a.jpg")]
    content = {"metadata.jsonl": b"\n".join(json.dumps(row).encode() for row in rows)}
    written(tmp_path, {**content, "a.jpg": build.picture()})
    listing, samples, _ = samples_of("huggingface", tmp_path)
    reasons = {name: reason for name, reason, _ in listing.rejected}
    assert reasons == {"b.jpg": "missing_image", "a.jpg": "duplicate_annotation"}
    assert samples["a.jpg"].labels.tolist() == [0]
    assert len(samples["a.jpg"].boxes) == 0


def test_another_size_than_stated_is_scaled_or_rejected(tmp_path):
    files = fuzz_sets.supervisely()
    content = json.loads(files["ds/ann/1.jpg.json"])
    content["size"] = {"height": 20, "width": 24}
    written(tmp_path, {**files, "ds/ann/1.jpg.json": json.dumps(content).encode()})
    _, samples, warned = samples_of("supervisely", tmp_path)
    np.testing.assert_allclose(samples["ds/img/1.jpg"].boxes[0], np.array(FIRST) / 2)
    assert warned == {"scaled_boxes": 1}
    content["size"] = {"height": 20, "width": 12}
    written(tmp_path, {"ds/ann/1.jpg.json": json.dumps(content).encode()})
    with pytest.raises(BadSample):
        samples_of("supervisely", tmp_path)


@pytest.mark.parametrize("name", RIGHT)
def test_a_folder_without_its_files_says_what_is_expected(name, tmp_path):
    written(tmp_path, {"a.jpg": build.picture()})
    assert not source(name).detect(tree(tmp_path))
    with pytest.raises(SourceError, match="expected"):
        source(name).scan(tmp_path)


def test_fiftyone_s_voc(tmp_path):
    """data/ for the pictures, labels/ for the XML."""
    objects = build.xml_object("cup", (3, 4, 8, 9), "")
    files = {f"data/{i}.jpg": fuzz_sets.picture(i) for i in (1, 2)}
    files |= {f"labels/{i}.xml": build.annotation(objects, (10, 12)).encode() for i in (1, 2)}
    written(tmp_path, files)
    assert detect(tmp_path) == "voc"
    _, samples, _ = samples_of("voc", tmp_path)
    assert len(samples) == 2
    assert all(len(sample.boxes) == 1 for sample in samples.values())
