import gzip
import io
import struct
import zipfile

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, idx
from tests.data import build


def pictures(count, height=3, width=2):
    """uint8 [N, H, W]: the values count on."""
    values = np.arange(count * height * width, dtype=np.uint8).reshape(count, height, width)
    return values, struct.pack(">4I", 0x803, count, height, width) + values.tobytes()


def classes(*values):
    return struct.pack(">2I", 0x801, len(values)) + bytes(values)


def files_of(train=(0, 2, 1), test=(1, 0)):
    return {
        "train-images-idx3-ubyte": pictures(len(train))[1],
        "train-labels-idx1-ubyte": classes(*train),
        "t10k-images-idx3-ubyte": pictures(len(test))[1],
        "t10k-labels-idx1-ubyte": classes(*test),
    }


def written(root, content, packed=False):
    root.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        path = root / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(data) if packed else data)
    return root


def pixels(sample):
    picture = PIL.Image.open(io.BytesIO(sample.image))
    assert (picture.format, picture.mode) == ("PNG", "L")
    return np.asarray(picture)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", [False, True])
def test_mnist(tmp_path, packed, dot):
    content = {n.replace("-idx", ".idx") if dot else n: d for n, d in files_of().items()}
    root = written(tmp_path / "raw", content, packed)
    (root / "SOURCE.txt").write_text("none")
    assert detect(root) == "idx"
    listing = idx.scan(root)
    assert listing.labels == ("0", "1", "2")
    assert [r.split for r in listing.references] == ["test"] * 2 + ["train"] * 3
    samples = [idx.read(r, listing.labels) for r in listing.references]
    assert [s.labels.tolist() for s in samples] == [[1], [0], [0], [2], [1]]
    assert (samples[4].height, samples[4].width) == (3, 2)
    np.testing.assert_array_equal(pixels(samples[4]), [[12, 13], [14, 15], [16, 17]])
    end = ".idx3-ubyte" if dot else "-idx3-ubyte"
    assert listing.references[4].source_id == f"train-images{end}/000002"


def test_unpacked_files_beside_their_archives_count_once(tmp_path):
    written(written(tmp_path, files_of()), files_of(), packed=True)
    assert len(idx.scan(tmp_path).references) == 5


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_gzipped_files_in_a_zip(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", method) as archive:
        for name, data in files_of().items():
            archive.writestr(f"gzip/{name}.gz", gzip.compress(data))
    listing = idx.scan(tmp_path / "set.zip")
    sample = idx.read(listing.references[4], listing.labels)
    np.testing.assert_array_equal(pixels(sample), [[12, 13], [14, 15], [16, 17]])


def test_in_a_tar_other_files_follow(tmp_path):
    (tmp_path / "set.tar").write_bytes(build.tar_bytes(files_of()))
    listing = idx.scan(tmp_path / "set.tar")
    sample = idx.read(listing.references[4], listing.labels)
    np.testing.assert_array_equal(pixels(sample), [[12, 13], [14, 15], [16, 17]])
    longer = {**files_of(), "t10k-images-idx3-ubyte": pictures(2)[1] + b"1"}
    (tmp_path / "long.tar").write_bytes(build.tar_bytes(longer))
    with pytest.raises(SourceError, match="longer than"):
        idx.scan(tmp_path / "long.tar")


def test_emnist_is_turned_and_named_by_its_mapping(tmp_path):
    """EMNIST letters count from 1; 97 is a, 98 is b in ASCII."""
    _, data = pictures(2)
    content = {
        "emnist-letters-train-images-idx3-ubyte": data,
        "emnist-letters-train-labels-idx1-ubyte": classes(2, 1),
        "emnist-letters-test-images-idx3-ubyte": data,
        "emnist-letters-test-labels-idx1-ubyte": classes(1, 2),
    }
    written(tmp_path, content, packed=True)
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\r\n2 66 98\r\n")
    listing = idx.scan(tmp_path)
    assert listing.labels == ("A", "B")
    sample = idx.read(listing.references[2], listing.labels)
    assert (sample.split, sample.labels.tolist()) == ("train", [1])
    np.testing.assert_array_equal(pixels(sample), [[0, 2, 4], [1, 3, 5]])


def test_fashion_is_known_by_its_folder(tmp_path):
    listing = idx.scan(written(tmp_path / "FashionMNIST" / "raw", files_of()))
    assert (listing.labels[0], listing.labels[9], len(listing.labels)) == (
        "T-shirt/top",
        "Ankle boot",
        10,
    )


def test_labels_rename_or_choose(tmp_path):
    written(tmp_path, files_of())
    renamed = idx.scan(tmp_path, Options(labels=("zero", "one", "two")))
    assert renamed.labels == ("zero", "one", "two")
    assert [r.annotation[0] for r in renamed.references] == ["one", "zero", "zero", "two", "one"]
    chosen = idx.scan(tmp_path, Options(labels=("2", "0")))
    assert chosen.labels == ("2", "0")
    assert [r.annotation[0] for r in chosen.references] == ["0", "0", "2"]
    assert {row[1] for row in chosen.rejected} == {"unknown_class"}
    with pytest.raises(SourceError, match="2 names"):
        idx.scan(tmp_path, Options(labels=("zero", "one")))


def damaged():
    whole = files_of()
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    yield images, whole[images][:-1], "no whole IDX file"
    yield images, whole[images][:10], "no whole IDX file"
    yield images, b"", "no whole IDX file"
    yield images, whole[images] + b"1", "longer than"
    yield images, b"\0\0\x0d\x03" + whole[images][4:], "0x00000d03, expected 0x00000803"
    yield images, whole[images][:4] + b"\xff" * 12 + whole[images][16:], "no whole IDX file"
    yield labels, classes(0, 1), "do not belong together"
    yield images, pictures(3, 0, 2)[1], "0, 2"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "data", "message"), damaged())
def test_damaged_files_are_explained(tmp_path, name, data, message, packed):
    written(tmp_path, {**files_of(), name: data}, packed)
    with pytest.raises(SourceError, match=message):
        idx.scan(tmp_path)


def test_damaged_gzip_is_explained(tmp_path):
    written(tmp_path, files_of(), packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="damaged gzip"):
        idx.scan(tmp_path)


def test_picture_that_went_away_or_is_too_large(tmp_path):
    written(tmp_path, files_of())
    reference = idx.scan(tmp_path).references[0]
    with pytest.raises(BadSample, match="too_large"):
        idx.read(reference, ("0", "1", "2"), max_pixels=5)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(BadSample, match="missing_image"):
        idx.read(reference, ("0", "1", "2"))


def test_other_folders_and_several_sets(tmp_path):
    with pytest.raises(SourceError, match="train-images-idx3-ubyte"):
        idx.scan(tmp_path)
    assert not idx.detect(idx.files.tree(written(tmp_path, {"train-images-idx3-ubyte": b""})))
    for kind in ("digits", "letters"):
        written(tmp_path, {f"emnist-{kind}-{name}": data for name, data in files_of().items()})
    with pytest.raises(SourceError, match="several data sets"):
        idx.scan(tmp_path)
