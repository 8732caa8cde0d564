"""Label maps put together from overlapping tiles, by networks whose answer is known."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from convoy.pipeline.evaluation import overlap_tiles, views

SEGMENTATION = views.Joining("segmentation", ("none", "near", "far"))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (height, width, 3), np.uint8)


def label_map(answer) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(answer["label_map_bytes"])))


def by_pixel(pictures: np.ndarray) -> list[dict]:
    """The class is the red value, wherever a pixel lies."""
    return [{"label_map": each[..., 0]} for each in pictures]


def neighbours(reach: int):
    """A network that sees `reach` pixels to each side, and nothing but 9s beyond its input."""

    def ask(pictures: np.ndarray) -> list[dict]:
        assert pictures.shape[0] == 1
        red = np.pad(pictures[0, ..., 0], reach, constant_values=9).astype(np.int64)
        span = range(2 * reach + 1)
        height, width = pictures.shape[1:3]
        total = sum(red[i : i + height, j : j + width] for i in span for j in span)
        return [{"label_map": np.uint8(total % 3)}]

    return ask


@pytest.mark.parametrize("sides", [(40, 40), (41, 97), (100, 33), (7, 200), (1, 50)])
@pytest.mark.parametrize("tile", [(32, 32, 0), (33, 47, 9), (64, 32, 31)])
def test_every_pixel_is_answered_once(sides, tile):
    seen = picture(*sides)
    (answer,) = views.tiled(by_pixel, views.Tile(*tile), SEGMENTATION)(seen[None])
    np.testing.assert_array_equal(label_map(answer), seen[..., 0])
    shares = [np.mean(seen[..., 0] == index) for index in range(3)]
    np.testing.assert_allclose(answer["class_fractions"], shares, rtol=1e-6)
    assert answer["class_fractions"].dtype == np.float32


@pytest.mark.parametrize("reach", [1, 4])
def test_it_is_the_answer_to_the_mirrored_picture_as_a_whole(reach):
    seen = picture(75, 110, seed=1)
    whole = np.pad(seen, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    expected = neighbours(reach)(whole[None])[0]["label_map"][reach:-reach, reach:-reach]
    tile = views.Tile(40, 36, 2 * reach)
    (answer,) = views.tiled(neighbours(reach), tile, SEGMENTATION)(seen[None])
    np.testing.assert_array_equal(label_map(answer), expected)
    # With less overlap than it sees, seams would show.
    less = views.Tile(40, 36, 2 * reach - 2)
    (answer,) = views.tiled(neighbours(reach), less, SEGMENTATION)(seen[None])
    assert not np.array_equal(label_map(answer), expected)


def test_u_net_s_figure_2():
    """572 pixels seen, 388 answered: 184 of overlap; a 512 x 512 picture takes four tiles."""
    asked = []

    def ask(pictures):
        asked.append(pictures.shape)
        return by_pixel(pictures)

    views.tiled(ask, views.tile(572, 184), SEGMENTATION)(picture(512, 512)[None])
    assert asked == [(1, 572, 572, 3)] * 4


@pytest.mark.parametrize(("first", "count", "side"), [(-3, 12, 6), (0, 6, 6), (5, 4, 7)])
def test_mirrored_as_numpy_reflects(first, count, side):
    wide = np.pad(np.arange(side), 10, mode="reflect")
    places = overlap_tiles.mirrored(first, count, side)
    np.testing.assert_array_equal(places, wide[10 + first : 10 + first + count])


def test_more_tiles_than_anyone_waits_for():
    with pytest.raises(ValueError, match=r"has 10,201 of them, more than 10,000"):
        views.tiled(by_pixel, views.Tile(2, 2, 1), SEGMENTATION)(picture(101, 101)[None])
