"""Test-time views: each way back undoes its way there, and flips and turns by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.augment import tta
from convoy.models.resize import warp

SIZE = (6, 8)  # height, width
EXACT = [
    *tta.flips(SIZE),
    *tta.turns(SIZE, 8),
    *tta.scales(SIZE, [1.0, 2.0, 0.5]),
    *tta.turns((8, 8), 4),
]
KEYPOINTS = tf.constant([[[1.0, 2, 2], [3, 4.5, 1], [0.25, 7, 0.5]]])  # nose, left, right


def picture(size=SIZE, channels: int = 2) -> tf.Tensor:
    values = np.random.default_rng(0).integers(0, 200, (2, *size, channels))
    return tf.constant(values, tf.float32)


@pytest.mark.parametrize("view", EXACT)
def test_boxes_and_points_come_back_exactly(view):
    boxes = tf.constant([[[0, 0, *view.picture], [1, 2.5, 3, 4.25]], [[0, 0, 0, 0], [5, 6, 6, 8]]])
    there = tta.boxes_there(view, boxes)
    np.testing.assert_array_equal(tta.boxes_back(view, there), boxes)
    np.testing.assert_array_equal(there[0, 0], [0, 0, *view.size])
    there = tta.keypoints_there(view, KEYPOINTS, [(1, 2)])
    np.testing.assert_array_equal(tta.keypoints_back(view, there, [(1, 2)]), KEYPOINTS)


@pytest.mark.parametrize("view", [*tta.flips(SIZE), *tta.turns(SIZE, 8), *tta.turns((8, 8), 4)])
def test_maps_come_back_exactly(view):
    image = picture(view.picture)
    seen = tta.look(view, image)
    assert seen.shape == (2, *view.size, 2)
    np.testing.assert_array_equal(tta.maps_back(view, seen), image)
    inside = tf.function(lambda image: tta.maps_back(view, tta.look(view, image)))(image)
    np.testing.assert_array_equal(inside, image)


@pytest.mark.parametrize("view", [*tta.turns(SIZE, 8), *tta.ten_crop(SIZE, (4, 5))])
def test_the_matrix_says_where_pixels_go(view):
    """Drawn through the matrix by another kernel."""
    image = picture(channels=3)
    drawn = warp(image[0], tf.constant(view.matrix, tf.float32), view.size)
    np.testing.assert_allclose(tta.look(view, image)[0], drawn, atol=1e-3)


def test_a_scaled_view_has_the_matrix_of_its_size():
    """A slope survives a resize: the middle of pixel x of 16 shows x / 2 - 0.25 of 8."""
    (view,) = tta.scales(SIZE, [2.0])
    slope = tf.tile(tf.range(8.0)[None, None, :, None], [1, 6, 1, 1])
    seen = tta.look(view, slope)
    np.testing.assert_allclose(seen[0, 5, 1:-1, 0], np.arange(1, 15) / 2 - 0.25)
    np.testing.assert_array_equal(view.matrix, np.diag([2, 2, 1]))
    np.testing.assert_array_equal(
        tta.maps_back(view, tf.repeat(tf.repeat(slope, 2, 1), 2, 2)), slope
    )


def test_a_flip_by_hand():
    """8 columns: x becomes 8 - x, left and right change places."""
    _, view = tta.flips(SIZE)
    np.testing.assert_array_equal(
        tta.boxes_back(view, tf.constant([[1.0, 2, 3, 4.5]])), [[1, 3.5, 3, 6]]
    )
    found = tta.keypoints_back(view, KEYPOINTS, [(1, 2)])
    np.testing.assert_array_equal(found, [[[1, 6, 2], [0.25, 1, 0.5], [3, 3.5, 1]]])
    unpaired = tta.keypoints_back(view, KEYPOINTS)
    np.testing.assert_array_equal(unpaired, [[[1, 6, 2], [3, 3.5, 1], [0.25, 1, 0.5]]])
    image = tf.reshape(tf.range(6.0), [1, 2, 3, 1])
    flip = tta.flips((2, 3))[1]
    np.testing.assert_array_equal(tta.look(flip, image)[0, ..., 0], [[2, 1, 0], [5, 4, 3]])


def test_turns_by_hand():
    """0 1 2 / 3 4 5 turned counter-clockwise: 2 5 / 1 4 / 0 3; the right edge becomes the top."""
    image = tf.reshape(tf.range(6.0), [1, 2, 3, 1])
    views = tta.turns((2, 3), 8)
    looks = [tta.look(view, image)[0, ..., 0].numpy().tolist() for view in views]
    assert looks == [
        [[0, 1, 2], [3, 4, 5]],
        [[2, 5], [1, 4], [0, 3]],
        [[5, 4, 3], [2, 1, 0]],
        [[3, 0], [4, 1], [5, 2]],
        [[2, 1, 0], [5, 4, 3]],
        [[0, 3], [1, 4], [2, 5]],
        [[3, 4, 5], [0, 1, 2]],
        [[5, 2], [4, 1], [3, 0]],
    ]
    # The pixel 2 in row 0, column 2 is the first of the turned picture.
    found = tta.boxes_there(views[1], tf.constant([[0.0, 2, 1, 3]]))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1]])
    assert tta.turns((2, 3), 4) == views[:4]


def test_ten_crops_by_hand():
    """Crops of 4 x 5 out of 6 x 8: corners, the centre at (1, 1), and their mirror images."""
    views = tta.ten_crop(SIZE, (4, 5))
    image = picture()
    starts = [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]
    for view, (y, x) in zip(views[:5], starts, strict=True):
        np.testing.assert_array_equal(tta.look(view, image), image[:, y : y + 4, x : x + 5])
    for view, mirrored in zip(views[:5], views[5:], strict=True):
        np.testing.assert_array_equal(tta.look(mirrored, image), tta.look(view, image)[:, :, ::-1])
    back = tta.maps_back(views[8], tf.ones([1, 4, 5, 1]), fill=7)
    expected = np.full(SIZE, 7)
    expected[2:, 3:] = 1
    np.testing.assert_array_equal(back[0, ..., 0], expected)
    # Mirrored in the window of columns 3 to 8: x of 1 is 8 - 1.
    np.testing.assert_array_equal(
        tta.boxes_back(views[8], tf.constant([0.0, 1, 4, 2])), [2, 6, 6, 7]
    )


def test_scales_are_multiples_of_the_stride():
    sizes = [view.size for view in tta.scales((300, 420), [0.5, 1.0, 1.25, 0.01], multiple=32)]
    assert sizes == [(160, 224), (288, 416), (384, 512), (32, 32)]
    assert [view.size for view in tta.scales(SIZE, [1.5])] == [(9, 12)]


@pytest.mark.parametrize(
    ("picture", "size", "overlap", "rows", "columns"),
    [
        ((10, 10), 10, 2, [0], [0]),
        ((10, 26), 10, 2, [0], [0, 8, 16]),
        ((10, 27), 10, 2, [0], [0, 8, 16, 17]),  # the last one ends with the picture
        ((21, 11), 10, 0, [0, 10, 11], [0, 1]),
        ((11, 11), 10, 9, [0, 1], [0, 1]),
    ],
)
def test_tiles_by_hand(picture, size, overlap, rows, columns):
    windows = [view.window for view in tta.tiles(picture, (size, size), overlap)]
    assert windows == [(y, x, y + 10, x + 10) for y in rows for x in columns]


def test_tiles_of_a_small_picture_and_of_a_narrow_one():
    assert [view.window for view in tta.tiles((5, 7), (10, 10), 2)] == [(0, 0, 5, 7)]
    windows = [view.window for view in tta.tiles((5, 12), (10, 10), 2)]
    assert windows == [(0, 0, 5, 10), (0, 2, 5, 12)]
    windows = [view.window for view in tta.tiles((5, 12), (4, 8), 1)]  # tiles that are no squares
    assert windows == [(y, x, y + 4, x + 8) for y in (0, 1) for x in (0, 4)]


@pytest.mark.parametrize(("size", "overlap"), [(7, 0), (7, 6), (50, 13), (64, 63)])
def test_tiles_cover_the_picture_and_share_what_is_asked(size, overlap):
    seen = np.zeros((90, 131), int)
    views = tta.tiles(seen.shape, (size, size), overlap)
    for view in views:
        ymin, xmin, ymax, xmax = view.window
        seen[ymin:ymax, xmin:xmax] += 1
    assert seen.min() == 1  # a corner
    starts = sorted({view.window[1] for view in views})
    assert max(np.diff(starts)) <= size - overlap
    assert (starts[0], starts[-1]) == (0, 131 - size)


def test_zooms_by_hand():
    windows = [view.window for view in tta.zooms((60, 90), 1.5)]
    assert windows == [(y, x, y + 40, x + 60) for y in (0, 20) for x in (0, 30)]
    assert [view.window[:2] for view in tta.zooms((60, 90), 2)][::4] == [(0, 0), (15, 22), (30, 45)]
    assert [view.window for view in tta.zooms((60, 90), 0.5)] == [(-30, -45, 90, 135)]
    assert [view.window for view in tta.zooms((60, 90), 1.0)] == [(0, 0, 60, 90)]


def test_beyond_the_picture_is_gray_and_comes_back():
    (view,) = tta.zooms(SIZE, 0.5)  # 12 x 16 pixels, the picture from (3, 4) on
    image = tf.cast(picture(), tf.uint8)
    for one in (view, tta.mirrored(view)):
        seen = tta.look(one, image)
        assert seen.shape == (2, 12, 16, 2)
        assert np.all(seen[:, :3] == tta.GRAY)
        assert np.all(seen[:, :, :4] == tta.GRAY)
        np.testing.assert_array_equal(tta.maps_back(one, seen), image)
        boxes = tf.constant([[0.0, 0, 6, 8], [1, 2, 3, 4]])
        there = tta.boxes_there(one, boxes)
        np.testing.assert_array_equal(there[0], [3, 4, 9, 12])
        np.testing.assert_array_equal(tta.boxes_back(one, there), boxes)


def test_class_numbers_come_back_by_the_nearest():
    (view,) = tta.scales(SIZE, [0.5])
    numbers = tf.constant(np.arange(12).reshape(1, 3, 4, 1), tf.int32)
    expected = np.repeat(np.repeat(numbers, 2, axis=1), 2, axis=2)
    found = tta.maps_back(view, numbers, method="nearest")
    assert found.dtype == tf.int32
    np.testing.assert_array_equal(found, expected)


def test_scores_are_averaged_by_hand():
    scores = [tf.constant([[0.2, 0.8]]), tf.constant([[0.6, 0.4]])]
    np.testing.assert_allclose(tta.mean_scores(scores), [[0.4, 0.6]])


def test_what_cannot_be_is_an_error():
    with pytest.raises(ValueError, match=r"0 <= overlap < size, got size \(20, 10\), overlap 10"):
        tta.tiles(SIZE, (20, 10), 10)
    with pytest.raises(ValueError, match="expected 4 or 8 of them, got 5"):
        tta.turns(SIZE, 5)
    with pytest.raises(ValueError, match=r"crop of \(7, 5\) does not fit .* of \(6, 8\)"):
        tta.ten_crop(SIZE, (7, 5))
