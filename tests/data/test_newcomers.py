"""Sets as newcomers have them: what can be meant in two ways is told or refused, never guessed."""

import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.ingest import account
from convoy.data.ingest.shards import IngestError
from convoy.data.sources import SourceError, detect, source
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params
from convoy.pipeline.manifest import lines, summary
from tests.data import build

KITTI = "Car 0.00 0 -1.5 5.0 7.0 20.0 30.0 1.5 1.6 3.9 1.0 1.7 10.0 -1.5\n"
OID = "Cat 5.0 7.0 20.0 30.0\n"
BOX = [[7, 5, 30, 20]]  # of both


def photo(seed, kind="JPEG"):
    return build.picture(seed=seed, kind=kind)


def datumaro(*ids):
    box = {"id": 0, "type": "bbox", "label_id": 0, "bbox": [5, 7, 15, 23]}
    items = [{"id": key, "annotations": [box]} for key in ids]
    categories = {"label": {"labels": [{"name": "cat", "parent": ""}]}}
    return json.dumps({"info": {}, "categories": categories, "items": items})


def opened(root):
    """(format, listing, account): as an ingest begins."""
    tree, name, listing = example_gen.listed(root, Params(splits=()))
    return name, listing, account.opened(tree, listing, name, found=True)


def boxes(name, listing):
    """source_id -> boxes of every sample."""
    read = source(name).read
    return {r.source_id: read(r, listing.labels).boxes.tolist() for r in listing.references}


TWO = {  # format -> files, of which the picture "a" is there twice; "b" once
    "kitti": {
        "training/image_2/a.png": photo(1, "PNG"), "training/image_2/a.jpg": photo(2),
        "training/image_2/b.png": photo(3, "PNG"),
        "training/label_2/a.txt": KITTI, "training/label_2/b.txt": KITTI,
    },
    "oidv4": {
        "train/Cat/a.jpg": photo(1), "train/Cat/a.png": photo(2, "PNG"),
        "train/Cat/b.jpg": photo(3),
        "train/Cat/Label/a.txt": OID, "train/Cat/Label/b.txt": OID,
    },
    "datumaro": {
        "annotations/train.json": datumaro("a", "b"), "images/train/a.jpg": photo(1),
        "images/train/a.png": photo(2, "PNG"), "images/train/b.jpg": photo(3),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TWO)
def test_two_pictures_that_one_annotation_may_be_of_are_both_rejected(tmp_path, name):
    build.written(tmp_path, TWO[name])
    found, listing, _ = opened(tmp_path)
    assert found == name
    assert len(listing.references) == 1
    assert listing.references[0].source_id.rpartition("/")[2] in ("b.png", "b.jpg")
    assert [(row[0].rpartition("/")[2], row[1]) for row in listing.rejected] == [
        ("a.jpg", "ambiguous_picture"),
        ("a.png", "ambiguous_picture"),
    ]
    assert "could be of" in listing.rejected[0][2]
    assert not any("in no annotation" in note for note in listing.notes)


def test_the_folder_says_which_picture_an_annotation_is_of(tmp_path):
    """label_2 is of image_2, not of images; a subset's items are in its folder."""
    build.written(tmp_path / "k", {
        "image_2/a.png": photo(1, "PNG"), "images/a.png": photo(2, "PNG"), "label_2/a.txt": KITTI,
    })  # fmt: skip
    name, listing, _ = opened(tmp_path / "k")
    assert boxes(name, listing) == {"image_2/a.png": BOX}
    build.written(tmp_path / "d", {
        "annotations/train.json": datumaro("a"), "annotations/val.json": datumaro("a"),
        "images/train/a.jpg": photo(1), "images/val/a.jpg": photo(2), "images/a.jpg": photo(3),
    })  # fmt: skip
    name, listing, _ = opened(tmp_path / "d")
    assert boxes(name, listing) == {"images/train/a.jpg": BOX, "images/val/a.jpg": BOX}
    build.written(tmp_path / "n", {
        "data/a.png": photo(1, "PNG"), "images/a.jpg": photo(2), "labels/a.txt": KITTI,
        "data/b.png": photo(3, "PNG"), "labels/b.txt": KITTI,
    })  # fmt: skip
    name, listing, _ = opened(tmp_path / "n")
    assert list(boxes(name, listing)) == ["data/b.png"]


def twice(classes, of_xml=("cat", "dog"), **more):
    content = {f"images/{i}.jpg": photo(i) for i in range(4)}
    content |= {f"labels/{i}.txt": f"{i % 2} .5 .5 .2 .2\n" for i in range(4)}
    content |= {
        f"annotations/{i}.xml": build.annotation(build.xml_object(of_xml[i % 2], (5, 7, 20, 30)))
        for i in range(4)
    }
    return content | ({"classes.txt": "".join(f"{n}\n" for n in classes)} if classes else {}) | more


def test_two_kinds_of_annotation_with_other_classes_are_refused(tmp_path):
    build.written(tmp_path, twice(("apple", "pear")))
    with pytest.raises(SourceError) as error:
        opened(tmp_path)
    text = str(error.value)
    assert "4 pictures, such as images/0.jpg, are annotated twice" in text
    assert "as voc (cat, dog) and, by 4 files such as labels/0.txt, as yolo (apple, pear)" in text
    assert "--format voc or --format yolo" in text
    tree, name, listing = example_gen.listed(tmp_path, Params(splits=(), format="voc"))
    told = account.opened(tree, listing, name, found=False)  # said: it is what is meant
    assert told.ambiguous == ()


@pytest.mark.parametrize("classes", [("dog", "cat"), (), ("cat", "dog", "eel")])
def test_two_kinds_of_annotation_with_the_same_classes_are_told(tmp_path, classes):
    build.written(tmp_path, twice(classes))
    name, _, told = opened(tmp_path)
    assert name == "voc"
    (row,) = told.ambiguous
    assert (row.what, row.count) == ("annotation files", 4)
    assert row.why == "4 pictures are annotated twice: taken as voc, these files, yolo, are not"


def test_annotations_of_other_pictures_are_no_second_reading(tmp_path):
    content = twice(("apple", "pear"))
    content = {n: d for n, d in content.items() if not n.startswith("labels")}
    build.written(tmp_path, content | {"labels/9.txt": "0 .5 .5 .2 .2\n"})
    assert opened(tmp_path)[2].ambiguous == ()


def test_folders_of_splits_without_folders_of_classes(tmp_path):
    content = {f"train/{i}.png": photo(i, "PNG") for i in range(4)}
    build.written(tmp_path, content | {f"test/{i}.png": photo(9 + i, "PNG") for i in range(3)})
    name, listing, _ = opened(tmp_path)
    assert name == "pictures"
    assert listing.notes == (
        "7 pictures without a class or any annotation: test, train are taken as splits, and hold "
        "no folders of classes",
    )


@pytest.mark.parametrize(
    ("corners", "wanted"),
    [((30, 25, 10, 5), [4, 9, 25, 30]), ((30, 5, 10, 25), [4, 9, 25, 30])],
)
def test_corners_in_another_order_are_the_same_box(tmp_path, corners, wanted):
    """1-based (xmin, ymin, xmax, ymax): pixels 10 to 30 and 5 to 25."""
    xml = build.annotation(build.xml_object("cat", corners))
    for i in range(2):
        build.written(
            tmp_path / "set", {f"JPEGImages/{i}.jpg": photo(i), f"Annotations/{i}.xml": xml}
        )
    one = ("--direct_num_workers=1",)
    example_gen.run({"source": tmp_path / "set"}, Params(splits=(), beam=one), tmp_path / "out")
    counts = summary(tmp_path / "out")
    assert counts["objects"] == 2
    assert counts["warnings"] == {"swapped_corners": 2}
    assert [row["count"] for row in counts["ambiguous"]] == [2]
    name, listing, _ = opened(tmp_path / "set")
    assert boxes(name, listing) == {"set/0": [wanted], "set/1": [wanted]}


def test_samples_in_two_splits_are_told(tmp_path):
    xml = build.annotation(build.xml_object("cat", (5, 7, 20, 30)))
    content = {f"JPEGImages/{i}.jpg": photo(i % 4) for i in range(5)}  # 4 is 0 again
    content |= {f"Annotations/{i}.xml": xml for i in range(5)}
    lists = {"ImageSets/Main/train.txt": "0\n1\n2\n", "ImageSets/Main/val.txt": "2\n3\n4\n"}
    build.written(tmp_path / "set", content | lists)
    params = Params(splits=(), beam=("--direct_num_workers=1",))
    example_gen.run({"source": tmp_path / "set"}, params, tmp_path / "out")
    counts = summary(tmp_path / "out")
    assert (counts["overlap"], counts["duplicates"]) == ({"train+val": 1}, {"train+val": 1})
    text = lines(counts)
    assert "in several splits: 1 samples of train and val, by their ids" in text
    assert "the same picture under another id: 1 in train and val" in text


XML = build.annotation(build.xml_object("cat", (5, 7, 20, 30)))
CASES = {
    "voc": ("JPEGImages/IMG_{}.JPG", "Annotations/img_{}.xml", XML),
    "yolo": ("images/IMG_{}.JPG", "labels/img_{}.txt", "0 .5 .5 .2 .2\n"),
    "kitti": ("image_2/A{}.png", "label_2/a{}.txt", KITTI),
}


@pytest.mark.parametrize("name", CASES)
def test_names_in_other_upper_and_lower_case(tmp_path, name):
    picture, text, content = CASES[name]
    for i in range(3):
        kind = "PNG" if picture.endswith("png") else "JPEG"
        build.written(tmp_path, {picture.format(i): photo(i, kind), text.format(i): content})
    found, listing, _ = opened(tmp_path)
    assert found == name
    assert listing.rejected == ()
    assert [len(found) for found in boxes(name, listing).values()] == [1, 1, 1]


def test_the_very_name_comes_first(tmp_path):
    """IMG.jpg and img.jpg with img.txt alone: it is of the second."""
    content = {"images/IMG.jpg": photo(1), "images/img.jpg": photo(2), "images/c.jpg": photo(3)}
    texts = {"labels/img.txt": "0 .5 .5 .2 .2\n", "labels/C.txt": "0 .5 .5 .2 .2\n"}
    build.written(tmp_path, content | texts)
    name, listing, _ = opened(tmp_path)
    found = boxes(name, listing)
    assert {key: len(value) for key, value in found.items()} == {
        "images/IMG.jpg": 0, "images/img.jpg": 1, "images/c.jpg": 1,
    }  # fmt: skip
    assert any("labels/C.txt of images/c.jpg" in note for note in listing.notes)


def test_a_folder_of_masks_beside_label_files(tmp_path):
    mask = build.encoded(PIL.Image.fromarray(np.eye(40, 60, dtype=np.uint8) * 255), "PNG")
    content = {f"images/{i}.jpg": photo(i) for i in range(4)}
    content |= {f"labels/{i}.txt": f"{i % 2} .5 .5 .2 .2\n" for i in range(4)}
    build.written(tmp_path, content | {"mask/0.png": mask, "mask/1.png": mask})
    name, listing, _ = opened(tmp_path)
    assert name == "yolo"
    assert [r.source_id for r in listing.references] == [f"images/{i}.jpg" for i in range(4)]
    assert any("2 pictures in a folder of masks, such as mask/0.png" in n for n in listing.notes)


def test_what_no_reader_knows_is_shown(tmp_path):
    content = {f"images/{i}.jpg": photo(i) for i in range(3)}
    build.written(tmp_path, content | {f"labels/{i}.txt": "0 30 20 10 10\n" for i in range(3)})
    with pytest.raises(SourceError, match=r"labels/0.txt \(it begins '0 30 20 10 10'\)"):
        opened(tmp_path)


def coco(bbox, area=None, count=4):
    rows = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "bbox": bbox(i),
            **({"area": area} if area else {}),
        }
        for i in range(count)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 60} for i in range(count)]
    names = [{"id": 1, "name": "cat"}]
    return json.dumps({"annotations": rows, "images": images, "categories": names})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (coco(lambda i: [5 + i, 7, 25 + i, 20], 20 * 13), "the areas of 4 of 4 are those between"),
        (coco(lambda i: [35 + i, 17, 55, 38]), "4 of 4 would leave their pictures, and fit in as"),
    ],
)
def test_corners_in_coco_are_refused(tmp_path, content, why):
    build.written(tmp_path, {f"images/{i}.jpg": photo(i) for i in range(4)} | {"a.json": content})
    with pytest.raises(SourceError, match=why):
        opened(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        coco(lambda i: [5 + i, 7, 25, 20], 25 * 20),  # could be corners, but for the areas
        coco(lambda i: [5 + i, 7, 25, 20]),  # could be corners, but stay inside as they are
        coco(lambda i: [5 + i, 7, 25, 20], 123),  # areas of masks
        coco(lambda i: [35, 17, 55, 38] if i else [30, 20, 10, 10]),  # one cannot be corners
        coco(lambda i: [35, 17, 55, 38], count=2),  # too few to say
    ],
)
def test_boxes_in_coco_that_are_none_stay(tmp_path, content):
    build.written(tmp_path, {f"images/{i}.jpg": photo(i) for i in range(4)} | {"a.json": content})
    assert opened(tmp_path)[0] == "coco"


def test_a_set_whose_every_object_is_left_out_says_why(tmp_path):
    content = {f"images/{i}.jpg": photo(i) for i in range(4)} | {"classes.txt": "a\nb\n"}
    build.written(
        tmp_path / "set", content | {f"labels/{i}.txt": "7 .5 .5 .2 .2\n" for i in range(4)}
    )
    params = Params(splits=(), beam=("--direct_num_workers=1",))
    with pytest.raises(
        IngestError, match=r"no object can be used, of 4 .*: unknown_class \(4\)"
    ) as e:
        example_gen.run({"source": tmp_path / "set"}, params, tmp_path / "out")
    assert "'number 7' is not among the labels" in str(e.value)
    some = params.model_copy(update={"labels": ("b",)})  # asked for: told, not refused
    example_gen.run({"source": tmp_path / "set"}, some, tmp_path / "some")
    assert summary(tmp_path / "some")["warnings"] == {"unknown_class": 4}


def test_two_folders_of_label_pictures(tmp_path):
    flat = build.encoded(PIL.Image.fromarray(np.eye(40, 60, dtype=np.uint8)), "PNG")
    content = {f"images/{i}.jpg": photo(i) for i in range(4)}
    content |= {f"labels/{i}.png": flat for i in range(4)} | {"mask/0.png": flat}
    build.written(tmp_path, content)
    name, listing, _ = opened(tmp_path)
    assert (name, len(listing.references)) == ("segmentation", 4)
    assert listing.rejected == (
        ("mask/0.png", "second_annotation",
         "mask/0.png: images/0.jpg has the label picture labels/0.png"),
    )  # fmt: skip
    build.written(tmp_path, {f"mask/{i}.png": flat for i in range(4)})
    with pytest.raises(SourceError, match="those of labels or those of mask, which has 4 of the"):
        opened(tmp_path)


def test_what_is_there_is_said_where_no_layout_is_known(tmp_path):
    build.written(tmp_path, {"a/0.jpg": photo(0), "a/1.jpg": photo(1), "x.json": "[]"})
    with pytest.raises(SourceError, match=r"among its 3 files, such as a/0.jpg, x.json; say which"):
        detect(tmp_path)
    build.written(tmp_path, {"x.json": json.dumps([{"image": "0.jpg", "annotations": []}])})
    with pytest.raises(SourceError, match=r"Label Studio's .*; 1 tasks have no annotation"):
        opened(tmp_path)
