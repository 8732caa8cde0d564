import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, pairs
from convoy.data.sources import detect as detect_format
from tests.data import build


def photo(path, height=20, width=30, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(height, width, seed=len(str(path)), **options))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("image", "target", "split"),
    [
        ("blur/a.jpg", "sharp/a.jpg", None),
        ("train/GOPR0372/blur/a.jpg", "train/GOPR0372/sharp/a.jpg", "train"),
        ("test/input/a.JPG", "test/target/a.JPG", "test"),
        ("low/valid/a.jpg", "high/valid/a.jpg", "val"),
        ("noisy/a_noisy.jpg", "clean/a.jpg", None),
        ("rain/rain-1.jpg", "norain/norain-1.jpg", None),
        ("LR/0001x4.jpg", "HR/0001.jpg", None),
        ("hazy/été 1.jpg", "gt/été 1.jpg", None),
    ],
)
def test_layouts(tmp_path, image, target, split):
    degraded, clean = photo(tmp_path / image), photo(tmp_path / target)
    assert detect_format(tmp_path) == "pairs"
    listing = pairs.scan(tmp_path)
    (reference,) = listing.references
    sample = pairs.read(reference, listing.labels)
    assert sample.source_id == image
    assert sample.split in ([split] if split else ["train", "val"])
    assert (sample.image, sample.target) == (degraded, clean)
    assert listing.labels == ("picture",)
    assert sample.labels.tolist() == []


def test_splits_of_many_are_stable(tmp_path):
    for index in range(20):
        photo(tmp_path / "blur" / f"{index}.jpg")
        photo(tmp_path / "sharp" / f"{index}.jpg")
    listing = pairs.scan(tmp_path, Options(holdout=0.5))
    splits = [r.split for r in listing.references]
    assert splits == sorted(splits)
    assert 4 <= splits.count("val") <= 16
    assert pairs.scan(tmp_path, Options(holdout=0.5)) == listing


def test_halves_alone_are_rejected(tmp_path):
    photo(tmp_path / "blur" / "a.jpg")
    photo(tmp_path / "blur" / "b.jpg")
    photo(tmp_path / "sharp" / "a.jpg")
    photo(tmp_path / "sharp" / "c.jpg")
    listing = pairs.scan(tmp_path)
    assert [r.source_id for r in listing.references] == ["blur/a.jpg"]
    assert [row[:2] for row in listing.rejected] == [
        ("blur/b.jpg", "missing_target"),
        ("sharp/c.jpg", "missing_image"),
    ]


def test_sizes_must_be_equal_once_upright(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path / "blur" / "a.jpg", 20, 30, exif=exif)  # upright 30 x 20
    photo(tmp_path / "sharp" / "a.jpg", 30, 20)
    photo(tmp_path / "blur" / "b.jpg", 20, 30)
    photo(tmp_path / "sharp" / "b.jpg", 40, 60)
    photo(tmp_path / "blur" / "c.jpg")
    (tmp_path / "sharp" / "c.jpg").write_bytes(b"x")
    references = {r.source_id: r for r in pairs.scan(tmp_path).references}
    sample = pairs.read(references["blur/a.jpg"], ())
    assert (sample.height, sample.width) == (30, 20)
    with pytest.raises(BadSample, match=r"has 30x20 pixels, .* 60x40") as caught:
        pairs.read(references["blur/b.jpg"], ())
    assert caught.value.reason == "bad_pair"
    with pytest.raises(BadSample, match="bad_pair: corrupt_image"):
        pairs.read(references["blur/c.jpg"], ())


def test_other_data_is_not_claimed(tmp_path):
    build.classes(tmp_path, {"cat": 2, "dog": 2})
    assert detect_format(tmp_path) == "folder"
    with pytest.raises(SourceError, match="found cat, dog"):
        pairs.scan(tmp_path)
