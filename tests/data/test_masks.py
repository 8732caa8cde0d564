import io
import math
import resource
import time

import numpy as np
import PIL.Image
import pytest
from pycocotools import mask as coco_mask

from convoy.data import masks
from convoy.data.images import images, mask_png, png
from convoy.data.objects import Objects
from convoy.data.sample import Reference


def test_a_rectangle_covers_its_pixels():
    found = masks.from_polygons([[2, 1, 5, 1, 5, 4, 2, 4]], 6, 8)
    wanted = np.zeros((6, 8), np.uint8)
    wanted[1:4, 2:5] = 1
    np.testing.assert_array_equal(found, wanted)


def test_parts_are_joined_and_cut_at_the_border():
    left, right = [-3, 0, 2, 0, 2, 6, -3, 6], [6, 0, 12, 0, 12, 6, 6, 6]
    found = masks.from_polygons([left, right], 6, 8)
    np.testing.assert_array_equal(found, [[1, 1, 0, 0, 0, 0, 1, 1]] * 6)
    assert masks.from_polygons([], 6, 8).sum() == 0


@pytest.mark.parametrize(
    "polygon",
    [
        [1, 1, 5, 5],
        [1, 1, 5, 5, 3],
        [],
        5,
        None,
        "123456",
        [1, 1, 5, 5, 3, "x"],
        [1, 1, 5, 5, 3, None],
        [[1, 1], [5, 5], [1, 5], [1, 2], [3, 4], [5, 6]],
        [1, 1, 5, 5, 3, math.nan],
        [1, 1, 5, 5, 3, math.inf],
        [1, 1, 5, 5, 3, 1e12],
        [1, 1, 5, 5, 3, 10**400],
    ],
)
def test_bad_polygons(polygon):
    with pytest.raises(ValueError, match="polygon"):
        masks.from_polygons([polygon], 6, 8)


def test_run_lengths_go_down_the_columns():
    wanted = np.zeros((3, 4), np.uint8)
    wanted[1:, 0] = 1  # 1 off, 2 on, 3 off, 1 on, 5 off
    wanted[0, 2] = 1
    found = masks.from_rle({"size": [3, 4], "counts": [1, 2, 3, 1, 5]}, 3, 4)
    np.testing.assert_array_equal(found, wanted)
    packed = masks.to_rle(wanted)
    assert packed["size"] == [3, 4]
    np.testing.assert_array_equal(masks.from_rle(packed, 3, 4), wanted)


def test_packed_counts_of_random_masks():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        mask = (rng.random((37, 53)) < share).astype(np.uint8)
        np.testing.assert_array_equal(masks.from_rle(masks.to_rle(mask), 37, 53), mask)


@pytest.mark.parametrize(
    "rle",
    [
        {},
        {"size": [3, 4]},
        {"size": 12, "counts": [12]},
        {"size": [4, 3], "counts": [12]},
        {"size": [3, 4], "counts": [11]},
        {"size": [3, 4], "counts": [13]},
        {"size": [3, 4], "counts": [-1, 13]},
        {"size": [3, 4], "counts": [1.5, 10.5]},
        {"size": [3, 4], "counts": 12},
        {"size": [3, 4], "counts": "\x00"},
        {"size": [3, 4], "counts": "é"},
        {"size": [3, 4], "counts": "zzz"},
        {"size": [3, 4], "counts": "o" * 100_000},  # a run that never ends
    ],
)
def test_bad_run_lengths(rle):
    with pytest.raises(ValueError, match="run-length"):
        masks.from_rle(rle, 3, 4)


def test_circle():
    outline = masks.ellipse(20, 30, 10, 10)
    assert masks.bounds([outline]) == pytest.approx((10, 20, 30, 40))
    area = masks.from_polygons([outline], 40, 60).sum()
    assert area == pytest.approx(math.pi * 100, rel=0.03)


def test_turned_ellipse():
    """A quarter turn changes the radii's places; 45 degrees give sqrt((a^2 + b^2) / 2)."""
    turned = masks.bounds([masks.ellipse(0, 0, 3, 5, math.pi / 2)])
    assert turned == pytest.approx((-5, -3, 5, 3))
    side = math.sqrt((25 + 9) / 2)
    slanted = masks.bounds([masks.ellipse(0, 0, 3, 5, math.pi / 4)])
    assert slanted == pytest.approx((-side, -side, side, side), rel=2e-3)


def test_bounds_of_several():
    assert masks.bounds([[1, 2, 3, 4, 5, 0], [7, 9, 8, 9, 7, 8]]) == (0, 1, 9, 8)


def test_inside_its_box_a_polygon_has_the_same_pixels():
    """Against pycocotools in the whole picture; a third of the polygons reach outside."""
    rng = np.random.default_rng(0)
    for number in range(400):
        center = rng.uniform(-10, 60, 2)
        polygon = (center + rng.uniform(-25, 25, (rng.integers(3, 9), 2))).ravel()
        polygon = np.round(polygon, rng.integers(0, 4)) if number % 2 else polygon
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([[*polygon]], 40, 50)))
        found = masks.of_polygons([polygon.tolist()], 40, 50)
        np.testing.assert_array_equal(found.whole(40, 50), expected)


def test_united():
    first, second = np.zeros((2, 9, 12), np.uint8)
    first[1:4, 2:5], second[3:8, 4:11] = 1, 1
    both = masks.united(masks.of(first), masks.of(second))
    np.testing.assert_array_equal(both.whole(9, 12), first | second)
    nothing = masks.of(np.zeros((9, 12)))
    assert nothing.whole(9, 12).sum() == 0
    for pair in ((nothing, masks.of(first)), (masks.of(first), nothing)):
        np.testing.assert_array_equal(masks.united(*pair).whole(9, 12), first)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (129, 257), (700, 901)])
def test_png_of_a_mask(size):
    """Read by libpng, by TensorFlow's rules and by our own check."""
    rng = np.random.default_rng(sum(size))
    for kind in range(5):
        pixels = np.zeros(size, np.uint8)
        top, left = (int(rng.integers(side)) for side in size)
        part = pixels[top : top + 40, left : left + 30]
        part[:] = rng.integers(0, 2, part.shape)
        kinds = pixels, pixels * 0, pixels * 0 + 1, np.eye(*size, dtype=np.uint8), 1 - pixels
        pixels = kinds[kind]
        encoded = mask_png.encode(masks.of(pixels), *size)
        found = PIL.Image.open(io.BytesIO(encoded))
        assert found.mode == "L"
        np.testing.assert_array_equal(np.asarray(found), pixels * 255)
        assert png.structure(encoded).plain
        assert png.pixels_ok(png.structure(encoded))


def test_many_objects_take_the_memory_of_one():
    """200 polygons on 12 Mpixel took 2.5 GiB and 54 s when each had a mask of the whole picture."""
    picture = images.Picture(b"", "png", 3000, 4000)
    objects = Objects(Reference("a", "train", ""), picture, ("c",), lambda *_: None)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for number in range(200):
        polygon = masks.ellipse(30 + 14 * number, 40 + 19 * number, 20, 25)
        mask = masks.of_polygons([polygon], 3000, 4000)
        objects.add("c", masks.bounds([polygon]), mask=mask)
    sample = objects.sample()
    assert len(sample.masks) == 200
    assert time.process_time() - started < 54 / 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB
    pixels = np.asarray(PIL.Image.open(io.BytesIO(sample.masks[7])))
    assert pixels.shape == (3000, 4000)
    assert int((pixels > 0).sum()) == sample.areas[7]
