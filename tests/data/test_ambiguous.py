"""Names that are also words of layouts, ids and stems that are there twice, lists that differ."""

import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.sources import Options, coco, csv, detect, folder, source, voc, yolo
from tests.data import build


def rows(listing):
    return {reference.source_id: reference.split for reference in listing.references}


def reasons(listing):
    return {name: reason for name, reason, _ in listing.rejected}


# --- class folders ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "car", "train"),
        ("train", "val", "bus", "car"),
        ("test", "tube"),
        ("Validation", "bus"),
        ("images", "drawings"),
        ("notes", "readme"),
        ("train_station", "test_tube", "bus_stop"),
        ("mask", "no_mask"),
    ],
)
def test_class_folders_called_as_splits_are(tmp_path, names):
    build.classes(tmp_path, dict.fromkeys(names, 3))
    assert detect(tmp_path) == "folder"
    listing = folder.scan(tmp_path, Options(holdout=0.4))
    assert listing.labels == tuple(sorted(names))
    assert {r.source_id: r.annotation for r in listing.references} == {
        f"{name}/{i:03d}.jpeg": name for name in names for i in range(3)
    }
    assert set(rows(listing).values()) == {"train", "val"}
    told = [name for told in listing.ambiguous for name in told.examples]
    assert told == sorted({*names} & {"train", "val", "test", "Validation"})


def test_a_class_called_train_with_folders_in_it(tmp_path):
    for top in ("bus", "car", "train"):
        build.classes(tmp_path / top, {"front": 2, "side": 2})
    listing = folder.scan(tmp_path)
    assert listing.labels == ("bus", "car", "train")


@pytest.mark.parametrize("other", ["extra", "unlabelled"])
def test_splits_beside_other_folders_stay_splits(tmp_path, other):
    build.classes(tmp_path / "train", {"cat": 2, "dog": 1})
    build.classes(tmp_path, {other: 2})
    listing = folder.scan(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert set(rows(listing).values()) == {"train"}
    assert listing.notes == ("2 pictures are in no class folder, and are not used",)


def test_a_split_that_holds_a_class_called_train(tmp_path):
    build.classes(tmp_path / "train", {"bus": 1, "train": 1})
    build.classes(tmp_path / "val", {"bus": 1, "train": 1})
    listing = folder.scan(tmp_path)
    assert listing.labels == ("bus", "train")
    assert rows(listing)["val/train/000.jpeg"] == "val"


def test_a_table_of_a_class_called_train(tmp_path):
    """Neither all nor none of the class is in one split."""
    build.classes(tmp_path, {"bus": 20, "train": 20})
    names = [f"{c}/{i:03d}.jpeg" for c in ("bus", "train") for i in range(20)]
    lines = ["path,label", *(f"{name},{name.partition('/')[0]}" for name in names)]
    build.written(tmp_path, {"labels.csv": "\n".join(lines)})
    listing = csv.scan(tmp_path, Options(holdout=0.5))
    splits = {split for name, split in rows(listing).items() if name.startswith("train/")}
    assert splits == {"train", "val"}
    assert listing.labels == ("bus", "train")


# --- names of pictures -----------------------------------------------------------------------

STEMS = ("train", "test", "val", "valid", "notes", "readme", "classes", "README_photo", "cup1")


@pytest.mark.parametrize("flat", [True, False], ids=["beside", "in folders"])
@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jfif", ".jpe", ".jpeg", ".TIF", ".pjpeg"])
def test_yolo_pictures_called_as_lists_are(tmp_path, ending, flat):
    pictures, labels = ("", "") if flat else ("images/train/", "labels/train/")
    content = {"data.yaml": "train: images/train\nval: images/train\nnames: [cup]\n"}
    if flat:
        content = {"obj.names": "cup\n"}
    kind = "TIFF" if ending == ".TIF" else "JPEG"
    for number, stem in enumerate(STEMS):
        content[f"{pictures}{stem}{ending}"] = build.picture(seed=number, kind=kind)
        content[f"{labels}{stem}.txt"] = "0 0.5 0.5 0.4 0.4\n"
    build.written(tmp_path, content)
    assert detect(tmp_path) == "yolo"
    listing = yolo.scan(tmp_path)
    assert (listing.labels, listing.rejected) == (("cup",), ())
    assert {*rows(listing)} == {f"{pictures}{stem}{ending}" for stem in STEMS}
    for reference in listing.references:
        assert len(yolo.read(reference, listing.labels).boxes) == 1


def test_lists_beside_pictures_are_no_labels(tmp_path):
    """train.txt lists pictures, notes.txt is prose: though pictures are called train and notes."""
    content = {f"{stem}.jpg": build.picture() for stem in ("train", "notes", "a")}
    content |= {"a.txt": "0 0.5 0.5 0.4 0.4", "train.txt": "a.jpg\n", "notes.txt": "taken in May"}
    build.written(tmp_path, content | {"classes.txt": "cup"})
    listing = yolo.scan(tmp_path)
    assert rows(listing) == {"a.jpg": "train"}


# --- two pictures of one stem, one id --------------------------------------------------------


def test_voc_two_pictures_of_one_stem(tmp_path):
    """<filename> decides; where it names neither, both are rejected."""
    box = build.xml_object("cup", (1, 1, 9, 9))
    named = build.annotation(f"<filename>img1.jpg</filename>{box}")
    content = {f"JPEGImages/img{i}.{end}": build.picture(seed=i, kind=kind)
               for i in (1, 2) for end, kind in (("jpg", "JPEG"), ("png", "PNG"))}  # fmt: skip
    content |= {"JPEGImages/img3.jpg": build.picture(), "Annotations/img1.xml": named}
    content |= {f"Annotations/img{i}.xml": build.annotation(box) for i in (2, 3)}
    build.written(tmp_path / "set", content)
    listing = voc.scan(tmp_path / "set")
    read = {r.source_id: voc.read(r, listing.labels).image for r in listing.references}
    assert read == {
        "set/img1": content["JPEGImages/img1.jpg"],
        "set/img3": content["JPEGImages/img3.jpg"],
    }
    assert reasons(listing) == {
        f"JPEGImages/img2.{end}": "ambiguous_picture" for end in ("jpg", "png")
    }


def test_yolo_and_labelme_two_pictures_of_one_stem(tmp_path):
    pictures = {f"{stem}.{end}": build.picture(kind=kind)
                for stem in "ab" for end, kind in (("jpg", "JPEG"), ("png", "PNG"))}  # fmt: skip
    pictures |= {"c.jpg": build.picture()}
    lines = {f"{stem}.txt": "0 0.5 0.5 0.4 0.4" for stem in "abc"}
    build.written(tmp_path / "yolo", pictures | lines)
    listing = yolo.scan(tmp_path / "yolo")
    assert {*rows(listing)} == {"c.jpg"}
    assert reasons(listing) == dict.fromkeys(sorted(pictures)[:4], "ambiguous_picture")

    shape = {"label": "cup", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}

    def noted(path):
        return json.dumps({"version": "5.0", "shapes": [shape], "imagePath": path})

    notes = {"a.json": noted("a.png"), "b.json": noted("C:\\old\\x.jpg"), "c.json": noted("c.jpg")}
    build.written(tmp_path / "labelme", pictures | notes)
    reader = source("labelme")
    listing = reader.scan(tmp_path / "labelme")
    assert {*rows(listing)} == {"a.png", "c.jpg"}
    assert reasons(listing) == {"b.jpg": "ambiguous_picture", "b.png": "ambiguous_picture"}


def test_segmentation_two_pictures_of_one_stem(tmp_path):
    mask = build.encoded(PIL.Image.fromarray(np.eye(8, dtype=np.uint8)), "PNG")
    content = {"images/a.jpg": build.picture(8, 8), "images/a.png": build.picture(8, 8, kind="PNG")}
    content |= {"images/b.jpg": build.picture(8, 8), "labels/a.png": mask, "labels/b.png": mask}
    build.written(tmp_path, content)
    listing = source("segmentation").scan(tmp_path)
    assert {*rows(listing)} == {"images/b.jpg"}
    assert {*reasons(listing)} >= {"images/a.jpg", "images/a.png"}


def coco_file(images, annotations, categories=({"id": 1, "name": "cup"},)):
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": name, "height": 40, "width": 60} for i, name in images
            ],
            "annotations": [
                {"id": n, "image_id": i, "category_id": c, "bbox": box}
                for n, (i, c, box) in enumerate(annotations)
            ],
            "categories": list(categories),
        }
    )


def test_coco_one_id_of_two_pictures(tmp_path):
    content = {f"images/{name}.jpg": build.picture() for name in "abc"}
    told = [(1, "a.jpg"), (2, "b.jpg"), (2, "c.jpg")]
    boxes = [(1, 1, [1, 2, 3, 4]), (2, 1, [1, 2, 3, 4]), (2, 1, [5, 5, 5, 5])]
    build.written(tmp_path, content | {"train.json": coco_file(told, boxes)})
    listing = coco.scan(tmp_path)
    assert {*rows(listing)} == {"images/a.jpg"}
    assert reasons(listing) == {"images/b.jpg": "ambiguous_id", "images/c.jpg": "ambiguous_id"}


def test_coco_one_picture_of_two_ids(tmp_path):
    """Equal rows count once, others are joined."""
    content = {f"images/{name}.jpg": build.picture() for name in "ab"}
    told = [(1, "a.jpg"), (2, "a.jpg"), (3, "b.jpg")]
    boxes = [(1, 1, [1, 2, 3, 4]), (2, 1, [1, 2, 3, 4]), (2, 1, [5, 5, 5, 5]), (3, 1, [0, 0, 9, 9])]
    build.written(tmp_path, content | {"train.json": coco_file(told, boxes)})
    listing = coco.scan(tmp_path)
    read = {r.source_id: coco.read(r, listing.labels).boxes.tolist() for r in listing.references}
    assert read["images/a.jpg"] == [[2, 1, 6, 4], [5, 5, 10, 10]]
    assert [(t.count, t.examples) for t in listing.ambiguous] == [(1, ("a.jpg",))]


def test_coco_two_names_that_are_one_picture(tmp_path):
    content = {"images/1.jpg": build.picture(), "images/2.jpg": build.picture()}
    told = [(1, "day/1.jpg"), (2, "night/1.jpg"), (3, "2.jpg")]
    build.written(tmp_path, content | {"train.json": coco_file(told, [])})
    listing = coco.scan(tmp_path)
    assert {*rows(listing)} == {"images/2.jpg"}
    assert reasons(listing) == {"images/1.jpg": "ambiguous_picture"}


def test_voc_in_data_and_labels(tmp_path):
    """FiftyOne's export; pictures that no XML names stay out."""
    xml = build.annotation(build.xml_object("cup", (1, 1, 9, 9)))
    content = {f"data/{name}.jpg": build.picture() for name in "abc"}
    build.written(tmp_path, content | {f"labels/{name}.xml": xml for name in "ab"})
    assert detect(tmp_path) == "voc"
    listing = voc.scan(tmp_path)
    assert len(listing.references) == 2
    assert all(len(voc.read(r, listing.labels).boxes) == 1 for r in listing.references)
