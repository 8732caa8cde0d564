import io
import pickle
import tarfile

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, cifar, detect

NAMES10 = ["airplane", "automobile", "bird", "cat", "deer"]
NAMES10 += ["dog", "frog", "horse", "ship", "truck"]


def row(*numbers):
    """Classes, then 32 x 32 pixels: red counts rows, green counts columns, blue is 7."""
    red = np.arange(32, dtype=np.uint8).repeat(32)
    green = np.tile(np.arange(32, dtype=np.uint8), 32)
    return bytes(numbers) + red.tobytes() + green.tobytes() + bytes([7] * 1024)


def cifar10(root):
    root.mkdir(parents=True)
    (root / "data_batch_1.bin").write_bytes(row(3) + row(9))
    (root / "data_batch_2.bin").write_bytes(row(0))
    (root / "test_batch.bin").write_bytes(row(5))
    (root / "batches.meta.txt").write_text("\n".join(NAMES10) + "\n\n")
    (root / "readme.html").write_text("<html>")
    return root


def check_picture(sample):
    picture = PIL.Image.open(io.BytesIO(sample.image))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (32, 32))
    np.testing.assert_array_equal(np.asarray(picture)[20, 11], [20, 11, 7])


@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz"])
def test_cifar10(tmp_path, kind):
    path = root = cifar10(tmp_path / "cifar-10-batches-bin")
    if kind != "folder":
        path = tmp_path / f"cifar-10-binary.{kind}"
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(root, root.name)
    assert detect(path) == "cifar"
    listing = cifar.scan(path)
    assert listing.labels == tuple(NAMES10)
    inside = "" if kind == "folder" else "cifar-10-batches-bin/"
    assert [(r.split, r.source_id, r.annotation) for r in listing.references] == [
        ("test", f"{inside}test_batch.bin/00000", "dog"),
        ("train", f"{inside}data_batch_1.bin/00000", "cat"),
        ("train", f"{inside}data_batch_1.bin/00001", "truck"),
        ("train", f"{inside}data_batch_2.bin/00000", "airplane"),
    ]
    sample = cifar.read(listing.references[2], listing.labels)
    assert sample.labels.tolist() == [9]
    check_picture(sample)


def test_cifar100_takes_the_fine_classes(tmp_path):
    (tmp_path / "train.bin").write_bytes(row(1, 2) + row(0, 0))
    (tmp_path / "test.bin").write_bytes(row(1, 1))
    (tmp_path / "fine_label_names.txt").write_bytes(b"apple\r\nbear\r\nbed\r\n")
    (tmp_path / "coarse_label_names.txt").write_text("fruit\nother\n")
    listing = cifar.scan(tmp_path)
    assert listing.labels == ("apple", "bear", "bed")
    assert [r.annotation for r in listing.references] == ["bear", "bed", "apple"]
    check_picture(cifar.read(listing.references[1], listing.labels))


def test_names_without_their_file_labels_and_strange_classes(tmp_path):
    root = cifar10(tmp_path / "a")
    (root / "batches.meta.txt").unlink()
    (root / "data_batch_2.bin").write_bytes(row(10))
    listing = cifar.scan(root)
    assert listing.labels == tuple(NAMES10)
    assert [r[:2] for r in listing.rejected] == [("data_batch_2.bin/00000", "unknown_class")]
    listing = cifar.scan(root, Options(labels=("dog", "cat")))
    assert [r.annotation for r in listing.references] == ["dog", "cat"]


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    assert cifar.detect(cifar.files.tree(tmp_path))
    with pytest.raises(SourceError, match=r"pickles.*cifar-10-binary\.tar\.gz"):
        cifar.scan(tmp_path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("data", [b"", row(1)[:-1], row(1) + b"1"])
def test_damaged_files_are_explained(tmp_path, data):
    root = cifar10(tmp_path / "a")
    (root / "data_batch_1.bin").write_bytes(data)
    with pytest.raises(SourceError, match=r"data_batch_1\.bin has .* rows of 3,073"):
        cifar.scan(root)


def test_batch_that_went_away(tmp_path):
    root = cifar10(tmp_path / "a")
    (reference, *_) = cifar.scan(root).references
    (root / "test_batch.bin").unlink()
    with pytest.raises(BadSample, match="missing_image"):
        cifar.read(reference, NAMES10)


def test_other_folders(tmp_path):
    with pytest.raises(SourceError, match=r"data_batch_1\.bin"):
        cifar.scan(tmp_path)
    for name in ("train.bin", "test.bin"):  # names that say little
        (tmp_path / name).write_bytes(row(1))
    assert not cifar.detect(cifar.files.tree(tmp_path))
