import collections

import numpy as np
import PIL.Image
import pytest

from convoy.data import masks
from convoy.data.sources import Options, coco
from tests.data import build
from tests.data.build_coco import (
    ids,
    one,
    pictures,
    row,
    samples,
    unpacked,
    write,
)


def test_boxes_areas_crowds_and_classes(tmp_path):
    rle = {"size": [40, 60], "counts": [400, 5, 1995]}  # column 10, rows 0 to 4
    sample, warned = one(
        tmp_path,
        row(1, 1, 90, (1.5, 2.25, 10, 20), area=77.5, segmentation=[[2, 3, 8, 3, 8, 9, 2, 9]]),
        row(2, 1, 1, (10, 0, 1, 5), area=5, iscrowd=1, segmentation=rle),
    )
    np.testing.assert_array_equal(sample.boxes, [[2.25, 1.5, 22.25, 11.5], [0, 10, 5, 11]])
    assert sample.classes.tolist() == [2, 0]  # person 1, car 3, brush 90
    assert sample.labels.tolist() == [0, 2]
    assert sample.areas.tolist() == [77.5, 5]
    assert sample.crowd.tolist() == [False, True]
    first, second = map(unpacked, sample.masks)
    wanted = np.zeros((40, 60), np.uint8)
    wanted[3:9, 2:8] = 255
    np.testing.assert_array_equal(first, wanted)
    wanted[:] = 0
    wanted[0:5, 10] = 255
    np.testing.assert_array_equal(second, wanted)
    assert warned == {}


def test_packed_run_lengths_and_several_polygons(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[7:20, 30:33] = 1
    sample, warned = one(
        tmp_path,
        row(1, 1, segmentation=masks.to_rle(mask)),
        row(2, 1, segmentation=[[0, 0, 2, 0, 2, 2, 0, 2], [5, 5, 9, 5, 9, 9, 5, 9]]),
        row(3, 1, segmentation=[0, 0, 3, 0, 3, 3, 0, 3]),  # one polygon without its list
        row(4, 1),
    )
    found = [unpacked(png) for png in sample.masks]
    np.testing.assert_array_equal(found[0], mask * 255)
    assert [int((m > 0).sum()) for m in found] == [39, 4 + 16, 9, 0]
    assert warned == {}


def test_bad_rows_are_counted_and_left_out(tmp_path):
    good = row(1, 1)
    bad = [row(2 + i, 1, bbox=b) for i, b in enumerate([(1, 1, -5, 5), (1, 1, 0, 5)])]
    bad += [{k: v for k, v in row(10, 1).items() if k != "bbox"}]
    bad += [row(11, 1, bbox=b) for b in ((1, 2, 3), (1, 2, float("nan"), 4), ("a", 1, 2, 3))]
    bad += [{**row(12, 1), "bbox": {"x": 1}}, row(13, 1, bbox=(10**400, 1, 2, 3))]
    bad += [row(14, 1, bbox=(100, 100, 5, 5)), row(15, 1, category=7), row(16, 1, category=None)]
    bent = [[[1, 1, 5, 5]], [[1, 1, 5, float("nan"), 3, 3]], "polygon", [["a"] * 6], {"size": 3}]
    bent = [row(20 + i, 1, segmentation=s) for i, s in enumerate(bent)]
    loose = ["x", None, 5, {"id": 3}, {"image_id": [1]}, row(40, 99), row(41, 99)]
    sample, warned = one(tmp_path, good, *bad, *bent, *loose)
    assert len(sample.boxes) == 1 + len(bent)
    assert warned == {
        "empty_box": 2,
        "missing_box": 6,
        "outside_box": 1,
        "unknown_class": 2,
        "bad_segmentation": 5,
    }
    rejected = coco.scan(tmp_path).rejected
    assert collections.Counter(reason for _, reason, _ in rejected) == {
        "corrupt_annotation": 5,
        "missing_image": 1,
    }
    assert any("2 annotations of image_id 99" in detail for _, _, detail in rejected)


def test_good_polygons_of_a_bad_segmentation_are_kept(tmp_path):
    told = [[1, 1, 5, 5], [0, 0, 2, 0, 2, 2, 0, 2]]
    sample, warned = one(tmp_path, row(1, 1, segmentation=told))
    assert int((unpacked(sample.masks[0]) > 0).sum()) == 4
    assert warned == {"bad_segmentation": 1}


def test_bad_images_are_rejected(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    listed = ["a.jpg", {"id": 2}, {"file_name": "b.jpg"}, "b.jpg", 7]
    listed[3] = {"id": "five", "file_name": "b.jpg", "height": "x"}
    write(tmp_path / "val.json", listed, [row(1, "five")])
    listing = coco.scan(tmp_path)
    assert ids(listing) == [("val", "a.jpg"), ("val", "b.jpg")]
    assert [name for name, _, _ in listing.rejected] == [f"val.json#images[{i}]" for i in (1, 2, 4)]
    assert len(samples(listing)[0]["b.jpg"].boxes) == 1


def test_ids_as_text_and_as_numbers(tmp_path):
    sample, _ = one(tmp_path, row(1, "1", "3"), row(2, 1.0, 3))
    assert sample.classes.tolist() == [1, 1]


def test_labels_select_and_reorder(tmp_path):
    told = [row(1, 1, 90), row(2, 1, 1), row(3, 1, 3)]
    sample, warned = one(tmp_path, *told, options=Options(labels=("brush", "person")))
    assert sample.classes.tolist() == [0, 1]
    assert warned == {"unknown_class": 1}


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((40, 60), [[10, 20, 25, 36]]), ((60, 40), [[4, 10, 20, 25]])],
)
def test_turned_picture(tmp_path, size, wanted):
    """EXIF 6, stored 40x60 (H x W): the upright x is 40 - stored y, the upright y is stored x."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    told = row(1, 1, bbox=(10, 4, 15, 16), segmentation=[[10, 4, 25, 4, 25, 20, 10, 20]])
    sample, warned = one(tmp_path, told, picture=build.picture(40, 60, exif=exif), size=size)
    assert (sample.height, sample.width, warned) == (60, 40, {})
    np.testing.assert_array_equal(sample.boxes, wanted)
    ymin, xmin, ymax, xmax = wanted[0]
    mask = np.zeros((60, 40), np.uint8)
    mask[ymin:ymax, xmin:xmax] = 255
    np.testing.assert_array_equal(unpacked(sample.masks[0]), mask)


def test_row_of_keypoints_without_a_box(tmp_path):
    told = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9, 5, 2, 30, 25, 1, 50, 39, 0]}
    sample, _ = one(tmp_path, told)
    np.testing.assert_array_equal(sample.boxes, [[5, 9, 25, 30]])
    np.testing.assert_array_equal(sample.keypoints, [[[5, 9, 2], [25, 30, 1], [0, 0, 0]]])


def test_keypoints_outside_are_kept_and_told(tmp_path):
    """Of 40 x 60 pixels; a point on the border is inside, one that nobody labelled is nowhere."""
    person = row(1, 1, keypoints=[70, 10, 2, 60, 40, 1, -5, 99, 0])
    found, warned = one(tmp_path, person, row(2, 1, keypoints=[-1, 5, 1, 5, 41, 2, 5, 5, 2]))
    assert warned == {"outside_keypoints": 2}
    assert found.keypoints[0].tolist() == [[10, 70, 2], [40, 60, 1], [0, 0, 0]]


def test_bad_and_unnamed_keypoints(tmp_path):
    good = row(1, 1, keypoints=[1, 2, 2, 3, 4, 1])
    bad = [row(2, 1, keypoints=k) for k in ([1, 2], [1, 2, "x"], [1, 2, float("nan")], {"a": 1})]
    categories = [{"id": 1, "name": "face", "keypoints": []}]
    sample, warned = one(tmp_path, good, *bad, categories=categories)
    assert sample.keypoints.shape == (5, 2, 3)
    assert warned == {"bad_keypoints": 4}
    assert (sample.keypoints[1:] == 0).all()
    assert coco.scan(tmp_path).keypoints == ("face-0", "face-1")


def test_whole_body(tmp_path):
    lists = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    more = {key: [k, i, 0.5] * n for i, (key, n) in enumerate(lists.items()) for k in [10]}
    body = [f"left_{i}" if i % 2 else f"right_{i - 1}" for i in range(1, 17)]
    categories = [{"id": 1, "name": "person", "keypoints": ["nose", *body]}]
    told = row(1, 1, keypoints=[30, 20, 2] * 17, **more)
    sample, warned = one(tmp_path, told, categories=categories)
    assert (sample.keypoints.shape, warned) == ((1, 133, 3), {})
    np.testing.assert_array_equal(
        sample.keypoints[0, [0, 17, 23, 91, 132]].tolist(),
        [[20, 30, 2], [0, 10, 1], [1, 10, 1], [2, 10, 1], [3, 10, 1]],
    )
    listing = coco.scan(tmp_path)
    assert len(listing.keypoints) == 133
    assert listing.keypoints[17] == "left_big_toe"
    assert listing.keypoints[23] == "face-0"
    assert listing.keypoints[91] == "lefthand-0"
    for pair in [(17, 20), (19, 22), (23, 39), (91, 112), (111, 132)]:
        assert pair in listing.keypoint_pairs
