import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import coco
from tests.data.build_coco import pictures, row, samples, unpacked, write


def panoptic(root, *, instances=False):
    """One picture with a car (id 300), a crowd of people (70000) and grass; the rest unlabelled."""
    pictures(root / "train2017", "1.jpg")
    ids = np.zeros((40, 60), np.int64)
    ids[0:10, 0:20], ids[10:30, 5:15], ids[30:40] = 300, 70000, 5
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    folder = root / "annotations" / "panoptic_train2017"
    folder.mkdir(parents=True)
    PIL.Image.fromarray(rgb).save(folder / "1.png")
    segments = [
        {"id": 300, "category_id": 3, "bbox": [0, 0, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 70000, "category_id": 1, "iscrowd": 1},
        {"id": 5, "category_id": 193, "bbox": [0, 30, 60, 10], "iscrowd": 0},
        {"id": 6, "category_id": 3, "bbox": [0, 30, 60, 10], "iscrowd": 0},  # not in the PNG
        {"id": 5, "category_id": 4},
    ]
    categories = [
        {"id": 193, "name": "grass", "isthing": 0},
        {"id": 3, "name": "car", "isthing": 1},
        {"id": 1, "name": "person", "isthing": 1},
    ]
    told = {"image_id": 1, "file_name": "1.png", "segments_info": segments}
    write(root / "annotations" / "panoptic_train2017.json", ["1.jpg"], [told], categories)
    if instances:
        write(root / "annotations" / "instances_train2017.json", ["1.jpg"], [row(1, 1, 90)])
    wanted = np.full((40, 60), 255, np.uint8)
    wanted[0:10, 0:20], wanted[10:30, 5:15], wanted[30:40] = 1, 0, 2
    return ids, wanted


def test_panoptic_alone(tmp_path):
    ids, wanted = panoptic(tmp_path)
    listing = coco.scan(tmp_path)
    assert listing.labels == ("person", "car")
    assert listing.segmentation_labels == ("person", "car", "grass")
    found, warned = samples(listing)
    sample = found["train2017/1.jpg"]
    np.testing.assert_array_equal(unpacked(sample.segmentation), wanted)
    np.testing.assert_array_equal(sample.boxes, [[0, 0, 10, 20], [10, 5, 30, 15]])
    assert sample.classes.tolist() == [1, 0]
    assert sample.crowd.tolist() == [False, True]
    assert sample.areas.tolist() == [200, 200]
    for mask, number in zip(sample.masks, (300, 70000), strict=True):
        np.testing.assert_array_equal(unpacked(mask), (ids == number) * 255)
    assert warned == {"bad_segmentation": 1, "unknown_class": 1}
    assert listing.notes == ()


def test_panoptic_beside_instances(tmp_path):
    _, wanted = panoptic(tmp_path, instances=True)
    listing = coco.scan(tmp_path)
    assert listing.labels == ("person", "car", "brush")
    assert listing.segmentation_labels == ("person", "car", "grass")
    sample = samples(listing)[0]["train2017/1.jpg"]
    np.testing.assert_array_equal(unpacked(sample.segmentation), wanted)
    assert sample.classes.tolist() == [2]


def test_panoptic_png_that_is_missing_or_of_another_size(tmp_path):
    panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_train2017" / "1.png"
    PIL.Image.new("RGB", (10, 10)).save(path)
    listing = coco.scan(tmp_path)
    with pytest.raises(BadSample, match="bad_segmentation"):
        samples(listing)
    path.unlink()
    with pytest.raises(BadSample, match="bad_segmentation"):
        samples(coco.scan(tmp_path))
