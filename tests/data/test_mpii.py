import collections
import json

import numpy as np
import pytest

from convoy.data import keypoints
from convoy.data.sources import SourceError, coco, files, mpii
from tests.data import build


def person(image="a.jpg", first=(11, 21), **more):
    """Joints on a diagonal from (x, y); the second is hidden, the last unknown."""
    joints = [[first[0] + i, first[1] + i] for i in range(15)] + [[-1, -1]]
    seen = [1, 0] + [1] * 13 + [0]
    told = {"image": image, "joints": joints, "joints_vis": seen, "center": [20, 20], "scale": 0.2}
    return {**told, **more}


def write(root, name, *people):
    root.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(people))
    for told in people:
        if isinstance(told, dict) and "image" in told:
            (root / "images").mkdir(exist_ok=True)
            (root / "images" / told["image"]).write_bytes(build.picture(40, 60))


def test_people_are_gathered_by_picture(tmp_path):
    write(tmp_path, "train.json", person(), person("b.jpg"), person(first=(1, 1)))
    write(tmp_path, "valid.json", person("c.jpg"))
    assert mpii.detect(files.tree(tmp_path))
    assert not coco.detect(files.tree(tmp_path))
    listing = mpii.scan(tmp_path)
    found = [(r.split, r.source_id) for r in listing.references]
    wanted = [("train", "images/a.jpg"), ("train", "images/b.jpg"), ("val", "images/c.jpg")]
    assert found == wanted
    warned = collections.Counter()
    reference = listing.references[0]
    sample = mpii.read(reference, listing.labels, warn=lambda reason, _: warned.update([reason]))
    assert sample.keypoints.shape == (2, 16, 3)
    np.testing.assert_array_equal(
        sample.keypoints[0, [0, 1, 14, 15]], [[20, 10, 2], [21, 11, 1], [34, 24, 2], [0, 0, 0]]
    )
    np.testing.assert_array_equal(sample.boxes, [[20, 10, 34, 24], [0, 0, 14, 14]])
    assert warned == {}


def test_pairs_are_left_and_right_of_one_joint():
    pairs = [(mpii.NAMES[left], mpii.NAMES[right]) for left, right in keypoints.pairs(mpii.NAMES)]
    assert len(pairs) == 6  # ankle, knee, hip, shoulder, elbow, wrist
    assert all(left == right.replace("right", "left") != right for left, right in pairs)


def test_damage_is_counted(tmp_path):
    bad = [person(joints=[[1, 2]]), person(joints="x"), {"joints": []}, 5, person(joints_vis=[1])]
    write(tmp_path, "a.json", person(), *bad)
    listing = mpii.scan(tmp_path)
    assert len(listing.references) == 1
    assert [reason for _, reason, _ in listing.rejected] == ["corrupt_annotation"] * 5
    (tmp_path / "a.json").write_text(json.dumps([person(), person()])[:-30])
    with pytest.raises(SourceError, match="damaged at byte"):
        mpii.scan(tmp_path)


def test_detections_are_no_people(tmp_path):
    write(tmp_path, "a.json", {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1})
    assert not mpii.detect(files.tree(tmp_path))
    with pytest.raises(SourceError, match="MPII"):
        mpii.scan(tmp_path)
