import pytest

from convoy.data.sources import SourceError, detect, style
from tests.data import build


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(8, 9))


@pytest.mark.parametrize(
    ("content", "art"),
    [
        ("content/a.jpg", "style/b.jpg"),
        ("train/content_images/deep/a.JPG", "train/style_images/b.png"),
        ("Contents/train/a.jpg", "Styles/train/b.jpg"),
    ],
)
def test_layouts(tmp_path, content, art):
    photo(tmp_path / content)
    photo(tmp_path / art)
    assert detect(tmp_path) == "style"
    listing = style.scan(tmp_path)
    assert listing.labels == ("content", "style")
    samples = [style.read(r, listing.labels) for r in listing.references]
    found = {s.source_id: s.labels.tolist() for s in samples}
    assert found == {content: [0], art: [1]}
    if "train" in content:
        assert {s.split for s in samples} == {"train"}


def test_other_pictures_are_rejected(tmp_path):
    for name in ("content/a.jpg", "style/b.jpg", "c.jpg"):
        photo(tmp_path / name)
    assert [row[:2] for row in style.scan(tmp_path).rejected] == [("c.jpg", "unknown_class")]


def test_one_kind_alone_is_explained(tmp_path):
    photo(tmp_path / "content" / "a.jpg")
    with pytest.raises(SourceError, match="found none of style"):
        style.scan(tmp_path)
