import tarfile

import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, pictures
from tests.data import build


def photo(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(8, 9, **options))


def test_flat_folder_is_split_by_hash(tmp_path):
    for index in range(30):
        photo(tmp_path / f"é {index}.JPG")
    (tmp_path / "README.txt").write_text("about")
    assert detect(tmp_path) == "pictures"
    listing = pictures.scan(tmp_path, Options(holdout=0.5))
    assert listing.labels == ("picture",)
    assert len(listing.references) == 30
    assert 6 <= sum(r.split == "val" for r in listing.references) <= 24
    sample = pictures.read(listing.references[0], listing.labels)
    assert (sample.height, sample.width, sample.labels.tolist()) == (8, 9, [])


def test_folders_of_splits_hidden_files_and_archives(tmp_path):
    for name in ("train/a/1.png", "test/2.png", "test/.thumbs/3.png", "test/._2.png"):
        photo(tmp_path / "set" / name, kind="PNG")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "set")
    found = [("test", "test/2.png"), ("train", "train/a/1.png")]
    for path, prefix in ((tmp_path / "set", ""), (tmp_path / "set.tar", "set/")):
        listing = pictures.scan(path)
        told = [(r.split, r.source_id.removeprefix(prefix)) for r in listing.references]
        assert told == found
        assert pictures.read(listing.references[0], listing.labels).width == 9


@pytest.mark.parametrize("name", ["a.txt", "labels.csv", "a.xml", "all.json"])
def test_annotated_pictures_are_not_claimed(tmp_path, name):
    photo(tmp_path / "a.jpg")
    (tmp_path / name).write_text("0")
    with pytest.raises(SourceError, match="no known layout"):
        detect(tmp_path)


def test_damaged_and_none(tmp_path):
    with pytest.raises(SourceError, match="found none among 0 files"):
        pictures.scan(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    listing = pictures.scan(tmp_path)
    with pytest.raises(BadSample, match="empty_image"):
        pictures.read(listing.references[0], listing.labels)
