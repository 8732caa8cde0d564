"""Ingest of real data sets, where the environment variable CONVOY_TEST_DATA names their folder."""

import json
import os
import pathlib

import pytest

from convoy.data.images import images
from convoy.data.sample import BadSample
from tests.components.test_example_gen import ingest

DATA = pathlib.Path(os.environ.get("CONVOY_TEST_DATA", "/nonexistent"))


def needs(name):
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"no {name} in CONVOY_TEST_DATA")


@needs("bccd")
def test_bccd(tmp_path):
    manifest = ingest(DATA / "bccd", tmp_path, splits=("trainval", "test"), train="trainval")
    splits = manifest["splits"].values()
    objects = {
        name: sum(split["objects_by_class"][name] for split in splits)
        for name in manifest["labels"]
    }
    assert sum(split["records"] for split in splits) == 364
    assert manifest["rejected"] == {}
    assert manifest["warnings"] == {"empty_box": 2}  # 4888 boxes, two of them points
    assert sum(objects.values()) == 4886
    assert (objects["WBC"], objects["RBC"] + objects["Platelets"]) == (372, 4514)
    rows = [json.loads(line) for line in (tmp_path / "warnings.jsonl").read_text().splitlines()]
    assert sorted(row["source_id"] for row in rows) == [
        "bccd/BloodImage_00338",
        "bccd/BloodImage_00343",
    ]


@needs("sign_digits")
def test_sign_digits(tmp_path):
    manifest = ingest(DATA / "sign_digits", tmp_path, format="folder")
    splits = manifest["splits"].values()
    assert sum(split["records"] for split in splits) == 800
    assert {sum(s["images_by_class"][str(d)] for s in splits) for d in range(10)} == {80}
    assert (manifest["rejected"], manifest["warnings"]) == ({}, {})


@needs("pillow_odd_a")
def test_odd_pictures_are_kept_decodable_or_rejected():
    import tensorflow as tf

    rejected = set()
    for path in sorted((DATA / "pillow_odd_a").iterdir()):
        if path.suffix in (".txt", "") or not path.is_file():
            continue
        try:
            picture = images.load(str(path))
        except BadSample as error:
            rejected.add((path.name, error.reason))
            continue
        shape = tuple(tf.io.decode_image(picture.image, channels=3).shape)
        assert shape == (picture.height, picture.width, 3), path.name
    assert ("truncated_jpeg.jpg", "corrupt_image") in rejected
    assert ("truncated_image.png", "corrupt_image") in rejected
    assert len(rejected) < 15
