import os
import pathlib

import numpy as np
import pytest

from convoy.data.sources import SourceError, coco
from tests.data.build_coco import samples, unpacked

DATA = pathlib.Path(os.environ.get("CONVOY_TEST_DATA", "/nonexistent"))


def needs(name):
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"no {name} in CONVOY_TEST_DATA")


@needs("tiny_coco")
def test_tiny_coco_against_pycocotools():
    from pycocotools.coco import COCO

    listing = coco.scan(DATA / "tiny_coco")
    assert len(listing.labels) == 80
    found, warned = samples(listing)
    assert (len(found), warned) == (100, {})
    assert sum(len(sample.captions) for sample in found.values()) == 500
    assert sum(int(sample.crowd.sum()) for sample in found.values()) == 10
    objects = 0
    for split in ("train2017", "val2017"):
        truth = COCO(str(DATA / "tiny_coco" / "annotations" / f"instances_{split}.json"))
        people = COCO(str(DATA / "tiny_coco" / "annotations" / f"person_keypoints_{split}.json"))
        names = [truth.cats[key]["name"] for key in sorted(truth.cats)]
        assert listing.labels == tuple(names)
        for image in truth.imgs.values():
            sample = found[f"{split}/{image['file_name']}"]
            rows = truth.imgToAnns[image["id"]]
            assert len(sample.boxes) == len(rows)
            for i, told in enumerate(rows):
                x, y, width, height = told["bbox"]
                box = [y, x, min(y + height, sample.height), min(x + width, sample.width)]
                np.testing.assert_allclose(sample.boxes[i], box, atol=1e-3)
                assert names[sample.classes[i]] == truth.cats[told["category_id"]]["name"]
                assert sample.areas[i] == pytest.approx(told["area"], rel=1e-6)
                mask = unpacked(sample.masks[i])
                np.testing.assert_array_equal(mask, truth.annToMask(told) * 255)
                points = people.anns.get(told["id"], {}).get("keypoints", [0] * 51)
                x, y, seen = np.array(points).reshape(-1, 3).T
                np.testing.assert_array_equal(sample.keypoints[i], np.stack([y, x, seen], 1))
            objects += len(rows)
    assert objects == 852


@needs("fruits_nuts")
def test_fruits_nuts():
    listing = coco.scan(DATA / "fruits_nuts")
    found, warned = samples(listing)
    assert listing.labels == ("date", "fig", "hazelnut")
    assert (len(found), sum(len(s.masks) for s in found.values()), warned) == (18, 165, {})


@needs("mmpose_samples_a")
def test_mmpose_samples():
    folder = DATA / "mmpose_samples_a"
    for name, count, objects in [
        ("coco/test_coco.json", 17, 14),
        ("coco/test_coco_wholebody.json", 133, 14),
        ("coco/test_keypoint_partition_metric.json", 133, 14),
        ("cofw/test_cofw.json", 29, 2),
        ("mpii/test_mpii_trb.json", 40, 5),
    ]:
        listing = coco.scan(folder / name)
        assert len(listing.keypoints) == count
        found, _ = samples(listing)
        assert sum(len(sample.boxes) for sample in found.values()) == objects
    with pytest.raises(SourceError, match=r"point data\.path at one of these files"):
        coco.scan(folder / "coco")
    parts = coco.scan(folder / "coco/test_coco_wholebody.json")
    joined = coco.scan(folder / "coco/test_keypoint_partition_metric.json")
    assert parts.keypoints == joined.keypoints
    for name, sample in samples(parts)[0].items():
        other = samples(joined)[0][name]
        np.testing.assert_allclose(sample.keypoints[..., :2], other.keypoints[..., :2])
