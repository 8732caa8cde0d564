import shutil

import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, folder, source
from tests.data import build


def test_splits_classes_and_other_files(tmp_path):
    build.classes(tmp_path / "train", {"cat": 2, "dog": 1})
    build.classes(tmp_path / "Validation", {"dog": 1})
    (tmp_path / "train" / "LICENSE").write_text("none")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("none")
    (tmp_path / "train" / "cat" / ".hidden.jpg").write_text("none")
    assert detect(tmp_path) == "folder"
    listing = folder.scan(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [(r.split, r.source_id) for r in listing.references] == [
        ("train", "train/cat/000.jpeg"),
        ("train", "train/cat/001.jpeg"),
        ("train", "train/dog/000.jpeg"),
        ("val", "Validation/dog/000.jpeg"),
    ]
    sample = folder.read(listing.references[3], listing.labels)
    assert sample.labels.tolist() == [1]
    assert sample.image == (tmp_path / "Validation" / "dog" / "000.jpeg").read_bytes()


def test_deeper_pictures_upper_case_and_unicode(tmp_path):
    deep = tmp_path / "train" / "n01440764" / "images"
    deep.mkdir(parents=True)
    (deep / "é 猫.JPEG").write_bytes(build.picture())
    (reference,) = folder.scan(tmp_path).references
    assert (reference.source_id, reference.annotation) == (
        "train/n01440764/images/é 猫.JPEG",
        "n01440764",
    )


def test_hashed_split_holds_out_about_the_part_asked_for(tmp_path):
    build.classes(tmp_path, {"a": 50, "b": 50})
    listing = folder.scan(tmp_path, Options(holdout=0.2))
    assert 8 <= sum(r.split == "val" for r in listing.references) <= 32  # 20 +- 3 deviations


def test_class_that_is_not_among_the_labels_is_rejected(tmp_path):
    build.classes(tmp_path, {"a": 2, "b": 1})
    listing = folder.scan(tmp_path, Options(labels=("a",)))
    assert [row[:2] for row in listing.rejected] == [("b/000.jpeg", "unknown_class")]
    assert len(listing.references) == 2


def test_picture_that_went_away_is_rejected(tmp_path):
    build.classes(tmp_path, {"a": 1})
    (reference,) = folder.scan(tmp_path).references
    (tmp_path / "a" / "000.jpeg").unlink()
    with pytest.raises(BadSample, match="missing_image"):
        folder.read(reference, ("a",))


def test_wrong_folder_is_explained(tmp_path):
    with pytest.raises(SourceError, match="found none"):
        folder.scan(tmp_path)
    with pytest.raises(SourceError, match=r"expected one of auto, .*folder.*voc"):
        source("tar")


@pytest.mark.parametrize("top", ["", "flower_photos/", "a/b/"])
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_one_folder_around_everything(tmp_path, top, kind):
    build.classes(tmp_path / "set" / top, {"daisy": 1, "rose": 1, "rose/deep": 1})
    path = tmp_path / "set"
    if kind == "zip":
        path = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "set")
    assert detect(path) == "folder"
    listing = folder.scan(path)
    assert listing.labels == ("daisy", "rose")
    assert sorted(r.source_id for r in listing.references) == [
        f"{top}daisy/000.jpeg",
        f"{top}rose/000.jpeg",
        f"{top}rose/deep/000.jpeg",
    ]
    sample = folder.read(listing.references[0], listing.labels)
    assert (sample.height, sample.width) == (40, 60)


def test_splits_with_other_words_and_doubled_folders(tmp_path):
    build.classes(tmp_path / "seg_train" / "seg_train", {"sea": 1, "train": 1})
    build.classes(tmp_path / "seg_test" / "seg_test", {"sea": 1})
    build.classes(tmp_path / "seg_pred", {"seg_pred": 2})
    listing = folder.scan(tmp_path)
    assert listing.labels == ("sea", "train")
    assert [(r.split, r.annotation) for r in listing.references] == [
        ("test", "sea"),
        ("train", "sea"),
        ("train", "train"),
    ]
    assert listing.notes == ("2 pictures are in no class folder, and are not used",)


def test_classes_that_are_called_like_splits(tmp_path):
    build.classes(tmp_path / "a" / "train", {"train": 1, "bus": 1})
    assert folder.scan(tmp_path / "a").labels == ("bus", "train")
    build.classes(tmp_path / "b", {"train_station": 1, "beach": 1})
    assert folder.scan(tmp_path / "b").labels == ("beach", "train_station")


def test_single_class_must_be_asked_for(tmp_path):
    build.classes(tmp_path, {"cat": 2})
    assert not folder.detect(folder.files.tree(tmp_path))
    listing = folder.scan(tmp_path)
    assert (listing.labels, len(listing.references)) == (("cat",), 2)


def test_flat_pictures_are_not_claimed(tmp_path):
    build.classes(tmp_path, {"cat": 2})
    (tmp_path / "cat").rename(tmp_path.parent / f"{tmp_path.name}_flat")
    flat = tmp_path.parent / f"{tmp_path.name}_flat"
    assert not folder.detect(folder.files.tree(flat))
    with pytest.raises(SourceError, match="found none"):
        folder.scan(flat)


def test_pictures_beside_a_few_folders_are_not_classes(tmp_path):
    build.classes(tmp_path, {"a": 1, "b": 1})
    for index in range(2):
        (tmp_path / f"{index}.jpg").write_bytes(build.picture(seed=index))
    assert detect(tmp_path) == "pictures"
    (tmp_path / "1.jpg").unlink()
    assert detect(tmp_path) == "folder"


def test_a_split_of_another_form_beside_two_is_one_too(tmp_path):
    for top in ("Training", "Validation", "testing_set", "test_notes"):
        for name in ("a", "b") if top != "test_notes" else ("scans",):
            build.saved(tmp_path / "set" / top / name / "1.jpg", build.picture())
    listing = folder.scan(tmp_path / "set")
    found = {(r.source_id.split("/")[0], r.split) for r in listing.references}
    assert found == {("Training", "train"), ("Validation", "val"), ("testing_set", "test")}
    assert listing.labels == ("a", "b")
    for top in ("train", "train_station", "car"):  # one alone: classes
        build.saved(tmp_path / "classes" / top / "day" / "1.jpg", build.picture())
    assert folder.scan(tmp_path / "classes").labels == ("car", "train", "train_station")
