import concurrent.futures
import gzip
import os
import stat
import tarfile
import tracemalloc
import zipfile

import pytest

from convoy.data.files import files
from convoy.data.files.files import SourceError, Span
from tests.data.build import contents, saved, tar_bytes, zip_bytes

CONTENT = {"a/1.jpg": b"one", "a/2.jpg": b"two" * 400, "b/é 猫.txt": b"", "top.txt": b"t"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("set.tar", tar_bytes(CONTENT)),
        ("set.TAR", tar_bytes(CONTENT, format=tarfile.GNU_FORMAT)),
        ("set.tar.gz", tar_bytes(CONTENT, "w:gz")),
        ("set.tgz", tar_bytes(CONTENT, "w:gz")),
        ("set.zip", zip_bytes(CONTENT)),
        ("set.zip", zip_bytes(CONTENT, zipfile.ZIP_DEFLATED)),
    ],
)
def test_archives_read_as_folders(tmp_path, name, data):
    for below, part in CONTENT.items():
        saved(tmp_path / "folder" / below, part)
    packed = files.tree(saved(tmp_path / name, data))
    folder = files.tree(tmp_path / "folder")
    assert contents(packed) == contents(folder) == CONTENT
    assert packed.folders() == folder.folders() == ["a", "b"]
    assert packed.under("a") == ["a/1.jpg", "a/2.jpg"]
    assert packed.under("a/1") == packed.under("c") == []
    assert packed.under("") == packed.names == sorted(CONTENT)
    assert files.tree(packed) is packed
    for tree in (packed, folder):
        assert "a/3.jpg" not in tree
        with pytest.raises(FileNotFoundError):
            tree.read("a/3.jpg")
        assert files.size(tree.where("a/3.jpg")) == 0
        assert files.size(tree.where("a/1.jpg")) in (3, 5)  # 5 = deflated


def test_under_keeps_to_the_folder(tmp_path):
    for name in ("a/1", "a/é/2", "a b/3", "a.x/4", "a0/5", "aa/6"):
        saved(tmp_path / name, b"")
    assert files.tree(tmp_path).under("a") == ["a/1", "a/é/2"]


def test_empty_archives(tmp_path):
    for name, data in (("a.tar", tar_bytes({})), ("a.zip", zip_bytes({}))):
        assert files.tree(saved(tmp_path / name, data)).names == []
    assert files.tree(tmp_path).names == ["a.tar", "a.zip"]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_undecodable_names(tmp_path, format):
    names = ["d" * 90 + "/" + "é" * 120 + ".jpg", "x\udcff.jpg"]
    path = saved(tmp_path / "a.tar", tar_bytes(dict.fromkeys(names, b"data"), format=format))
    assert contents(files.tree(path)) == dict.fromkeys(names, b"data")


def test_names_that_climb_stay_below_the_top(tmp_path):
    content = {"../../up.jpg": b"1", "/root.jpg": b"2", "./a/../b//c.jpg": b"3"}
    wanted = {"up.jpg": b"1", "root.jpg": b"2", "b/c.jpg": b"3"}
    for name, data in (("a.tar", tar_bytes(content)), ("a.zip", zip_bytes(content))):
        assert contents(files.tree(saved(tmp_path / name, data))) == wanted


def test_tars_inside_a_tar(tmp_path):
    inner = {"n1.tar": tar_bytes({"x.jpg": b"1"}), "n2.tar.gz": tar_bytes({"y.jpg": b"2"}, "w:gz")}
    wanted = {"n1/x.jpg": b"1", "n2/y.jpg": b"2", "deep/n1/x.jpg": b"1", "deep/n2/y.jpg": b"2"}
    outer = {**inner, "deep.tar": tar_bytes(inner)}
    assert contents(files.tree(saved(tmp_path / "a.tar", tar_bytes(outer)))) == wanted
    assert contents(files.tree(saved(tmp_path / "a.tgz", tar_bytes(outer, "w:gz")))) == wanted


def test_tars_inside_tars_end_somewhere(tmp_path):
    data = tar_bytes({"x.jpg": b"1"})
    for _ in range(5):
        data = tar_bytes({"t.tar": data})
    assert files.tree(saved(tmp_path / "a.tar", data)).names == ["t/t/t.tar"]


def test_archives_side_by_side(tmp_path):
    saved(tmp_path / "train.tar", tar_bytes({"train/1.jpg": b"1", "README": b"a"}))
    saved(tmp_path / "down" / "val.zip", zip_bytes({"val/1.jpg": b"2", "README": b"bb"}))
    saved(tmp_path / "labels.csv", b"c")
    found = contents(files.tree(tmp_path))
    assert found["train/1.jpg"] == b"1"
    assert found["down/val/1.jpg"] == b"2"
    assert found["labels.csv"] == b"c"
    saved(tmp_path / "train" / "2.jpg", b"3")  # unpacked already: archives are what was kept
    assert "train/1.jpg" not in files.tree(tmp_path)


def test_archives_that_hold_the_same_names(tmp_path):
    saved(tmp_path / "train.tar.gz", tar_bytes({"1.jpg": b"1"}, "w:gz"))
    saved(tmp_path / "val.zip", zip_bytes({"1.jpg": b"22"}))
    found = contents(files.tree(tmp_path))
    assert (found["train/1.jpg"], found["val/1.jpg"]) == (b"1", b"22")
    assert "1.jpg" not in found


def test_links(tmp_path):
    (tmp_path / "set" / "a").mkdir(parents=True)
    saved(tmp_path / "set" / "a" / "1.jpg", b"1")
    os.link(tmp_path / "set" / "a" / "1.jpg", tmp_path / "set" / "hard.jpg")
    (tmp_path / "set" / "soft.jpg").symlink_to("a/1.jpg")
    (tmp_path / "set" / "a" / "again.jpg").symlink_to("../soft.jpg")
    (tmp_path / "set" / "gone.jpg").symlink_to("nothing.jpg")
    (tmp_path / "set" / "x.jpg").symlink_to("y.jpg")
    (tmp_path / "set" / "y.jpg").symlink_to("x.jpg")
    (tmp_path / "set" / "a" / "loop").symlink_to("..")
    os.mkfifo(tmp_path / "set" / "pipe.jpg")  # reading it would wait for ever
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    linked = {"a/1.jpg", "hard.jpg", "soft.jpg", "a/again.jpg"}
    assert contents(files.tree(tmp_path / "set.tar")) == dict.fromkeys(linked, b"1")
    folder = files.tree(tmp_path / "set")
    assert set(folder.names) == linked | {"gone.jpg", "x.jpg", "y.jpg"}  # missing when read
    assert {folder.read(name) for name in linked} == {b"1"}
    with pytest.raises(FileNotFoundError):
        folder.read("gone.jpg")


def test_links_and_old_names_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", b"1")
        link = zipfile.ZipInfo("b/soft.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../a/1.jpg")
        archive.writestr("__MACOSX/a/._1.jpg", b"fork")
        archive.writestr("win\\1.jpg", b"2")
        archive.writestr("empty/", b"")
    data = (tmp_path / "a.zip").read_bytes()
    found = contents(files.tree(tmp_path / "a.zip"))
    assert found == {"a/1.jpg": b"1", "b/soft.jpg": b"1", "win/1.jpg": b"2"}
    assert data.count(b"win\\1.jpg") == 2


def test_zip_with_utf8_names_that_it_does_not_declare(tmp_path):
    data = zip_bytes({"__.jpg": b"1"}).replace(b"__.jpg", "é.jpg".encode())
    assert files.tree(saved(tmp_path / "a.zip", data)).names == ["é.jpg"]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_sparse_members(tmp_path, ending):
    """1 MB of which GNU tar stores 8 bytes: old GNU sparse header, map and data made by hand."""
    member = tarfile.TarInfo("sparse.bin")
    member.size = 8
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"%011o\0%011o\0" % (1000, 8)  # offset and size of the only piece
    header[483:495] = b"%011o\0" % 1_000_000
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = tar_bytes({"first.bin": b"1"})[:1024] + bytes(header) + b"convoy!!".ljust(512, b"\0")
    data += tar_bytes({"last.bin": b"2"})
    packed = gzip.compress(data) if ending.endswith("gz") else data
    found = contents(files.tree(saved(tmp_path / f"a{ending}", packed)))
    assert (found["first.bin"], found["last.bin"]) == (b"1", b"2")
    assert found["sparse.bin"] == bytes(1000) + b"convoy!!" + bytes(1_000_000 - 1008)


def test_gzip_copies_are_shared_by_threads(tmp_path):
    """More archives than are kept open, read by many threads: no copy is closed while in use."""
    spans = {}
    for index in range(40):
        data = f"{index:05d}".encode() * 100
        tree = files.tree(saved(tmp_path / f"{index}.tgz", tar_bytes({"1.jpg": data}, "w:gz")))
        spans[tree.where("1.jpg")] = data
    work = [(span, data) for _ in range(20) for span, data in spans.items()]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda row: files.read(row[0]) == row[1], work))
    assert len(got) == 800
    assert all(got)


def test_spans_of_spans(tmp_path):
    """A gzipped file in a .zip, as EMNIST comes: bytes 2..5 of what it unpacks to."""
    path = saved(tmp_path / "a.zip", zip_bytes({"x.gz": gzip.compress(b"0123456789")}))
    inner = files.tree(path).where("x.gz")
    assert files.read(Span(inner, 2, 3, "gzip")) == b"234"
    assert files.name_of(Span(inner, 2, 3, "gzip")) == f"{path}@{inner.offset}@2"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tar", tar_bytes({"x": b"0123456789"})),
        ("a.tgz", tar_bytes({"x": b"0123456789"}, "w:gz")),
        ("a.zip", zip_bytes({"x": b"0123456789"})),
        ("a.zip", zip_bytes({"x": b"0123456789"}, zipfile.ZIP_DEFLATED)),
        ("x", b"0123456789"),
    ],
)
def test_parts_of_files(tmp_path, name, data):
    where = files.tree(saved(tmp_path / name, data)).where("x")
    assert files.length(where) == 10
    assert files.read(files.part(where, 2, 3)) == b"234"
    assert files.read(files.part(files.part(where, 2, 5), 1, 2)) == b"34"


def test_large_tar_is_listed_in_little_memory(tmp_path):
    """20,000 members; tarfile's own list of them would take over 1 KB each."""
    header = tarfile.TarInfo("0000000.jpg")
    header.size = 700
    block = header.tobuf()
    checksum = int(block[148:154], 8)
    with open(tmp_path / "a.tar", "wb") as file:
        for index in range(20_000):
            name = f"{index:07d}".encode()
            told = b"%06o\0 " % (checksum + sum(name) - 7 * ord("0"))
            file.write(name + block[7:148] + told + block[156:] + bytes(1024))
    tracemalloc.start()
    tree = files.tree(tmp_path / "a.tar")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(tree.names) == 20_000
    assert tree.where("0019999.jpg") == Span(str(tmp_path / "a.tar"), 19_999 * 1536 + 512, 700)
    assert peak < 20_000 * 800


def test_single_file_and_nothing(tmp_path):
    path = saved(tmp_path / "a.csv", b"1")
    assert contents(files.tree(path)) == {"a.csv": b"1"}
    with pytest.raises(SourceError, match="no such file or folder"):
        files.tree(tmp_path / "b")
