import collections
import io

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, voc
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
        ((0, 0), [[4, 10, 20, 25]]),  # unknown: as people see it, and said
    ],
)
def test_boxes_of_a_turned_picture(tmp_path, size, wanted):
    """EXIF 6, stored 40x60 (H x W): the upright x is 40 - stored y, the upright y is stored x."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    objects = build.xml_object("cat", (11, 5, 25, 20))  # [4, 10, 20, 25]
    sample, warned = one(tmp_path, objects, picture=build.picture(40, 60, exif=exif), size=size)
    told = {} if any(size) else {"frame_upright": 1}
    assert (sample.height, sample.width, warned) == (60, 40, told)
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
    boxes = [[9, 19, 15, 30], [29, 49, 40, 60], [0, 0, 10, 10]]
    np.testing.assert_array_equal(sample.boxes, boxes)
    assert warned == {
        "empty_box": 1,
        "swapped_corners": 1,
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


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("latin-1", '<?xml version="1.0" encoding="ISO-8859-1"?>\n'),
        ("cp1252", "<?xml version='1.0' encoding='windows-1252'?>"),
        ("utf-8-sig", ""),
        ("utf-16", '<?xml version="1.0" encoding="utf-16"?>'),  # with its mark
        ("utf-16-be", '<?xml version="1.0" encoding="UTF-16BE"?>'),
        ("utf-8", '<?xml version="1.0" encoding="utf-16"?>'),  # .NET's mistake
        ("utf-8", '\n <?xml version="1.0"?>'),  # not at the start
    ],
)
def test_encodings(tmp_path, encoding, head):
    text = head + build.annotation(build.xml_object("déjà", (1, 1, 9, 9)) + "<!-- é -->")
    sample, labels = _of_xml(tmp_path, text.encode(encoding))
    assert labels == ("déjà",)
    assert sample.classes.tolist() == [0]


def test_encoding_of_several_bytes(tmp_path):
    text = '<?xml version="1.0" encoding="gb2312"?>' + build.annotation(
        build.xml_object("猫", (1, 1, 9, 9))
    )
    assert _of_xml(tmp_path, text.encode("gbk"))[1] == ("猫",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused_in_every_encoding(tmp_path, encoding):
    bomb = '<!DOCTYPE a [<!ENTITY b "cccccccc">]><annotation>&b;</annotation>'
    with pytest.raises(BadSample, match="document type"):
        _of_xml(tmp_path, bomb.encode(encoding), labels=("cat",))


@pytest.mark.parametrize("data", [b"\xff\xfe<", b"<annotation>\0</annotation>", b"<svg></svg>"])
def test_damaged_xml_is_rejected(tmp_path, data):
    with pytest.raises(BadSample, match="corrupt_annotation"):
        _of_xml(tmp_path, data, labels=("cat",))


def _of_xml(tmp_path, data, labels=()):
    (tmp_path / "a.xml").write_bytes(data)
    (tmp_path / "a.jpg").write_bytes(build.picture())
    listing = voc.scan(tmp_path, Options(labels=labels))
    return voc.read(listing.references[0], listing.labels), listing.labels


def test_parts_and_actions(tmp_path):
    part = (
        "<part><name>head</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>8.5</xmax><ymax>9</ymax>"
        "</bndbox></part><part><name>foot</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></part>"
    )
    acts = "<actions><jumping>1</jumping><ridingbike>0</ridingbike><other>?</other></actions>"
    objects = build.xml_object("dog", (1, 1, 9, 9)) + build.xml_object(
        "person", (2, 3, 30, 40), part + acts + "<point><x>1</x><y>2</y></point>"
    )
    action = tmp_path / "ImageSets" / "Action"
    action.mkdir(parents=True)
    (action / "train.txt").write_text("a 2\n")
    for name, flag in (("jumping", 1), ("running", -1)):
        (action / f"{name}_train.txt").write_text(f"a 2  {flag}\n")
    sample, warned = one(tmp_path, objects)
    assert sample.part_names == ("head",)
    np.testing.assert_array_equal(sample.part_boxes, [[3, 2, 9, 8.5]])
    assert sample.part_owners.tolist() == [1]
    assert warned == {"empty_box": 1}
    assert sample.actions.tolist() == [[-1, -1, -1, -1], [1, -1, 0, -1]]
    listing = voc.scan(tmp_path)
    assert listing.actions == ("jumping", "other", "ridingbike", "running")
    assert [r.split for r in listing.references] == ["train"]  # by the lists of Action alone


def _segmented(tmp_path, values, objects, **options):
    (tmp_path / "SegmentationClass").mkdir()
    PIL.Image.fromarray(values).save(tmp_path / "SegmentationClass" / "a.png")
    return one(tmp_path, objects, **options)


def test_few_of_vocs_classes_keep_vocs_numbers(tmp_path):
    """person is 15 of VOC's 20 whatever else the pictures hold; chair is 9."""
    objects = build.xml_object("person", (1, 1, 9, 9)) + build.xml_object("chair", (1, 1, 9, 9))
    values = np.zeros((40, 60), np.uint8)
    values[0, :4] = 15, 9, 255, 20
    sample, _ = _segmented(tmp_path, values, objects)
    listing = voc.scan(tmp_path)
    assert listing.labels == voc.CLASSES
    assert listing.segmentation_labels[15] == "person"
    assert [listing.labels[i] for i in sample.classes] == ["person", "chair"]
    assert len(listing.segmentation_labels) == 21
    chosen = voc.scan(tmp_path, Options(labels=("person",)))
    assert (chosen.labels, chosen.segmentation_labels) == (("person",), listing.segmentation_labels)


def test_values_of_no_class_are_rejected(tmp_path):
    values = np.full((40, 60), 3, np.uint8)
    with pytest.raises(BadSample, match=r"holds 3, expected 0 to 2 or 255"):
        _segmented(
            tmp_path,
            values,
            build.xml_object("a", (1, 1, 9, 9)) + build.xml_object("b", (1, 1, 9, 9)),
        )


def test_classes_are_numbered_as_listed_or_else_by_name(tmp_path):
    objects = build.xml_object("cat", (1, 1, 9, 9)) + build.xml_object("ant", (1, 1, 9, 9))
    _segmented(tmp_path, np.full((40, 60), 2, np.uint8), objects)
    listing = voc.scan(tmp_path)
    assert listing.segmentation_labels == ("background", "ant", "cat")
    assert listing.notes == (
        "no class_names.txt: SegmentationClass is taken to number the classes in the order given",
    )
    lines = "__ignore__\r\n_background_\r\n_wasp\r\ncat\r\nant\r\n"
    (tmp_path / "class_names.txt").write_bytes(lines.encode("utf-16"))
    listing = voc.scan(tmp_path)
    assert listing.labels == ("_wasp", "cat", "ant")
    assert listing.segmentation_labels == ("background", "_wasp", "cat", "ant")
    assert listing.notes == ()


def test_void_belongs_to_no_object_even_to_the_255th(tmp_path):
    objects = "".join(build.xml_object("cat", (1, 1, 9, 9)) for _ in range(255))
    values = np.full((40, 60), 255, np.uint8)
    values[:9, :9] = 254
    (tmp_path / "SegmentationObject").mkdir()
    PIL.Image.fromarray(values).save(tmp_path / "SegmentationObject" / "a.png")
    sample, _ = one(tmp_path, objects)
    counts = [int((np.asarray(PIL.Image.open(io.BytesIO(m))) != 0).sum()) for m in sample.masks]
    assert counts == [0] * 253 + [81, 0]
