"""Where the VOC reader finds years, pictures, XML and lists."""

import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from convoy.data.files import files
from convoy.data.sources import Options, SourceError, voc
from tests.data import build

LISTS = {"train", "val", "trainval", "test"}


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


def test_official_tars_side_by_side(tmp_path):
    """VOCtrainval and VOCtest hold the same year: lists, pictures and XML of both are its own."""
    root = build.voc(
        tmp_path / "made" / "VOCdevkit" / "VOC2007",
        {"train": ["000001"], "val": ["000002"], "trainval": ["000001", "000002"]},
        count=3,
    )
    (root / "ImageSets" / "Main" / "test.txt").write_text("000003\n")
    for name, ids in (("VOCtrainval_06-Nov-2007", (1, 2)), ("VOCtest_06-Nov-2007", (3,))):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for path in sorted(root.rglob("*")):
                known = path.stem in LISTS and (path.stem == "test") == (3 in ids)
                if known or path.stem in {f"{index:06d}" for index in ids}:
                    archive.add(path, path.relative_to(tmp_path / "made"))
    folder = voc.scan(tmp_path / "made")
    shutil.rmtree(tmp_path / "made")
    assert voc.detect(files.tree(tmp_path))
    listing = voc.scan(tmp_path)
    ids = [(r.split, r.source_id) for r in listing.references]
    assert ids == [(r.split, r.source_id) for r in folder.references]
    assert ("test", "VOC2007/000003") in ids
    for reference in listing.references:
        sample = voc.read(reference, listing.labels)
        index = int(sample.source_id[-1])
        np.testing.assert_array_equal(sample.boxes, [[6, 4, 30, 20 + index], [0, 0, 40, 60]])
        assert sample.image == build.picture(seed=index)
    alone = voc.scan(tmp_path / "VOCtest_06-Nov-2007.tar")
    assert [r.split for r in alone.references] == ["test"]


def test_zip_with_pictures_and_xml_in_split_folders(tmp_path):
    """As Roboflow exports VOC: pictures beside their XML, a folder a split, names with dots."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in ("train", "valid", "test"):
            for index in range(2):
                name = f"{folder}/a_jpg.rf.{index}"
                archive.writestr(f"{name}.jpg", build.picture(seed=index))
                objects = build.xml_object("cat", (1, 2, 3 + index, 4))
                archive.writestr(f"{name}.xml", build.annotation(objects))
        archive.writestr("__MACOSX/train/._a_jpg.rf.0.xml", "junk")
        archive.writestr("train/._a_jpg.rf.0.xml", "junk")
        archive.writestr("README.roboflow.txt", "words")
    listing = voc.scan(tmp_path / "set.zip")
    assert [(r.split, r.source_id) for r in listing.references] == [
        ("test", "test/a_jpg.rf.0"),
        ("test", "test/a_jpg.rf.1"),
        ("train", "train/a_jpg.rf.0"),
        ("train", "train/a_jpg.rf.1"),
        ("val", "valid/a_jpg.rf.0"),
        ("val", "valid/a_jpg.rf.1"),
    ]
    sample = voc.read(listing.references[-1], listing.labels)
    np.testing.assert_array_equal(sample.boxes, [[1, 0, 4, 4]])


@pytest.mark.parametrize(
    ("texts", "pictures", "wanted"),
    [
        ("annotations/a.xml", "images/a.png", ["set/a"]),
        ("annotations/xmls/a.xml", "images/a.jpg", ["set/a"]),
        ("annotations/train/a.xml", "images/train/a.jpg", ["set/train/a"]),
        ("train/Annotations/a.xml", "train/images/a.JPG", ["train/a"]),
        ("Annotations/a.xml", "a.jpg", ["set/a"]),
        ("labels/a.xml", "imgs/cats/a.jpg", ["set/a"]),
        ("a.xml", "a.jpeg", ["set/a"]),
    ],
)
def test_layouts_of_labelling_tools(tmp_path, texts, pictures, wanted):
    for name, data in (
        (texts, build.annotation(build.xml_object("cat", (1, 1, 9, 9))).encode()),
        (pictures, build.picture(kind="PNG" if "png" in pictures else "JPEG")),
    ):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(data)
    assert voc.detect(files.tree(tmp_path / "set"))
    listing = voc.scan(tmp_path / "set")
    assert [r.source_id for r in listing.references] == wanted
    assert len(voc.read(listing.references[0], listing.labels).boxes) == 1
    if "train" in texts:
        assert listing.references[0].split == "train"


def test_other_formats_are_not_claimed(tmp_path):
    """ImageNet's XML lies apart from Data; other XML is none of ours; neither is a bare folder."""
    (tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC").mkdir(parents=True)
    (tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC" / "a.xml").write_text(build.annotation(""))
    (tmp_path / "ILSVRC" / "Data").mkdir()
    (tmp_path / "ILSVRC" / "Data" / "a.jpg").write_bytes(build.picture())
    assert not voc.detect(files.tree(tmp_path))
    with pytest.raises(SourceError, match="JPEGImages"):
        voc.scan(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.xml").write_text("<svg></svg>")
    (tmp_path / "other" / "a.jpg").write_bytes(build.picture())
    assert not voc.detect(files.tree(tmp_path / "other"))


def test_years_of_one_name_keep_their_ids_apart(tmp_path):
    for part in ("TrainVal", "Test"):
        build.voc(tmp_path / part / "VOCdevkit" / "VOC2011", {"train": ["000001"]}, count=1)
    ids = [r.source_id for r in voc.scan(tmp_path).references]
    assert ids == ["Test/VOCdevkit/VOC2011/000001", "TrainVal/VOCdevkit/VOC2011/000001"]


def test_picture_by_stem_and_else_by_filename(tmp_path):
    root = build.voc(tmp_path / "set", count=3)
    for key, named in (("000001", "C:\\other\\000002.jpg"), ("000002", "nothing.jpg")):
        path = root / "Annotations" / f"{key}.xml"
        text = path.read_text().replace("<size>", f"<filename>{named}</filename><size>")
        path.write_text(text.replace("<annotation>", "<annotation><folder/><new><x>1</x></new>"))
    path = root / "Annotations" / "000003.xml"
    text = path.read_text().replace("<size>", "<filename>/home/me/b c.jpg</filename><size>")
    path.rename(root / "Annotations" / "b.xml").write_text(text)
    (root / "JPEGImages" / "000003.jpg").rename(root / "JPEGImages" / "b c.jpg")
    listing = voc.scan(root)
    found = {r.source_id: files.name_of(r.image).rpartition("/")[2] for r in listing.references}
    assert found == {
        "set/000001": "000001.jpg",
        "set/000002": "000002.jpg",
        "set/b": "b c.jpg",
    }


def test_chosen_image_sets(tmp_path):
    root = build.voc(tmp_path / "VOC2012", {"train": ["000001"], "val": ["000002"]}, count=4)
    build.voc(tmp_path / "VOC2007", {"train": ["000001"]}, count=1)
    layout = root / "ImageSets" / "Layout"
    layout.mkdir()
    (layout / "trainval.txt").write_bytes("\ufeff000003 1\r\n\r\n000003 2\r\n".encode())
    (layout / "person_val.txt").write_text("000004 1\n")
    listing = voc.scan(tmp_path, Options(image_sets="Layout"))
    found = [(r.split, r.source_id) for r in listing.references]
    assert found == [("trainval", "VOC2012/000003"), ("val", "VOC2012/000004")]
    assert listing.notes == ("3 pictures are in no list of ImageSets: left out",)
    with pytest.raises(SourceError, match=r"Action/train\.txt"):
        voc.scan(tmp_path, Options(image_sets="Action"))


def test_lists_of_classes_alone_and_lines_with_paths(tmp_path):
    root = build.voc(tmp_path / "set", {"cat_train": ["000001 1", "000002 -1"]}, count=4)
    (root / "ImageSets" / "Main" / "dog_train.txt").write_text("000002  1\n000001  0\n")
    (root / "ImageSets" / "Main" / "validation.txt").write_text("JPEGImages/000003.jpg\n")
    found = [(r.split, r.source_id) for r in voc.scan(root).references]
    assert found == [("train", "set/000001"), ("train", "set/000002"), ("val", "set/000003")]


def test_a_list_of_damaged_text_is_named(tmp_path):
    root = build.voc(tmp_path / "set", {"train": ["000001"]}, count=1)
    (root / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe0\x000")
    with pytest.raises(SourceError, match=r"ImageSets/Main/train.txt is damaged text"):
        voc.scan(root)
