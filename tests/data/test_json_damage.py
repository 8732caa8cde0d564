"""Documents damaged at random: whatever is in a JSON file, a reader says so and goes on."""

import json
import random

import numpy as np
import PIL.Image
import pytest

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.sources import SourceError, coco, labelme, mpii, via
from tests.data import build
from tests.data.test_labelme import SQUARE, png_of, shape
from tests.data.test_mpii import person
from tests.data.test_via import POLYGON, RECT, entry, region

JUNK = [None, True, False, 0, -1, 2, 3.5, 1e300, 10**30, float("nan"), float("inf"), "", "x", "1"]
JUNK += ["\ud800", "/", "../..", [], [1], [[1]], [1, 2, 3, 4], [[1, 2], [3, 4], [5, 6]], {}]
JUNK += [{"a": 1}, {"size": [40, 60], "counts": "zz"}, {"size": [40, 60], "counts": [1, 2]}]
ROW = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 12], "area": 5.5, "iscrowd": 0}
SEGMENT = {"id": 5, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 0}
DOCUMENTS = {
    coco: {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}],
        "annotations": [
            {**ROW, "segmentation": [[1, 1, 9, 1, 9, 9]], "keypoints": [1, 2, 2] * 3},
            {**ROW, "id": 2, "segmentation": {"size": [40, 60], "counts": [100, 50, 2250]}},
            {"image_id": 1, "caption": "x"},
            {"image_id": 1, "file_name": "p.png", "segments_info": [SEGMENT]},
        ],
        "categories": [{"id": 1, "name": "p", "keypoints": ["a", "b", "c"], "isthing": 1}],
    },
    labelme: {
        "flags": {"cat": True},
        "shapes": [
            shape("a", SQUARE, flags={"difficult": True}, group_id=1),
            shape("a", [[1, 1], [9, 9]], "rectangle"),
            shape("a", [[5, 5], [9, 9]], "circle"),
            shape("a", [[1, 1], [4, 3]], "mask", mask=png_of(np.ones((3, 4), bool))),
        ],
        "imagePath": "a.jpg",
        "imageHeight": 40,
        "imageWidth": 60,
    },
    via: {
        "_via_img_metadata": {"a": entry("a.jpg", region(RECT, name="a"), region(POLYGON, k="v"))}
    },
    mpii: [person(), person()],
}


def damaged(value, share, rng):
    if rng.random() < share:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        return {k: damaged(v, share, rng) for k, v in value.items() if rng.random() > share / 2}
    if isinstance(value, list):
        return [damaged(v, share, rng) for v in value if rng.random() > share / 2]
    return value


@pytest.mark.parametrize("reader", DOCUMENTS, ids=lambda reader: reader.__name__)
def test_damaged_documents(tmp_path, reader):
    (tmp_path / "a.jpg").write_bytes(build.picture(40, 60))
    (tmp_path / "a").mkdir()
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:9, :9, 0] = 5
    PIL.Image.fromarray(pixels).save(tmp_path / "a" / "p.png")
    rng, read, refused = random.Random(0), 0, 0
    for count in range(150):
        told = damaged(DOCUMENTS[reader], (0.01, 0.03, 0.08)[count % 3], rng)
        (tmp_path / "a.json").write_text(json.dumps(told))
        try:
            reader.detect(files.tree(tmp_path))
            listing = reader.scan(tmp_path)
        except SourceError:
            refused += 1
            continue
        for reference in listing.references:
            try:
                sample = reader.read(reference, listing.labels)
            except BadSample:
                refused += 1
                continue
            read += 1
            number = len(sample.boxes)
            assert len(sample.classes) == number
            assert len(sample.masks) in (0, number)
            for values in (sample.boxes, sample.areas, sample.keypoints):
                assert np.isfinite(values).all()
            json.dumps(listing.labels, ensure_ascii=False).encode("utf-8")
    assert read > 30
    assert refused > 0
