"""What a model found, as a data set to mend: convoy convert PREDICTIONS."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from convoy.data.exports import ExportError
from convoy.data.sources import coco, folder, voc
from convoy.pipeline import cli
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.tasks import classification, detection, instance, pose, segmentation
from convoy.pipeline.tools import convert
from tests.data import build
from tests.data.exported import read_back

NAMES = ("cat", "dog")
HEIGHT, WIDTH = 40, 60
BOXES = np.array([[4, 10, 20, 34], [30.5, 0, 40, 20], [1, 1, 9, 9]], np.float32)
SCORES = np.array([0.9, 0.6, 0.2], np.float32)


def found(**more) -> dict:
    """An answer of a detector: three objects, and two rows that are none."""
    return {
        "num_detections": np.int32(3),
        "boxes": np.vstack([BOXES, np.zeros((2, 4), np.float32)]),
        "scores": np.append(SCORES, [0, 0]),
        "classes": np.array([1, 0, 1, 0, 0]),
        "class_names": np.array([b"dog", b"cat", b"dog", b"", b""], object),
        **more,
    }


def predictions(top, *answers, names=NAMES):
    """What `convoy predict` writes of answers, one per picture."""
    top.mkdir()
    rows = []
    for number, answer in enumerate(answers):
        path = top.parent / f"{number}.jpg"
        path.write_bytes(build.picture(seed=number))
        rows.append({"image": str(path), "picture": str(top / f"{number}.png"), **answer})
    write_json(top / "predictions.json", rows)
    (top / "labels.txt").write_text("".join(f"{name}\n" for name in names))
    return top


def test_boxes(tmp_path):
    source = predictions(tmp_path / "out", detection.named(found()))
    result = convert.run(source, "coco", tmp_path / "set")
    assert (result["records"], result["dropped"]) == ({"predicted": 1}, {})
    document = json.loads((tmp_path / "set/annotations/instances_predicted.json").read_text())
    assert [each["name"] for each in document["categories"]] == ["cat", "dog"]
    boxes = [(e["bbox"], e["category_id"], e["score"]) for e in document["annotations"]]
    assert boxes == [
        ([10, 4, 24, 16], 2, pytest.approx(0.9)),
        ([0, 30.5, 20, 9.5], 1, pytest.approx(0.6)),
    ]
    _, (sample,) = read_back(coco, tmp_path / "set")
    np.testing.assert_array_equal(sample.boxes, BOXES[:2])
    assert sample.image == (tmp_path / "0.jpg").read_bytes()
    assert convert.run(source, "yolo", tmp_path / "all", score=0.1)["dropped"] == {}
    (lines,) = (tmp_path / "all").rglob("0.txt")
    assert len(lines.read_text().splitlines()) == 3


def test_masks(tmp_path):
    """A mask of ones is its box, one of the left half the left half."""
    masks = np.ones((5, 28, 28), np.float32)
    masks[1, :, 14:] = 0
    source = predictions(tmp_path / "out", instance.named(found(masks=masks)))
    convert.run(source, "coco", tmp_path / "set")
    document = json.loads((tmp_path / "set/annotations/instances_predicted.json").read_text())
    first, second = (coco_mask.decode(e["segmentation"]) for e in document["annotations"])
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4:20, 10:34] = 1
    np.testing.assert_array_equal(first, expected)
    assert second[32:, :9].all()
    assert not second[:, 11:].any()
    assert [e["area"] for e in document["annotations"]] == [first.sum(), second.sum()]
    convert.run(source, "voc", tmp_path / "year")
    numbers = np.asarray(PIL.Image.open(tmp_path / "year/SegmentationObject/0.png"))
    np.testing.assert_array_equal(numbers == 1, first)


def test_label_maps(tmp_path):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[5:9, 6:30] = 1
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "PNG")
    answer = {"label_map_bytes": buffer.getvalue()}
    answer |= {"class_names": np.array([b"background", b"road"]), "class_fractions": [0.9, 0.1]}
    (content,) = segmentation.files(answer).values()
    (tmp_path / "map.png").write_bytes(content)
    row = {**segmentation.named(answer), "label_maps": str(tmp_path / "map.png")}
    source = predictions(tmp_path / "out", row, names=("background", "road"))
    convert.run(source, "voc", tmp_path / "year")
    listing, (sample,) = read_back(voc, tmp_path / "year")
    assert listing.segmentation_labels == ("background", "road")
    stored = np.asarray(PIL.Image.open(io.BytesIO(sample.segmentation)))
    np.testing.assert_array_equal(stored, values)


def test_persons(tmp_path):
    points = np.zeros((3, 3, 3), np.float32)  # the first has no keypoint: it is nobody
    points[1] = [[5, 6, 0.9], [20, 30, 0.8], [0, 0, 0]]
    answer = {"num_people": 2, "keypoints": points, "scores": np.float32([0.9, 0.8, 0])}
    answer["class_names"] = np.array([b"nose", b"hand", b"foot"], object)
    source = predictions(tmp_path / "out", pose.named(answer), names=("nose", "hand", "foot"))
    convert.run(source, "coco", tmp_path / "set")
    document = json.loads((tmp_path / "set/annotations/instances_predicted.json").read_text())
    assert [each["score"] for each in document["annotations"]] == [pytest.approx(0.8)]
    listing, (sample,) = read_back(coco, tmp_path / "set")
    assert listing.labels == ("person",)
    assert listing.keypoints == ("nose", "hand", "foot")
    np.testing.assert_array_equal(sample.keypoints[0], [[5, 6, 2], [20, 30, 2], [0, 0, 0]])
    np.testing.assert_array_equal(sample.boxes, [[5, 6, 20, 30]])


def test_classes(tmp_path):
    rows = [
        classification.named({"class_name": name, "scores": np.float32([0.1, 0.9])})
        for name in (b"dog", b"cat", b"dog")
    ]
    convert.run(predictions(tmp_path / "out", *rows), "folder", tmp_path / "set")
    _, samples = read_back(folder, tmp_path / "set")
    assert sorted(sample.labels.tolist() for sample in samples) == [[0], [1], [1]]


def test_what_failed_is_left_out_and_what_cannot_be_is_said(tmp_path, capsys):
    rows = [detection.named(found()), {"error": "no picture"}]
    source = predictions(tmp_path / "out", *rows)
    words = ["convoy", "convert", str(source), "--to", "coco", "-o", str(tmp_path / "set")]
    assert cli.main([*words, "--score=0.7"]) == 0
    document = json.loads((tmp_path / "set/annotations/instances_predicted.json").read_text())
    assert (len(document["images"]), len(document["annotations"])) == (1, 1)
    assert "dropped: 1 pictures that were not answered" in capsys.readouterr().out

    (tmp_path / "0.jpg").unlink()
    with pytest.raises(ExportError, match=r"its pictures are copied: .*0\.jpg"):
        convert.run(source, "coco", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    for content, message in (
        ("[]", "got nothing but errors or videos"),
        ("{", "not written by `convoy predict`"),
        ('[{"text": "a", "class": "cat"}]', "expected answers to pictures .* got class, text"),
    ):
        (source / "predictions.json").write_text(content)
        with pytest.raises(ExportError, match=message):
            convert.run(source, "coco", tmp_path / "other")
