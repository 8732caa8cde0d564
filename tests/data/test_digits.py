import xml.etree.ElementTree as ElementTree

import numpy as np
import PIL.Image
import pytest

from convoy.data.sources import SourceError, digits

NUMBERS = {"images": (12, 4)}


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    return digits.build(tmp_path_factory.mktemp("digits") / "set", **NUMBERS)


def test_boxes_are_tight_around_the_instances(devkit):
    year = devkit / "VOC2007"
    count = 0
    for path in sorted((year / "Annotations").iterdir()):
        instances = np.asarray(PIL.Image.open(year / "SegmentationObject" / f"{path.stem}.png"))
        for index, node in enumerate(ElementTree.parse(path).findall("object"), start=1):
            rows, columns = np.nonzero(instances == index)
            box = [int(node.find("bndbox").findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax")]
            assert box == [
                columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1,
            ]  # fmt: skip
            count += 1
    assert count >= 16 * digits.OBJECTS[0]


def test_reads_through_voc_with_masks(devkit):
    listing = digits.scan(devkit)
    assert listing.labels == tuple("0123456789")
    splits = [r.split for r in listing.references]
    assert (splits.count("train"), splits.count("val"), splits.count("trainval")) == (12, 4, 16)
    warned = []
    for reference in listing.references[:6]:
        sample = digits.read(reference, listing.labels, warn=lambda *why: warned.append(why))
        assert (sample.height, sample.width) == (digits.HEIGHT, digits.WIDTH)
        assert len(sample.masks) == len(sample.boxes) == len(sample.classes)
        assert sample.segmentation[:4] == b"\x89PNG"
    assert warned == []


def test_same_arguments_same_bytes(devkit, tmp_path):
    again = digits.build(tmp_path / "other", **NUMBERS)
    files = sorted(p.relative_to(devkit) for p in devkit.rglob("*") if p.is_file())
    assert len(files) == 16 * 4 + 6 + 2
    assert all((devkit / f).read_bytes() == (again / f).read_bytes() for f in files)


def test_a_finished_devkit_is_not_built_again(devkit):
    calls = []
    digits.build(devkit, progress=lambda done, total: calls.append(done))
    assert calls == []


def test_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SourceError, match="holds other files"):
        digits.build(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
