import gzip
import os
import zipfile

import pytest

from convoy.data.files import files
from convoy.data.files.files import SourceError
from tests.data.build import contents, saved, tar_bytes, zip_bytes

CONTENT = {"a/1.jpg": b"one", "a/2.jpg": b"two" * 400, "b/é 猫.txt": b"", "top.txt": b"t"}


def damaged():
    tar = tar_bytes({"1.jpg": b"1" * 2000, "2.jpg": b"2" * 2000})
    packed = gzip.compress(tar)
    zipped = zip_bytes(CONTENT)
    yield "cut in a file", "a.tar", tar[:1000]
    yield "cut in the last file", "a.tar", tar[:4000]
    yield "cut in a header", "a.tar", tar[:2800]
    yield "header overwritten", "a.tar", tar[:2560] + b"x" * 512 + tar[3072:]
    yield "no tar", "a.tar", b"<html>not found</html>"
    yield "no gzip", "a.tar.gz", b"<html>not found</html>"
    yield "gzip cut", "a.tgz", packed[:-20]
    yield "gzip bits", "a.tar.gz", packed[:30] + b"\xff" * 9 + packed[39:]
    yield "zip cut", "a.zip", zipped[:-60]
    yield "zip header", "a.zip", zipped.replace(b"PK\3\4", b"PK\0\0")
    yield "inner tar", "a.tar", tar_bytes({"b.tar": tar[:4000]})
    yield "inner gzip", "a.tar", tar_bytes({"b.tar.gz": packed[:-20]})


@pytest.mark.parametrize(("kind", "name", "data"), damaged(), ids=[row[0] for row in damaged()])
def test_damaged_archives_are_refused_whole(tmp_path, kind, name, data):
    with pytest.raises(SourceError, match=rf"a\.{name.split('.', 1)[1]}"):
        files.tree(saved(tmp_path / name, data))


def test_tar_without_its_end_is_whole(tmp_path):
    data = tar_bytes({"1.jpg": b"1" * 512})[:1024]
    assert contents(files.tree(saved(tmp_path / "a.tar", data))) == {"1.jpg": b"1" * 512}


def test_deflated_bytes_that_are_not_what_the_archive_says(tmp_path):
    path = saved(tmp_path / "a.zip", zip_bytes({"1.jpg": bytes(10**6)}, zipfile.ZIP_DEFLATED))
    span = files.tree(path).where("1.jpg")
    assert files.read(span) == bytes(10**6)
    for wrong in (
        span._replace(unpacked=1000),  # not unpacked any further
        span._replace(size=span.size - 9),
        span._replace(offset=span.offset + 3),
    ):
        with pytest.raises(OSError, match=r"damaged archive.*a\.zip"):
            files.read(wrong)


def test_damaged_file_that_a_data_set_needs(tmp_path):
    data = bytearray(zip_bytes({"a.txt": b"a" * 999}, zipfile.ZIP_DEFLATED))
    data[35:40] = b"\xff" * 5
    tree = files.tree(saved(tmp_path / "a.zip", bytes(data)))
    for kind in (SourceError, OSError):  # for readers, and for who takes it as any bad file
        with pytest.raises(kind, match=r"damaged archive.*fetch it again.*a\.zip"):
            tree.read("a.txt")


def test_zip_of_a_later_version_is_explained(tmp_path):
    data = bytearray(zip_bytes({"a.txt": b"a"}))
    data[data.index(b"PK\1\2") + 6] = 74
    with pytest.raises(SourceError, match=r"zip file version 7\.4"):
        files.tree(saved(tmp_path / "a.zip", bytes(data)))


def test_file_that_became_shorter(tmp_path):
    path = saved(tmp_path / "a.tar", tar_bytes({"1.jpg": b"1" * 2000}))
    where = files.tree(path).where("1.jpg")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError, match="ends 1,512 bytes early"):
        files.read(where)


def test_changed_gzip_file_is_unpacked_again(tmp_path):
    path = saved(tmp_path / "a.tgz", tar_bytes({"1.jpg": b"1"}, "w:gz"))
    assert files.tree(path).read("1.jpg") == b"1"
    saved(path, tar_bytes({"1.jpg": b"other"}, "w:gz"))
    assert files.tree(path).read("1.jpg") == b"other"


def test_encrypted_zip_is_explained(tmp_path):
    data = bytearray(zip_bytes({"1.jpg": b"1"}))
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(SourceError, match=r"1\.jpg is encrypted"):
        files.tree(saved(tmp_path / "a.zip", bytes(data)))


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "no/such"])
def test_impossible_names_are_missing_files(tmp_path, name):
    where = os.path.join(tmp_path, name) if name else ""
    assert files.size(where) == 0
    with pytest.raises(FileNotFoundError):
        files.read(where)
