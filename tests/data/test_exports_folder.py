"""Class folders out of records, and back."""

import numpy as np
import pytest

from convoy.data.exports import ExportError
from convoy.data.sources import folder
from convoy.pipeline.tools import convert
from tests.data import exported

NONE = {
    "boxes": np.zeros((0, 4), np.float32),
    "classes": np.zeros(0, np.int64),
    "difficult": np.zeros(0, bool),
    "truncated": np.zeros(0, bool),
    "crowd": np.zeros(0, bool),
}


def of_class(source_id, split, seed, *labels):
    return exported.plain(source_id, split, seed, **{**NONE, "labels": np.array(labels, np.int64)})


def test_folders_are_read_back(tmp_path):
    samples = [
        of_class("a/x.jpg", "train", 1, 0),
        of_class("a_x.jpg", "train", 2, 0),  # of the same flat name
        of_class("é 1.png", "train", 3, 1),
        of_class("b.jpg", "test", 4, 0),
        of_class("c.jpg", "test", 5, 1),
        of_class("both.jpg", "test", 6, 0, 1),
        of_class("none.jpg", "test", 7),
    ]
    records = exported.write(tmp_path / "records", samples, ("cat", "dog 2"))
    result = convert.run(records, "folder", tmp_path / "out")
    assert result["dropped"] == {"pictures_without_one_class": 2}
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in tmp_path.glob("out/*/*/*"))
    assert names == ["test/cat/b.jpg", "test/dog 2/c.jpg", "train/cat/a_x.jpg",
                     "train/cat/a_x~2.jpg", "train/dog 2/é_1.jpg"]  # fmt: skip
    listing, found = exported.read_back(folder, tmp_path / "out")
    assert listing.labels == ("cat", "dog 2")
    assert sorted((s.split, s.image) for s in found) == sorted(
        (s.split, s.image) for s in samples[:5]
    )


def test_names_that_are_no_folders(tmp_path):
    records = exported.write(tmp_path / "records", [of_class("a.jpg", "train", 1, 2)])
    with pytest.raises(ExportError, match="'tv/monitor' cannot be the name of a folder"):
        convert.run(records, "folder", tmp_path / "out")
    assert not (tmp_path / "out").exists()
