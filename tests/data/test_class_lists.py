"""Which names are classes: groups, parts of sizes, lists that differ, labels known to be absent."""

import numpy as np
import pytest

from convoy.data.sources import Options, SourceError, coco, csv, voc, yolo
from tests.data import build
from tests.data.test_ambiguous import coco_file


def labels_of(reader, listing):
    """Picture -> names of its classes."""
    found = {}
    for reference in listing.references:
        sample = reader.read(reference, listing.labels)
        found[reference.source_id] = sorted(listing.labels[i] for i in sample.labels)
    return found


def test_coco_category_that_groups_the_others(tmp_path):
    group = {"id": 0, "name": "kitchen", "supercategory": "none"}
    two = [{"id": i, "name": n, "supercategory": "kitchen"} for i, n in ((1, "cup"), (2, "jug"))]
    for split, category in (("train", 1), ("valid", 2)):
        boxes = [(1, category, [1, 2, 3, 4])]
        text = coco_file([(1, f"{split}.jpg")], boxes, [group, *two])
        content = {f"{split}/_annotations.coco.json": text, f"{split}/{split}.jpg": build.picture()}
        build.written(tmp_path, content)
    listing = coco.scan(tmp_path)
    assert listing.labels == ("cup", "jug")
    assert [(t.what, t.examples) for t in listing.unused] == [("categories", ("kitchen",))]
    assert labels_of(coco, listing) == {"train/train.jpg": ["cup"], "valid/valid.jpg": ["jug"]}
    named = coco.scan(tmp_path, Options(labels=("kitchen", "cup", "jug")))
    assert (named.labels, named.unused) == (("kitchen", "cup", "jug"), ())


def test_coco_category_that_groups_and_has_objects_is_a_class(tmp_path):
    group = {"id": 0, "name": "kitchen", "supercategory": "none"}
    cup = {"id": 1, "name": "cup", "supercategory": "kitchen"}
    text = coco_file([(1, "a.jpg")], [(1, 0, [1, 2, 3, 4])], [group, cup])
    build.written(tmp_path, {"train.json": text, "a.jpg": build.picture()})
    assert coco.scan(tmp_path).labels == ("kitchen", "cup")


def test_coco_boxes_as_parts_of_the_size(tmp_path):
    """Azure ML: [0.25, 0.5, 0.5, 0.25] of 60x40 is x 15..45, y 20..30."""
    text = coco_file([(1, "a.jpg")], [(1, 1, [0.25, 0.5, 0.5, 0.25]), (1, 1, [0, 0, 1, 1])])
    build.written(tmp_path, {"train.json": text, "a.jpg": build.picture()})
    listing = coco.scan(tmp_path)
    (reference,) = listing.references
    boxes = coco.read(reference, listing.labels).boxes
    np.testing.assert_array_equal(boxes, [[20, 15, 30, 45], [0, 0, 40, 60]])
    assert [(told.what, told.count) for told in listing.ambiguous] == [("boxes", 2)]


@pytest.mark.parametrize("form", ["classes.txt", "data.yaml"])
def test_yolo_lists_that_differ(tmp_path, form):
    """labelImg writes one into each folder: train is cup, jug, val is jug, cup, pot."""
    lists = {"train": ("cup", "jug"), "val": ("jug", "cup", "pot")}
    for split, names in lists.items():
        text = "\n".join(names) if form == "classes.txt" else f"names: [{', '.join(names)}]"
        place = f"{split}/labels/{form}" if form == "classes.txt" else f"{split}/{form}"
        line = f"{names.index('cup')} 0.5 0.5 0.4 0.4\n"
        content = {f"{split}/images/{split}.jpg": build.picture(), place: text}
        build.written(tmp_path, content | {f"{split}/labels/{split}.txt": line})
    listing = yolo.scan(tmp_path)
    assert listing.labels == ("cup", "jug", "pot")
    expected = {f"{split}/images/{split}.jpg": ["cup"] for split in lists}
    assert labels_of(yolo, listing) == expected
    assert [told.count for told in listing.ambiguous] == [2]
    renamed = yolo.scan(tmp_path, Options(labels=("jug", "cup")))
    assert labels_of(yolo, renamed) == expected


def test_yolo_configuration_counts_for_all_and_strangers_are_refused(tmp_path):
    content = {"images/a.jpg": build.picture(), "labels/a.txt": "1 0.5 0.5 0.4 0.4\n"}
    build.written(tmp_path, content | {"labels/classes.txt": "jug\ncup"})
    build.written(tmp_path, {"data.yaml": "train: images\nnames: [cup, jug]"})
    listing = yolo.scan(tmp_path)
    assert labels_of(yolo, listing) == {"images/a.jpg": ["jug"]}
    assert "not followed" in listing.ambiguous[0].why
    (tmp_path / "data.yaml").unlink()
    build.written(tmp_path, {"other/classes.txt": "pot"})
    assert labels_of(yolo, yolo.scan(tmp_path)) == {"images/a.jpg": ["cup"]}
    (tmp_path / "labels" / "classes.txt").rename(tmp_path / "images" / "classes.txt")
    with pytest.raises(SourceError, match="none of them lies above"):
        yolo.scan(tmp_path)


def test_labels_known_to_be_absent(tmp_path):
    """Open Images: Confidence 0 = verified that it is not there."""
    lines = ["ImageID,Source,LabelName,Confidence"]
    for name, cat, dog in (("a0", 1, 0), ("b0", 0, 1), ("c0", 0, 0), ("d0", 0.7, 1)):
        lines += [f"{name},verification,/m/cat,{cat}", f"{name},verification,/m/dog,{dog}"]
    content = {f"train/{name}.jpg": build.picture() for name in ("a0", "b0", "c0", "d0")}
    build.written(tmp_path, content | {"train-annotations-human-imagelabels.csv": "\n".join(lines)})
    listing = csv.scan(tmp_path)
    assert listing.labels == ("/m/cat", "/m/dog")
    assert labels_of(csv, listing) == {
        "train/a0.jpg": ["/m/cat"],
        "train/b0.jpg": ["/m/dog"],
        "train/c0.jpg": [],
        "train/d0.jpg": ["/m/cat", "/m/dog"],
    }
    assert [(told.what, told.count) for told in listing.unused] == [("rows", 4)]
    assert [(told.what, told.count) for told in listing.ambiguous] == [("rows", 1)]


@pytest.mark.parametrize(
    ("objects", "boxes"),
    [
        # CVAT: fractions; no 1-based pixel loses its first column
        ([("10.0", "4.5", "30.0", "14.25"), ("0.0", "0.0", "60.0", "40.0")],
         [[4.5, 10, 14.25, 30], [0, 0, 40, 60]]),
        ([("10", "4", "30", "14"), ("0", "0", "60", "40")], [[4, 10, 14, 30], [0, 0, 40, 60]]),
        # pixels counted from 1, one with a fraction, as in VOC2011
        ([("11", "5", "30", "14"), ("1", "1", "60", "40"), ("2", "2.5", "9", "9")],
         [[4, 10, 14, 30], [0, 0, 40, 60], [1.5, 1, 9, 9]]),
    ],
)  # fmt: skip
def test_voc_corners_from_0_and_from_1(tmp_path, objects, boxes):
    xml = "".join(build.xml_object("cup", box) for box in objects)
    build.written(tmp_path, {"Annotations/a.xml": build.annotation(xml)})
    build.written(tmp_path, {"JPEGImages/a.jpg": build.picture()})
    listing = voc.scan(tmp_path)
    (reference,) = listing.references
    np.testing.assert_array_equal(voc.read(reference, listing.labels).boxes, boxes)
    assert [told.count for told in listing.ambiguous] == ([2] if len(objects) == 2 else [])


@pytest.mark.parametrize("place", ["", "Annotations/"])
@pytest.mark.parametrize("name", ["classes.txt", "labels.txt", "labelmap.txt"])
def test_voc_class_list_counts(tmp_path, name, place):
    lines = ["pot", "jug", "cup"]
    if name == "labelmap.txt":
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        lines += [f"{label}:1,2,3::" for label in ("pot", "jug", "cup")]
    xml = build.xml_object("cup", (1, 1, 9, 9)) + build.xml_object("jug", (1, 1, 9, 9))
    content = {"Annotations/a.xml": build.annotation(xml), "JPEGImages/a.jpg": build.picture()}
    build.written(tmp_path, content | {f"{place}{name}": "\n".join(lines)})
    assert voc.scan(tmp_path).labels == ("pot", "jug", "cup")
    build.written(tmp_path, {f"{place}{name}": "\n".join(lines[:-1])})
    listing = voc.scan(tmp_path)
    assert listing.labels == ("cup", "jug")
    assert "it lacks cup" in listing.ambiguous[0].why
