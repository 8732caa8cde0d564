"""ingest.max_side: pictures and all that is marked in them, made smaller once."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.images import bands, images
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.ingest import smaller
from convoy.data.input.stored import shards
from convoy.data.sample import Sample
from convoy.pipeline import config, errors
from convoy.pipeline.components import example_gen
from convoy.pipeline.validation import checks
from tests.data import build


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


def by_hand(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Means by covered area, pixel by pixel, in float64."""
    old = values.shape[:2]
    result = np.zeros((*size, *values.shape[2:]))
    for y, x in np.ndindex(*size):
        weights = np.ones(old)
        for axis, (place, new) in enumerate(((y, size[0]), (x, size[1]))):
            step = old[axis] / new
            edges = np.arange(old[axis])
            inside = np.clip(
                np.minimum(edges + 1, (place + 1) * step) - np.maximum(edges, place * step), 0, None
            )
            weights *= inside[:, None] if axis == 0 else inside[None]
        weights = weights.reshape(*old, *[1] * (values.ndim - 2))
        result[y, x] = (values * weights).sum((0, 1)) / weights.sum()
    return result


@pytest.mark.parametrize("channels", [None, 1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_new_pixel_is_the_mean_of_what_it_covers(channels, dtype):
    shape = (13, 21) if channels is None else (13, 21, channels)
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    found = smaller.area(values, (5, 8))
    assert found.dtype == dtype
    assert found.shape == (5, 8, *shape[2:])
    np.testing.assert_allclose(found, by_hand(values, (5, 8)), atol=0.51, rtol=1e-5)


def test_a_label_map_takes_the_class_at_the_middle():
    values = np.array(
        [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17]], np.uint8
    )
    # Middles: row 1.5 -> 1; columns 1 (of 0..2), 3 and 5.
    assert smaller.middles(values, (1, 3)).tolist() == [[7, 9, 11]]


def sample(**more) -> Sample:
    """40x80 pixels, two objects of which the second is one pixel."""
    masks = np.zeros((2, 40, 80), np.uint8)
    masks[0, 8:24, 16:48] = 255
    masks[1, 1, 1] = 255
    classes = np.zeros((40, 80), np.uint8)
    classes[:, 40:] = 255
    fields = {
        "image": images.encode(np.tile(np.arange(80, dtype=np.uint8) * 3, (40, 1))),
        "boxes": np.float32([[8, 16, 24, 48], [1, 1, 2, 2]]),
        "classes": np.array([0, 1]),
        "areas": np.float32([512, 1]),
        "masks": tuple(images.encode(mask) for mask in masks),
        "segmentation": images.encode(classes),
        "keypoints": np.float32([[[10, 20, 2]], [[0, 0, 0]]]),
        "part_boxes": np.float32([[8, 16, 12, 20]]),
        "part_names": ("head",),
        "part_owners": np.array([0]),
    }
    return Sample("a", "train", height=40, width=80, **{**fields, **more})


def test_all_that_is_marked_goes_along():
    told = []
    with wanting(Wanted(), lambda *words: told.append(words)):
        small = smaller.of(sample(), 20)
    assert (small.height, small.width) == (10, 20)
    assert told == [("made_smaller", "80x40 px: made 20x10")]
    assert small.boxes.tolist() == [[2, 4, 6, 12], [0.25, 0.25, 0.5, 0.5]]
    assert small.areas.tolist() == [32, 0.0625]
    assert small.keypoints.tolist() == [[[2.5, 5, 2]], [[0, 0, 0]]]
    assert small.part_boxes.tolist() == [[2, 4, 3, 5]]
    first, second = map(pixels, small.masks)
    expected = np.zeros((10, 20), np.uint8)
    expected[2:6, 4:12] = 255
    np.testing.assert_array_equal(first, expected)
    assert np.argwhere(second).tolist() == [[0, 0]]  # an object of one pixel is not lost
    assert set(pixels(small.segmentation)[:, 9].tolist()) == {0}
    assert set(pixels(small.segmentation)[:, 10].tolist()) == {255}
    # Columns 4k to 4k + 3 have the mean 3 (4k + 1.5).
    assert pixels(small.image)[0].tolist() == [round(3 * (4 * k + 1.5)) for k in range(20)]
    assert small.boxes.dtype == small.keypoints.dtype == np.float32


def test_uneven_sides_keep_the_part_that_a_box_has():
    small = smaller.of(sample(), 33)
    assert (small.height, small.width) == (16, 33)  # 40 * 33 / 80 = 16.5, to even
    parts = small.boxes / np.float32([16, 33, 16, 33])
    np.testing.assert_allclose(parts, sample().boxes / np.float32([40, 80, 40, 80]), rtol=1e-6)


def test_what_stays_as_it_is():
    whole = sample()
    assert smaller.of(whole, 80) is whole
    assert smaller.of(whole, 1000) is whole
    told = []
    with wanting(Wanted(), lambda *words: told.append(words[0])):
        pair = sample(target=whole.image)
        assert smaller.of(pair, 20) is pair
    assert told == ["kept_large"]
    empty = Sample("a", "train", b"", 0, 0, text="words")
    assert smaller.of(empty, 20) is empty


def test_a_jpeg_stays_one_and_near_to_its_picture():
    jpeg = build.picture(300, 400, seed=1, quality=95)
    small = smaller.of(Sample("a", "train", jpeg, 300, 400), 100)
    with PIL.Image.open(io.BytesIO(small.image)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (100, 75))
        found = np.asarray(picture, float)
    truth = by_hand(np.asarray(PIL.Image.open(io.BytesIO(jpeg)), float)[:80, :80], (20, 20))
    error = found[:20, :20] - truth
    assert 10 * np.log10(255**2 / (error**2).mean()) > 40  # dB, of JPEG's quality 95


def test_pictures_of_many_channels():
    values = np.random.default_rng(0).integers(0, 60000, (30, 40, 6)).astype(np.uint16)
    with wanting(Wanted(6, 16)):
        small = smaller.of(Sample("a", "train", bands.encode(values), 30, 40), 20)
    found = bands.values(small.image, 6, 16)
    np.testing.assert_allclose(found, by_hand(values, (15, 20)), atol=0.51)


def test_an_ingest_counts_them_and_leaves_the_others_as_they_came(tmp_path):
    devkit = tmp_path / "pictures"
    for name, size in (("large", (120, 160)), ("small", (40, 60)), ("tall", (160, 40))):
        (devkit / "cat").mkdir(parents=True, exist_ok=True)
        (devkit / "cat" / f"{name}.jpg").write_bytes(build.picture(*size, seed=len(name)))
    recipe = {
        "name": "a",
        "task": "classification",
        "run_dir": str(tmp_path / "run"),
        "data": {"format": "folder", "path": str(devkit), "train": "train", "val": None},
        "model": {"name": "resnet18", "input_size": [32, 32]},
        "ingest": {"max_side": 64},
    }
    recipe["data"] |= {"test": "train", "holdout": 0.5}
    params = example_gen.params_of(config.parse(recipe)).model_copy(update={"splits": ()})
    example_gen.run({"source": devkit}, params, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["warnings"] == {"made_smaller": 2}
    found = {}
    for split in manifest["splits"]:
        for shard in shards(tmp_path / "out", split):
            for record in tfrecord.read(shard):
                one = decode(record)
                found[one.source_id.rpartition("/")[2]] = one
    sizes = {name: (one.height, one.width) for name, one in found.items()}
    assert sizes == {"large.jpg": (48, 64), "small.jpg": (40, 60), "tall.jpg": (64, 16)}
    assert found["small.jpg"].image == (devkit / "cat/small.jpg").read_bytes()


def test_it_is_not_for_pairs():
    recipe = {
        "name": "a",
        "task": "restoration",
        "data": {"format": "pairs", "path": "x"},
        "model": {"name": "srcnn_915"},
        "ingest": {"max_side": 64},
    }
    with pytest.raises(errors.ConfigError, match=r"max_side changes what restoration learns"):
        config.parse(recipe)


def test_a_run_suggests_it():
    """Twice the input in both sides is what a crop needs; more is only decoded."""

    def told(height, width, sides=(224, 224)):
        medians = {"image/height": {"median": height}, "image/width": {"median": width}}
        return [(one.verdict, "ingest.max_side: 448" in one.text)
                for one in checks.of_sizes(medians, sides)]  # fmt: skip

    assert told(3000, 4000) == [("warning", True)]
    assert told(448, 4000) == [("ok", False)]
    assert told(3000, 4000, None) == []
    assert list(checks.of_sizes({}, (224, 224))) == []
