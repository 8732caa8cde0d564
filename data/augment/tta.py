"""Test-time augmentation: a picture seen in several ways, and its predictions brought back.

A `View` is a window of the network's input, mirrored or not, turned by quarters, drawn at a size.
Its matrix is as in `geometry`: 3x3, from (x, y, 1) in pixels of the picture to pixels of the view.
Windows, mirrors and turns move whole pixels, so their inverses are exact; only a change of size
resamples. Class scores need no way back: `mean_scores` averages them. Boxes of several views are
brought back and joined along the boxes' axis before suppression. pipeline/evaluation/views.py asks
models about views and makes one answer of theirs.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

GRAY = 128  # of what lies beyond a picture


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at pictures of `picture` pixels: cut, mirror, turn, resize, in this order."""

    picture: tuple[int, int]  # height, width of what the network would have seen
    size: tuple[int, int]  # height, width of the view, after turning
    # ymin, xmin, ymax, xmax in whole pixels of the picture; what lies beyond it is gray
    window: tuple[int, int, int, int]
    mirror: bool = False  # left to right
    quarters: int = 0  # turns by 90 degrees counter-clockwise, 0..3

    @property
    def matrix(self) -> np.ndarray:
        """[3, 3] float64, picture to view."""
        ymin, xmin, ymax, xmax = self.window
        height, width = ymax - ymin, xmax - xmin
        matrix = np.array([[1, 0, -xmin], [0, 1, -ymin], [0, 0, 1]], np.float64)
        if self.mirror:
            matrix = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
        for _ in range(self.quarters):  # what was right comes to the top
            matrix = np.array([[0, 1, 0], [-1, 0, width], [0, 0, 1]]) @ matrix
            height, width = width, height
        return np.diag([self.size[1] / width, self.size[0] / height, 1]) @ matrix


def identity(picture: tuple[int, int]) -> View:
    return View(picture, picture, (0, 0, *picture))


def flips(picture: tuple[int, int]) -> list[View]:
    """As it is, and mirrored left to right."""
    return [identity(picture), dataclasses.replace(identity(picture), mirror=True)]


def scales(picture: tuple[int, int], factors, multiple: int = 1) -> list[View]:
    """The whole picture at each factor, the sides rounded to a multiple (the network's stride)."""
    sizes = [
        tuple(max(multiple, round(side * factor / multiple) * multiple) for side in picture)
        for factor in factors
    ]
    return [dataclasses.replace(identity(picture), size=size) for size in sizes]


def turns(picture: tuple[int, int], count: int = 8) -> list[View]:
    """The dihedral group: 4 quarter turns, or 8 with their mirror images.

    Every other view of a picture that is not square has its sides swapped.
    """
    if count not in (4, 8):
        raise ValueError(f"turns: expected 4 or 8 of them, got {count}")
    return [
        View(
            picture,
            picture[::-1] if quarters % 2 else picture,
            (0, 0, *picture),
            mirror=mirror,
            quarters=quarters,
        )
        for mirror in (False, True)[: count // 4]
        for quarters in range(4)
    ]


def ten_crop(picture: tuple[int, int], crop: tuple[int, int]) -> list[View]:
    """The four corners and the centre, then the same mirrored; for classification.

    Krizhevsky 2012, section 4.1: scores of the ten are averaged.
    """
    free_y, free_x = picture[0] - crop[0], picture[1] - crop[1]
    if min(free_y, free_x) < 0:
        raise ValueError(f"ten_crop: a crop of {crop} does not fit into a picture of {picture}")
    corners = [(y, x) for y in (0, free_y) for x in (0, free_x)] + [(free_y // 2, free_x // 2)]
    return [
        View(picture, crop, (y, x, y + crop[0], x + crop[1]), mirror=mirror)
        for mirror in (False, True)
        for y, x in corners
    ]


def tiles(picture: tuple[int, int], size: tuple[int, int], overlap: int) -> list[View]:
    """Windows of `size` (height, width) in pixels over the whole picture, row by row.

    Neighbours share `overlap` pixels, the last two of a row or column more where the sides do not
    divide. Where a side is smaller than that of `size`, so are the windows. 0 <= overlap < size.
    """
    if not 0 <= overlap < min(size):
        raise ValueError(f"tiles: expected 0 <= overlap < size, got size {size}, overlap {overlap}")
    rows, columns = (_starts(*sides, overlap) for sides in zip(picture, size, strict=True))
    height, width = (min(sides) for sides in zip(picture, size, strict=True))
    return [_window(picture, (y, x, y + height, x + width)) for y in rows for x in columns]


def _starts(side: int, size: int, overlap: int) -> list[int]:
    """Where windows of `size` begin, the last of which ends with the side."""
    free = max(side - size, 0)
    count = math.ceil(free / (size - overlap)) + 1
    return [min(n * (size - overlap), free) for n in range(count)]


def zooms(picture: tuple[int, int], factor: float) -> list[View]:
    """Objects `factor` times as large in a network's input of one size.

    factor > 1: windows of 1/factor of the sides, floor(factor) + 1 of them along each, from border
    to border. factor < 1: the picture in the middle of a gray one, 1/factor times as large.
    """
    sides = [max(1, round(side / factor)) for side in picture]
    free = [side - seen for side, seen in zip(picture, sides, strict=True)]
    count = math.floor(factor) + 1 if factor > 1 else 1
    starts = [
        [room * n // (count - 1) for n in range(count)] if count > 1 else [room // 2]
        for room in free
    ]
    return [
        _window(picture, (y, x, y + sides[0], x + sides[1])) for y in starts[0] for x in starts[1]
    ]


def mirrored(view: View) -> View:
    """The view with left and right changed."""
    return dataclasses.replace(view, mirror=not view.mirror)


def _window(picture: tuple[int, int], window: tuple[int, int, int, int]) -> View:
    return View(picture, (window[2] - window[0], window[3] - window[1]), window)


def look(view: View, images: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C] of the picture's size -> [B, h, w, C] of the view's; float32 where resized."""
    ymin, xmin, ymax, xmax = view.window
    cut = images[:, max(ymin, 0) : ymax, max(xmin, 0) : xmax]
    beyond = [[max(-ymin, 0), max(ymax - view.picture[0], 0)]]
    beyond += [[max(-xmin, 0), max(xmax - view.picture[1], 0)]]
    if np.any(beyond):
        cut = tf.pad(cut, [[0, 0], *beyond, [0, 0]], constant_values=GRAY)
    if view.mirror:
        cut = tf.reverse(cut, [2])
    return _resized(_turned(cut, view.quarters), view.size, "bilinear")


def maps_back(view: View, maps: tf.Tensor, method: str = "bilinear", fill: float = 0) -> tf.Tensor:
    """Maps [B, h, w, C] of a view, in its pixels -> [B, H, W, C] of the picture.

    method: "bilinear" for scores and masks, "nearest" for class numbers; fill stands outside the
    window.
    """
    ymin, xmin, ymax, xmax = view.window
    size = (ymax - ymin, xmax - xmin)
    back = _resized(maps, size[::-1] if view.quarters % 2 else size, method)
    back = _turned(back, -view.quarters % 4)
    if view.mirror:
        back = tf.reverse(back, [2])
    height, width = view.picture
    around = [[0, 0], [ymin, height - ymax], [xmin, width - xmax], [0, 0]]
    back = tf.pad(back, np.maximum(around, 0), constant_values=tf.cast(fill, back.dtype))
    top, left = max(-ymin, 0), max(-xmin, 0)
    return back[:, top : top + height, left : left + width]


def boxes_back(view: View, boxes: tf.Tensor) -> tf.Tensor:
    """[..., 4] (ymin, xmin, ymax, xmax) in pixels of a view -> of the picture, not clipped."""
    return _moved_boxes(np.linalg.inv(view.matrix), boxes)


def boxes_there(view: View, boxes: tf.Tensor) -> tf.Tensor:
    """[..., 4] in pixels of the picture -> of a view, not clipped."""
    return _moved_boxes(view.matrix, boxes)


def keypoints_back(view: View, keypoints: tf.Tensor, pairs=()) -> tf.Tensor:
    """[..., K, (y, x, v)] of a view -> of the picture.

    What a mirrored view calls left is right: pairs lists the (left, right) indices to swap. v, a
    visibility or a score, travels with its point.
    """
    return _swapped(view, _moved_points(np.linalg.inv(view.matrix), keypoints), pairs)


def keypoints_there(view: View, keypoints: tf.Tensor, pairs=()) -> tf.Tensor:
    """[..., K, (y, x, v)] of the picture -> of a view."""
    return _swapped(view, _moved_points(view.matrix, keypoints), pairs)


def mean_scores(scores: list[tf.Tensor]) -> tf.Tensor:
    """The mean over views of scores, or of maps brought back, of one shape each."""
    return tf.add_n(scores) / len(scores)


def _turned(images: tf.Tensor, quarters: int) -> tf.Tensor:
    """Counter-clockwise, with a static shape, which tf.image.rot90 loses."""
    if quarters % 2:
        images = tf.transpose(images, [0, 2, 1, 3])
    return tf.reverse(images, [[], [1], [1, 2], [2]][quarters]) if quarters else images


def _resized(images: tf.Tensor, size: tuple[int, int], method: str) -> tf.Tensor:
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    return tf.image.resize(images, size, method)


def _moved_boxes(matrix: np.ndarray, boxes: tf.Tensor) -> tf.Tensor:
    """Mirrors and quarter turns keep boxes axis-parallel, so two corners tell all."""
    corners = tf.stack([boxes[..., :2], boxes[..., 2:]], axis=-2)
    moved = _moved_points(matrix, corners)
    return tf.concat([tf.reduce_min(moved, axis=-2), tf.reduce_max(moved, axis=-2)], axis=-1)


def _moved_points(matrix: np.ndarray, points: tf.Tensor) -> tf.Tensor:
    """[..., (y, x, and what stays)] through a matrix of (x, y, 1)."""
    (xx, xy, x1), (yx, yy, y1) = matrix[:2]
    y, x = points[..., :1], points[..., 1:2]
    return tf.concat([yy * y + yx * x + y1, xx * x + xy * y + x1, points[..., 2:]], axis=-1)


def _swapped(view: View, keypoints: tf.Tensor, pairs) -> tf.Tensor:
    if not view.mirror:
        return keypoints
    order = np.arange(keypoints.shape[-2])
    for left, right in pairs:
        order[[left, right]] = right, left
    return tf.gather(keypoints, order, axis=-2)
