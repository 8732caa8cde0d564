"""Annotation tools' formats, by sets written after their documentation; numbers by hand."""

import collections
import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.sources import Options, SourceError, detect, source
from tests.data import annotation_sets, build
from tests.data.annotation_sets import BOX, SETS, picture
from tests.data.build import written


def read_all(name, root, options=Options(holdout=0)):
    reader, warned = source(name), collections.Counter()
    listing = reader.scan(root, options)
    samples = {
        r.source_id: reader.read(r, listing.labels, warn=lambda why, _: warned.update([why]))
        for r in listing.references
    }
    return listing, samples, dict(warned)


def mask(sample, index):
    return np.asarray(PIL.Image.open(io.BytesIO(sample.masks[index]))) > 0


@pytest.mark.parametrize("name", SETS)
def test_detected_and_the_box_of_the_cup(name, tmp_path):
    written(tmp_path, SETS[name]())
    assert detect(tmp_path) == name
    listing, samples, _ = read_all(name, tmp_path)
    label = "face" if name == "wider_face" else "cup"
    first = next(s for s in samples.values() if BOX in s.boxes.tolist())
    place = first.boxes.tolist().index(BOX)
    assert listing.labels[first.classes[place]] == label
    assert (len(samples), listing.rejected) == (2, ())


@pytest.mark.parametrize("name", SETS)
def test_a_missing_picture_and_a_damaged_file_are_rejected(name, tmp_path):
    """No picture vanishes: with its annotation damaged it is rejected or noted, never a sample."""
    content = SETS[name]()
    gone = next(n for n in content if n.endswith(("jpg", "png")))
    written(tmp_path, {n: data for n, data in content.items() if n != gone})
    reader = source(name)
    listing = reader.scan(tmp_path, Options(holdout=0))
    assert len(listing.references) + len(listing.rejected) == 2
    failed = 0
    for reference in listing.references:
        try:
            reader.read(reference, listing.labels)
        except ValueError as error:
            failed += "missing_image" in str(error)
    assert failed + len(listing.rejected) == 1


@pytest.mark.parametrize("name", SETS)
def test_nothing_of_the_kind(name, tmp_path):
    written(tmp_path, {"1.jpg": picture(), "a.txt": b"hello", "b.json": b"[1]"})
    assert not source(name).detect(source("csv").files.tree(tmp_path))
    with pytest.raises(SourceError, match="expected"):
        source(name).scan(tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_labels_in_the_order_given(name, tmp_path):
    written(tmp_path, SETS[name]())
    wanted = ("face",) if name == "wider_face" else ("spoon", "cup")
    listing, samples, warned = read_all(name, tmp_path, Options(holdout=0, labels=wanted))
    assert listing.labels == wanted
    assert any(BOX in sample.boxes.tolist() for sample in samples.values())
    others = name in ("wider_face", "huggingface")
    assert ("unknown_class" in warned) != others


def test_cvat_shapes_by_hand(tmp_path):
    listing, samples, warned = read_all("cvat", written(tmp_path, SETS["cvat"]()))
    assert (listing.labels, warned) == (("jug", "cup"), {"unsupported_shape": 1})
    assert {r.source_id: r.split for r in listing.references} == {
        "images/1.jpg": "train", "images/2.jpg": "val"}  # fmt: skip
    sample = samples["images/2.jpg"]
    # Runs 1, 5, 1, 2 along the rows of 3x3 at (2, 4): 0 111 11 0 11 -> rows 011, 111, 011.
    assert mask(sample, 0)[2:5, 4:7].astype(int).tolist() == [[0, 1, 1], [1, 1, 1], [0, 1, 1]]
    assert mask(sample, 0).sum() == 7
    np.testing.assert_allclose(sample.boxes[0], [2, 4, 5, 7])
    np.testing.assert_allclose(sample.boxes[1], [1, 1, 8, 9])
    np.testing.assert_allclose(sample.boxes[2], [3, 3, 7, 9], atol=1e-5)
    # 4 wide and 2 high around (6, 5), turned by 90 degrees: 2 wide and 4 high.
    np.testing.assert_allclose(sample.boxes[3], [3, 5, 7, 7], atol=1e-5)
    assert listing.notes == ("classes of 1 whole pictures are not used, as there are objects",)


def test_cvat_video_is_refused_by_name(tmp_path):
    xml = "<annotations><version>1.1</version><track id='0' label='cup'></track></annotations>"
    written(tmp_path, {"annotations.xml": xml, "images/1.jpg": picture()})
    with pytest.raises(SourceError, match="CVAT for images"):
        source("cvat").scan(tmp_path)


def test_datumaro_shapes_by_hand(tmp_path):
    listing, samples, warned = read_all("datumaro", written(tmp_path, SETS["datumaro"]()))
    assert (listing.labels, warned) == (("jug", "cup"), {"unsupported_shape": 1})
    sample = samples["images/train/2.jpg"]
    np.testing.assert_allclose(sample.boxes, [[1, 1, 8, 9], [4, 3, 7, 4]])
    assert np.argwhere(mask(sample, 1)).tolist() == [[4, 3], [5, 3], [6, 3]]  # 34 = 3 * 10 + 4


def test_supervisely_counts_pixels(tmp_path):
    listing, samples, warned = read_all("supervisely", written(tmp_path, SETS["supervisely"]()))
    assert (listing.labels, warned) == (("jug", "cup"), {"unsupported_shape": 1})
    assert [r.split for r in listing.references] == ["train", "val"]
    sample = samples["val/img/2.jpg"]
    np.testing.assert_array_equal(sample.boxes, [[1, 1, 9, 10], [2, 4, 4, 7]])
    assert np.argwhere(mask(sample, 1)).tolist() == [[2, 5], [3, 4], [3, 5], [3, 6]]
    ring = mask(sample, 0)
    assert (ring[5, 2], ring[5, 5], ring[7, 7]) == (True, False, True)


def test_kitti_flags_and_lines(tmp_path):
    content = SETS["kitti"]()
    content["training/label_2/000001.txt"] = b"jug 0 0 1.5 1 1 5.5\n"
    listing, samples, warned = read_all("kitti", written(tmp_path, content))
    (sample,) = samples.values()
    assert (sample.truncated.tolist(), warned) == ([True], {"ignored_region": 1})
    assert [row[:2] for row in listing.rejected] == [
        ("training/image_2/000001.png", "corrupt_annotation")
    ]
    assert "000001.txt line 1" in listing.rejected[0][2]


def test_fiftyone_kitti(tmp_path):
    content = SETS["kitti"]()
    names = {
        "training/image_2/000000.png": "data/a.png",
        "training/label_2/000000.txt": "labels/a.txt",
    }
    written(tmp_path, {new: content[old] for old, new in names.items()})
    assert detect(tmp_path) == "kitti"
    _, samples, _ = read_all("kitti", tmp_path)
    assert samples["data/a.png"].boxes.tolist() == [BOX]


def test_wider_face(tmp_path):
    content = SETS["wider_face"]()
    listing, samples, _ = read_all("wider_face", written(tmp_path / "sound", content))
    sample = samples["WIDER_train/images/0--Parade/1.jpg"]
    assert sample.difficult.tolist() == [False, True]
    assert {r.split for r in listing.references} == {"train"}
    assert samples["WIDER_train/images/1--Handshaking/2.jpg"].boxes.shape == (0, 4)
    name = "wider_face_split/wider_face_train_bbx_gt.txt"
    content[name] = content[name].replace(b"\n2\n", b"\n3\n")
    listing = source("wider_face").scan(written(tmp_path / "bad", content))
    assert [row[:2] for row in listing.rejected] == [("0--Parade/1.jpg", "corrupt_annotation")]


def test_oidv4_class_with_a_blank(tmp_path):
    listing, samples, _ = read_all("oidv4", written(tmp_path, SETS["oidv4"]()))
    assert listing.labels == ("Polar bear", "cup")
    np.testing.assert_array_equal(
        samples["Dataset/validation/Polar bear/2.jpg"].boxes, [[1.5, 0, 6, 4]]
    )
    assert [r.split for r in listing.references] == ["train", "val"]


def test_label_studio_names_and_notes(tmp_path):
    listing, samples, warned = read_all("label_studio", written(tmp_path, SETS["label_studio"]()))
    assert set(samples) == {"my cup.jpg", "shots/2.jpg"}
    np.testing.assert_allclose(samples["shots/2.jpg"].boxes, [[0, 0, 8, 6]])
    assert warned == {"unsupported_shape": 1}
    assert listing.notes == (
        "1 tasks have no annotation, and are not used",
        "1 pictures are in no annotation, and are not used",
    )


def test_label_studio_min_and_choices(tmp_path):
    box = {"x": 25, "y": 20, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cup"],
           "original_width": 12, "original_height": 10}  # fmt: skip
    rows = [{"image": "/data/upload/1/0a1b2c3d-1.jpg", "id": 1, "label": [box], "annotator": 1,
             "annotation_id": 1}]  # fmt: skip
    written(tmp_path / "min", {"min.json": json.dumps(rows), "1.jpg": picture()})
    _, samples, _ = read_all("label_studio", tmp_path / "min")
    assert samples["1.jpg"].boxes.tolist() == [BOX]
    tasks = [{"data": {"image": "1.jpg"}, "annotations": [
        {"result": [{"type": "choices", "value": {"choices": ["jug"]}}]}]}]  # fmt: skip
    written(tmp_path / "choices", {"a.json": json.dumps(tasks), "1.jpg": picture()})
    listing, samples, _ = read_all("label_studio", tmp_path / "choices")
    assert (listing.labels, samples["1.jpg"].labels.tolist()) == (("jug",), [0])


def test_label_studio_turned_box(tmp_path):
    """6 wide and 2 high from (3, 2), turned by 90 degrees around it: x 1 to 3, y 2 to 8."""
    value = {"x": 25, "y": 20, "width": 50, "height": 20, "rotation": 90, "rectanglelabels": ["a"]}
    result = {"value": value, "original_width": 12, "original_height": 10}
    tasks = [{"data": {"image": "1.jpg"}, "annotations": [{"result": [result]}]}]
    written(tmp_path, {"a.json": json.dumps(tasks), "1.jpg": picture()})
    _, samples, _ = read_all("label_studio", tmp_path)
    np.testing.assert_allclose(samples["1.jpg"].boxes, [[2, 1, 8, 3]], atol=1e-5)


def test_via3_shapes_and_attributes(tmp_path):
    listing, samples, warned = read_all("via3", written(tmp_path, SETS["via3"]()))
    assert (listing.labels, warned) == (("cup", "jug"), {"unsupported_shape": 1})
    np.testing.assert_allclose(samples["2.jpg"].boxes, [[1, 1, 8, 9]])


def test_huggingface_classes_captions_and_bad_lines(tmp_path):
    rows = ['{"file_name": "1.jpg", "label": 3, "text": "A cup.", "licence": "x"}', "{", "",
            '{"file_name": "2.jpg", "label": 10}', '{"label": 1}']  # fmt: skip
    written(tmp_path, {"metadata.jsonl": "\n".join(rows), "1.jpg": picture(1), "2.jpg": picture(2)})
    listing, samples, _ = read_all("huggingface", tmp_path)
    assert samples["1.jpg"].captions == ("A cup.",)
    assert listing.labels == ("3", "10")
    assert [row[:2] for row in listing.rejected] == [
        ("metadata.jsonl line 2", "corrupt_annotation"),
        ("metadata.jsonl line 5", "corrupt_annotation"),
    ]
    assert listing.notes == ("keys that are not used: licence",)


@pytest.mark.parametrize("layout", [("labels", "data"), ("annots", "images"), ("annots", "Images")])
def test_voc_in_other_folders(tmp_path, layout):
    texts, pictures = layout
    objects = build.xml_object("cup", (11, 5, 30, 14))
    content = {}
    for name in "ab":
        content[f"{pictures}/{name}.jpg"] = build.picture(40, 60)
        content[f"{texts}/{name}.xml"] = build.annotation(objects)
    assert detect(written(tmp_path, content)) == "voc"
    _, samples, _ = read_all("voc", tmp_path)
    assert [s.boxes.tolist() for s in samples.values()] == [[[4, 10, 14, 30]]] * 2


def test_coco_finds_uploads_of_label_studio(tmp_path):
    entry = {"id": 0, "file_name": "images/1/0a1b2c3d-my%20cup.jpg", "width": 12, "height": 10}
    row = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [3, 2, 6, 5], "iscrowd": 0}
    whole = {"images": [entry], "annotations": [row], "categories": [{"id": 0, "name": "cup"}]}
    written(tmp_path, {"result.json": json.dumps(whole), "my cup.jpg": annotation_sets.picture()})
    _, samples, _ = read_all("coco", tmp_path)
    assert samples["my cup.jpg"].boxes.tolist() == [BOX]
