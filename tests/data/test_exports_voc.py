"""Records -> a VOC year -> the VOC reader."""

import dataclasses

import numpy as np
import PIL.Image

from convoy.data.sources import voc
from convoy.pipeline.tools import convert
from tests.data.exported import (
    ACTIONS,
    LABELS,
    assert_same,
    pixels,
    plain,
    png,
    read_back,
    rectangle,
    rich,
    write,
)


def test_voc_gives_back_every_field(tmp_path):
    samples = [plain(), rich(), plain("b", "val", 2, views=("Left", "Rear"))]
    told = {"segmentation_labels": ["background", *LABELS], "actions": ACTIONS}
    result = convert.run(write(tmp_path / "records", samples, **told), "voc", tmp_path / "year")
    assert result["dropped"] == {}
    assert result["records"] == {"train": 2, "val": 1}
    listing, found = read_back(voc, tmp_path / "year")
    assert [(r.split, r.source_id) for r in listing.references] == [
        ("train", "year/VOC2007_000001"),
        ("train", "year/déjà_vu_猫_1"),
        ("val", "year/b"),
    ]
    assert listing.labels == LABELS
    assert listing.segmentation_labels == ("background", *LABELS)
    assert listing.actions == ACTIONS
    unsaid = np.full((2, 2), -1)
    wanted = [dataclasses.replace(s, actions=unsaid) if not len(s.actions) else s for s in samples]
    for one, other in zip(found, wanted, strict=True):
        assert_same(one, other, "areas")
    assert found[1].areas.tolist() == [200, 368]  # of the masks
    sets = tmp_path / "year" / "ImageSets"
    assert (sets / "Main" / "val.txt").read_text() == "b\n"
    assert (sets / "Segmentation" / "train.txt").read_text("utf-8") == "déjà_vu_猫_1\n"
    assert (sets / "Layout" / "train.txt").read_text("utf-8") == "déjà_vu_猫_1 1\n"
    assert (sets / "Action" / "train.txt").read_text("utf-8") == "déjà_vu_猫_1 1\n"
    assert (sets / "Action" / "running_train.txt").read_text("utf-8") == "déjà_vu_猫_1 1 -1\n"


def test_voc_corners_by_hand(tmp_path):
    """[4.25, 10.5, 20.015625, 33] is xmin 11.5, ymin 5.25, xmax 33, ymax 20.015625."""
    convert.run(write(tmp_path / "records", [plain()]), "voc", tmp_path / "year")
    text = (tmp_path / "year" / "Annotations" / "VOC2007_000001.xml").read_text()
    bare = "".join(text.split())
    box = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    assert box.format(1, 1, 60, 40) in bare
    assert box.format(11.5, 5.25, 33, 20.015625) in bare
    assert "<size><width>60</width><height>40</height><depth>3</depth></size>" in bare
    assert "<name>tv/monitor</name>" not in bare


def test_voc_palette_is_vocs(tmp_path):
    """1 is dark red, 2 dark green, 15 (person) a light rose, 255 the cream of void."""
    convert.run(write(tmp_path / "records", [rich()]), "voc", tmp_path / "year")
    for name in ("SegmentationClass", "SegmentationObject"):
        picture = PIL.Image.open(tmp_path / "year" / name / "déjà_vu_猫_1.png")
        colors = np.array(picture.getpalette()).reshape(256, 3)
        assert picture.mode == "P"
        assert colors[[0, 1, 2, 3, 15, 20, 255]].tolist() == [
            [0, 0, 0],
            [128, 0, 0],
            [0, 128, 0],
            [128, 128, 0],
            [192, 128, 128],
            [0, 64, 128],
            [224, 224, 192],
        ]


def test_voc_keeps_a_sample_of_two_splits_once(tmp_path):
    samples = [plain("a/b"), plain("a_b", seed=1), plain("a/b", "trainval"), plain("c", "trainval")]
    convert.run(write(tmp_path / "records", samples), "voc", tmp_path / "year")
    names = sorted(path.name for path in (tmp_path / "year" / "JPEGImages").iterdir())
    assert names == ["a_b.jpg", "a_b~2.jpg", "c.jpg"]
    sets = tmp_path / "year" / "ImageSets" / "Main"
    assert sorted((sets / "train.txt").read_text().split()) == ["a_b", "a_b~2"]
    assert sorted((sets / "trainval.txt").read_text().split()) == ["a_b", "c"]


def test_voc_tells_what_it_cannot_hold(tmp_path):
    sample = plain(
        boxes=np.array([[0, 0, 40, 60], [5, 5, 6, 20]], np.float32),  # 1 pixel high
        crowd=np.array([True, False]),
        masks=(png(rectangle(0, 0, 40, 60)), png(rectangle(5, 5, 6, 20))),
        keypoints=np.array([[[1, 2, 2]], [[0, 0, 0]]], np.float32),
        captions=("a", "b"),
        labels=np.array([0, 1, 2]),
        actions=np.array([[1], [0]]),
    )
    folder = write(tmp_path / "records", [sample], actions=["riding a bike"], keypoints=["nose"])
    result = convert.run(folder, "voc", tmp_path / "year")
    assert result["dropped"] == {
        "actions": 1,
        "boxes": 1,
        "captions": 2,
        "crowd": 1,
        "keypoints": 1,
        "picture_labels": 2,
    }
    _, (found,) = read_back(voc, tmp_path / "year")
    np.testing.assert_array_equal(found.boxes, sample.boxes[:1])


def test_voc_shows_the_smaller_of_overlapping_masks(tmp_path):
    sample = plain(masks=(png(rectangle(4, 10, 20, 33)), png(rectangle(0, 0, 40, 60))))
    folder = write(tmp_path / "records", [sample])
    result = convert.run(folder, "voc", tmp_path / "year")
    assert result["dropped"] == {"masks_partly_hidden": 1}
    _, (found,) = read_back(voc, tmp_path / "year")
    assert found.areas.tolist() == [368, 2400 - 368]


def test_voc_numbers_segmentations_without_a_background(tmp_path):
    """CamVid's 0 is a class: it becomes 1, and the box's class comes after those."""
    sample = plain(segmentation=png(np.arange(2400).reshape(40, 60) % 3))
    folder = write(tmp_path / "records", [sample], segmentation_labels=["sky", "road", "person"])
    convert.run(folder, "voc", tmp_path / "year")
    listing, (found,) = read_back(voc, tmp_path / "year")
    assert listing.labels == ("sky", "road", "person", "zebra", "tv/monitor")
    assert listing.segmentation_labels == ("background", *listing.labels)
    np.testing.assert_array_equal(pixels(found.segmentation), pixels(sample.segmentation) + 1)
    assert [listing.labels[i] for i in found.classes] == ["person", "zebra"]
