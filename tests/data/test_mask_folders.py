import io

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, masks
from convoy.data.sources import detect as detect_format
from tests.data import build


def photo(path, height=8, width=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(height, width, kind="PNG"))


def mask(path, *boxes, values=(255,), size=(8, 10)):
    """`boxes`: rows and columns, first and one after the last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    for (top, left, bottom, right), value in zip(boxes, values, strict=True):
        pixels[top:bottom, left:right] = value
    PIL.Image.fromarray(pixels).save(path)


def samples(root, options=Options()):
    listing = masks.scan(root, options)
    warned = []
    read = [
        masks.read(r, listing.labels, warn=lambda reason, _: warned.append(reason))
        for r in listing.references
    ]
    return listing, read, warned


def test_a_folder_a_picture(tmp_path):
    for name in ("0a-1", "0b"):
        photo(tmp_path / "stage1_train" / name / "images" / f"{name}.png")
        mask(tmp_path / "stage1_train" / name / "masks" / "m1.png", (1, 2, 3, 5))
        mask(tmp_path / "stage1_train" / name / "masks" / "m2.png", (0, 0, 8, 10))
        mask(tmp_path / "stage1_train" / name / "masks" / "m3.png", (0, 0, 0, 0))  # empty
    photo(tmp_path / "stage1_train" / "0c" / "images" / "0c.png")
    assert detect_format(tmp_path) == "masks"
    listing, (sample, _), warned = samples(tmp_path)
    assert listing.labels == ("object",)
    assert listing.notes[0].startswith("1 pictures without any mask")
    np.testing.assert_array_equal(sample.boxes, [[1, 2, 3, 5], [0, 0, 8, 10]])
    assert sample.areas.tolist() == [6, 80]
    assert warned == ["empty_box"] * 2
    decoded = np.asarray(PIL.Image.open(io.BytesIO(sample.masks[0])))
    wanted = np.zeros((8, 10), np.uint8)
    wanted[1:3, 2:5] = 255
    np.testing.assert_array_equal(decoded, wanted)


def test_masks_in_a_folder_of_the_pictures_name(tmp_path):
    photo(tmp_path / "train" / "images" / "été.jpg")
    mask(tmp_path / "train" / "masks" / "été" / "0.png", (1, 2, 3, 5))
    photo(tmp_path / "val" / "images" / "b.jpg")
    mask(tmp_path / "val" / "masks" / "b" / "cat" / "0.png", (4, 4, 6, 6))
    assert detect_format(tmp_path) == "masks"
    listing, (first, second), _ = samples(tmp_path)
    assert (first.split, second.split) == ("train", "val")
    assert listing.labels == ("cat", "object")
    assert (first.classes.tolist(), second.classes.tolist()) == ([1], [0])


def test_masks_in_folders_of_classes(tmp_path):
    photo(tmp_path / "images" / "a.png")
    photo(tmp_path / "images" / "b.png")
    mask(tmp_path / "masks" / "cat" / "a.png", (1, 2, 3, 5))
    mask(tmp_path / "masks" / "dog" / "a_0.png", (4, 4, 6, 6), (0, 0, 1, 1), values=(1, 2))
    mask(tmp_path / "masks" / "dog" / "b.png", (4, 4, 6, 6))
    mask(tmp_path / "masks" / "dog" / "gone.png", (4, 4, 6, 6))
    assert detect_format(tmp_path) == "masks"
    listing, read, _ = samples(tmp_path)
    sample = next(s for s in read if s.source_id == "images/a.png")
    assert listing.labels == ("cat", "dog")
    assert sample.classes.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(sample.boxes, [[1, 2, 3, 5], [4, 4, 6, 6], [0, 0, 1, 1]])
    assert [row[:2] for row in listing.rejected] == [("masks/dog/gone.png", "missing_image")]


def test_numbers_of_objects(tmp_path):
    photo(tmp_path / "PNGImages" / "FudanPed00001.png")
    boxes = (1, 2, 3, 5), (4, 4, 6, 6)
    mask(tmp_path / "PedMasks" / "FudanPed00001_mask.png", *boxes, values=(1, 2))
    assert detect_format(tmp_path) == "masks"
    listing, (sample,), _ = samples(tmp_path, Options(labels=("pedestrian",)))
    assert listing.labels == ("pedestrian",)
    np.testing.assert_array_equal(sample.boxes, boxes)


def test_gray_edges_of_a_mask_count_from_half(tmp_path):
    photo(tmp_path / "a" / "images" / "a.png")
    boxes = (0, 0, 1, 1), (2, 2, 4, 4), (5, 5, 6, 6)
    mask(tmp_path / "a" / "masks" / "0.png", *boxes, values=(100, 255, 128))
    _, (sample,), _ = samples(tmp_path)
    np.testing.assert_array_equal(sample.boxes, [[2, 2, 6, 6]])


def test_mask_of_another_size(tmp_path):
    photo(tmp_path / "a" / "images" / "a.png")
    mask(tmp_path / "a" / "masks" / "0.png", (0, 0, 1, 1), size=(5, 5))
    with pytest.raises(BadSample, match="5x5 pixels; expected 10x8"):
        samples(tmp_path)


def test_more_masks_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "MAX_MASK_BYTES", 100)
    photo(tmp_path / "a" / "images" / "a.png")
    for index in range(2):
        mask(tmp_path / "a" / "masks" / f"{index}.png", (0, 0, 1, 1))
    with pytest.raises(BadSample, match="too_large"):
        samples(tmp_path)


def test_semantic_masks_are_not_claimed(tmp_path):
    for name in "ab":
        photo(tmp_path / "images" / f"{name}.png")
        mask(tmp_path / "masks" / f"{name}.png", (1, 2, 3, 5))
    assert detect_format(tmp_path) == "segmentation"
    with pytest.raises(SourceError, match="2 mask files"):
        masks.scan(tmp_path)
