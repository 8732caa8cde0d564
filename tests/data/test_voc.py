import collections

import numpy as np
import PIL.Image
import pytest

from data.sample import BadSample
from data.sources import Options, SourceError, voc
from tests.data import build


def one(tmp_path, objects, *, picture=None, size=(40, 60), labels=()):
    """The sample of a folder with one picture, and what was warned of."""
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(picture or build.picture(40, 60))
    (tmp_path / "Annotations" / "a.xml").write_text(build.annotation(objects, size))
    listing = voc.scan(tmp_path, Options(labels=labels))
    warned = collections.Counter()
    (reference,) = listing.references
    sample = voc.read(reference, listing.labels, warn=lambda reason, _: warned.update([reason]))
    return sample, dict(warned)


def test_corners_become_continuous(tmp_path):
    """1-based inclusive 48..195, 240..371: VOC2007/000001's dog covers [47, 195] x [239, 371]."""
    objects = build.xml_object("dog", (48, 240, 195, 371))
    sample, warned = one(tmp_path, objects, picture=build.picture(500, 353), size=(500, 353))
    np.testing.assert_array_equal(sample.boxes, [[239, 47, 371, 195]])
    assert sample.boxes.dtype == np.float32
    assert (sample.height, sample.width, warned) == (500, 353, {})


def test_flags_missing_empty_and_in_any_order(tmp_path):
    objects = (
        build.xml_object("b", (1, 1, 9, 9), "<difficult>1</difficult><truncated/>")
        + "<object><bndbox><ymax>9.5</ymax><xmin>2.25</xmin><xmax>8</xmax><ymin>3</ymin></bndbox>"
        "<truncated>1</truncated><difficult></difficult><part><name>head</name></part>"
        "<name> a </name></object>" + build.xml_object("a", (1, 1, 60, 40))
    )
    sample, warned = one(tmp_path, objects)
    np.testing.assert_array_equal(sample.boxes, [[0, 0, 9, 9], [2, 1.25, 9.5, 8], [0, 0, 40, 60]])
    assert sample.classes.tolist() == [1, 0, 0]
    assert sample.labels.tolist() == [0, 1]
    assert sample.difficult.tolist() == [True, False, False]
    assert sample.truncated.tolist() == [False, True, False]
    assert warned == {"missing_box": 1}  # of the head


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((40, 60), [[10, 20, 25, 36]]),  # for the stored pixels, 40 high: turned with them
        ((60, 40), [[4, 10, 20, 25]]),  # for the picture as people see it, 60 high: kept
        ((0, 0), [[10, 20, 25, 36]]),  # unknown: stored
    ],
)
def test_boxes_of_a_turned_picture(tmp_path, size, wanted):
    """EXIF 6, stored 40x60 (H x W): the upright x is 40 - stored y, the upright y is stored x."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    objects = build.xml_object("cat", (11, 5, 25, 20))  # [4, 10, 20, 25]
    sample, warned = one(tmp_path, objects, picture=build.picture(40, 60, exif=exif), size=size)
    assert (sample.height, sample.width, warned) == (60, 40, {})
    np.testing.assert_array_equal(sample.boxes, wanted)


def test_bad_objects_are_left_out_and_counted(tmp_path):
    objects = "".join(
        build.xml_object(*row)
        for row in [
            ("cat", (10, 10, 10, 10)),  # no area
            ("cat", (30, 10, 20, 15)),  # corners swapped
            ("cat", (70, 10, 90, 20)),  # outside
            ("cat", (50, 30, 90, 70)),  # reaches outside
            ("cat", (0, 0, 10, 10)),  # a tool that counts from 0
            ("cow", (1, 1, 10, 10)),  # not among the labels
            ("cat", ("nan", 1, 10, 10)),
        ]
    )
    objects += "<object><name>cat</name></object>"
    sample, warned = one(tmp_path, objects, labels=("cat",))
    np.testing.assert_array_equal(sample.boxes, [[29, 49, 40, 60], [0, 0, 10, 10]])
    assert warned == {
        "empty_box": 2,
        "outside_box": 1,
        "clipped_box": 2,
        "unknown_class": 1,
        "missing_box": 2,
    }


def test_picture_without_objects_is_kept(tmp_path):
    sample, _ = one(tmp_path, "", labels=("cat",))
    assert sample.boxes.shape == (0, 4)
    assert sample.classes.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "corrupt_annotation"),
        ("", "corrupt_annotation"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "corrupt_annotation"),
        (None, "missing_annotation"),
    ],
)
def test_bad_annotations_are_rejected(tmp_path, text, reason):
    root = build.voc(tmp_path / "set", count=2)
    path = root / "Annotations" / "000002.xml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    listing = voc.scan(root)
    assert listing.labels == ("cat", "dog")
    (reference,) = (r for r in listing.references if r.source_id == "set/000002")
    with pytest.raises(BadSample, match=r"000002\.xml") as caught:
        voc.read(reference, listing.labels)
    assert caught.value.reason == reason


def test_annotation_without_picture_is_rejected(tmp_path):
    root = build.voc(tmp_path / "set", count=2)
    (root / "JPEGImages" / "000001.jpg").unlink()
    listing = voc.scan(root)
    (reference,) = (r for r in listing.references if r.source_id == "set/000001")
    with pytest.raises(BadSample, match=r"000001\.jpg") as caught:
        voc.read(reference, listing.labels)
    assert caught.value.reason == "missing_image"


def test_image_sets_give_the_splits(tmp_path):
    root = build.voc(
        tmp_path / "VOC2007",
        {"train": ["000001", "000002"], "trainval": ["000002 1", "000003 -1"], "val": []},
        count=4,
    )
    (root / "ImageSets" / "Main" / "cat_train.txt").write_text("000004  1\n")
    found = [(r.split, r.source_id) for r in voc.scan(tmp_path).references]
    assert found == [
        ("train", "VOC2007/000001"),
        ("train", "VOC2007/000002"),
        ("trainval", "VOC2007/000002"),
        ("trainval", "VOC2007/000003"),
    ]


def test_devkit_of_two_years(tmp_path):
    build.voc(tmp_path / "VOCdevkit" / "VOC2007", {"train": ["000001"]}, count=1)
    build.voc(tmp_path / "VOCdevkit" / "VOC2012", {"train": ["000001"]}, count=1)
    ids = [r.source_id for r in voc.scan(tmp_path).references]
    assert ids == ["VOC2007/000001", "VOC2012/000001"]
    assert [r.source_id for r in voc.scan(tmp_path / "VOCdevkit").references] == ids


def test_hashed_split_is_stable_when_data_is_added(tmp_path):
    few = voc.scan(build.voc(tmp_path / "few" / "set", count=30), Options(holdout=0.3))
    many = voc.scan(build.voc(tmp_path / "many" / "set", count=60), Options(holdout=0.3))
    split = {r.source_id: r.split for r in many.references}
    assert all(split[r.source_id] == r.split for r in few.references)
    assert 8 <= sum(r.split == "val" for r in many.references) <= 28  # 18 +- 3 deviations
    other = voc.scan(tmp_path / "many" / "set", Options(holdout=0.3, seed=1))
    assert {r.source_id: r.split for r in other.references} != split


def test_segmentation_and_instances(tmp_path):
    objects = build.xml_object("cat", (3, 3, 3, 3)) + build.xml_object("dog", (11, 6, 20, 15))
    values = np.zeros((40, 60), np.uint8)
    values[5:15, 10:20] = 2  # class 1, dog: second object of the file
    values[4, 10:20] = 255
    for name in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / name).mkdir()
        image = PIL.Image.fromarray(values)
        image.putpalette(bytes(range(256)) * 3)
        image.save(tmp_path / name / "a.png")
    sample, warned = one(tmp_path, objects)
    assert warned == {"empty_box": 1}
    (tmp_path / "class.png").write_bytes(sample.segmentation)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "class.png")), values)
    (mask,) = sample.masks
    (tmp_path / "mask.png").write_bytes(mask)
    mask = np.asarray(PIL.Image.open(tmp_path / "mask.png"))
    np.testing.assert_array_equal(mask, np.where(values == 2, 255, 0))


def test_segmentation_of_another_size_is_rejected(tmp_path):
    (tmp_path / "SegmentationClass").mkdir()
    PIL.Image.new("L", (10, 10)).save(tmp_path / "SegmentationClass" / "a.png")
    with pytest.raises(BadSample, match="bad_segmentation"):
        one(tmp_path, build.xml_object("cat", (1, 1, 9, 9)))


def test_unicode_and_blanks_in_names(tmp_path):
    root = build.voc(tmp_path / "déjà vu 猫", count=2)
    for folder, ending in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (root / folder / f"000001.{ending}").rename(root / folder / f"été 1.{ending}")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("été 1\r\n000002\r\n", "utf-8")
    listing = voc.scan(root)
    assert [r.source_id for r in listing.references] == ["déjà vu 猫/000002", "déjà vu 猫/été 1"]
    assert voc.read(listing.references[1], listing.labels).classes.tolist() == [1, 0]


def test_wrong_folder_is_explained(tmp_path):
    with pytest.raises(SourceError, match="Annotations"):
        voc.scan(tmp_path)
    with pytest.raises(SourceError, match="no such file or folder"):
        voc.scan(tmp_path / "nothing")
