"""What YOLO networks share from the second on: anchors in cells, which of them learns an object.

Papers: Redmon 2016 https://arxiv.org/abs/1612.08242 (section 2, "Direct location prediction"),
Redmon 2018 https://arxiv.org/abs/1804.02767 (section 2.1)

A head has one row per anchor of a cell, in the order of models/anchors.py: t_x, t_y, t_w, t_h,
objectness, K classes, the channels of Darknet's convolution. In pixels, of a cell with the corner
(c_x, c_y) and the side s and an anchor p_w x p_h:

    b_x = c_x + s sigmoid(t_x)    b_y = c_y + s sigmoid(t_y)    b_w = p_w e^t_w    b_h = p_h e^t_h

From the fourth version on, a level has a reach r >= 1: r sigmoid(t) - (r - 1) / 2 stands in place
of sigmoid(t), so that a centre may lie on the cell's edge (Bochkovskiy 2020
https://arxiv.org/abs/2004.10934, section 3.4, "eliminate grid sensitivity").

Each object is learnt by one row: in the cell of its centre the anchor whose shape overlaps its own
most, of all levels; by other anchors of that cell, too, where a network says from which overlap on.
Where two objects fall to one row, the last one is learnt, as in Darknet (which then takes the
classes of both).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import ops

from convoy.models import anchors
from convoy.models.classification import darknet
from convoy.models.detection.task import detector
from convoy.models.iou import iou
from convoy.models.spec import ModelInfo, Priors, Task

STRIDE = 32  # of the last map: sides are multiples of it, or maps of two strides do not meet
MAX_STRETCH = 8.0  # of t_w and t_h: e^8 = 2981 times the anchor; nothing overflows


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """The rows of all levels: N of them."""

    levels: tuple[anchors.Level, ...]
    size: tuple[int, int]  # (height, width) of the input, pixels
    priors: np.ndarray  # [N, 4] float32: the anchors in the middle of their cells, pixels
    corner: np.ndarray  # [N, 2] float32: x, y of the cell, pixels
    side: np.ndarray  # [N, 1] float32: of the cell, pixels
    anchor: np.ndarray  # [N, 2] float32: width, height, pixels
    reach: np.ndarray  # [N, 1] float32: of a centre, in sides of the cell; 1 = the cell itself


def grid_of(
    levels: Sequence[anchors.Level], size: tuple[int, int], reaches: Sequence[float] = ()
) -> Grid:
    """Levels of square cells; reaches: a number for each of them, 1 where there are none."""
    priors = anchors.priors(levels)
    low, high = priors[:, 1::-1], priors[:, :1:-1]
    counts = [level.count for level in levels]
    side, reach = (
        np.repeat(each, counts).astype(np.float32)[:, None]
        for each in ([level.step[0] for level in levels], reaches or [1.0] * len(levels))
    )
    return Grid(tuple(levels), size, priors, (low + high - side) / 2, side, high - low, reach)


def level(x, stride: int, shapes_px: Sequence[tuple[float, float]]) -> anchors.Level:
    """The anchors (width, height) in pixels of a map [B, H, W, C], in Darknet's order."""
    shapes = tuple((height, width) for width, height in shapes_px)
    return anchors.Level(grid=tuple(x.shape[1:3]), step=(stride, stride), shapes=shapes)


def check_size(name: str, size: tuple[int, int]) -> None:
    """Raises ValueError where a side of `size` = (height, width) is no multiple of 32."""
    if any(side % STRIDE for side in size):
        raise ValueError(
            f"{name}: expected an input with sides that are multiples of {STRIDE} px, got "
            f"{size[0]}x{size[1]}: its maps of several strides have to meet"
        )


def shapes_by_stride(
    name: str, asked: Sequence[tuple[float, float]], own: Mapping[int, Sequence]
) -> dict[int, tuple]:
    """A level's anchors (width, height) in pixels by its stride: the network's own or those asked.

    Those asked go by their areas, the smallest to the finest stride, as many to each. Raises
    ValueError.
    """
    if not asked:
        return {stride: tuple(shapes) for stride, shapes in own.items()}
    wrong = [pair for pair in asked if len(pair) != 2 or not 0 < min(pair) <= max(pair) < math.inf]
    if wrong or len(asked) % len(own):
        raise ValueError(
            f"{name}: anchors: expected pairs of width and height in pixels, a multiple of "
            f"{len(own)} of them for its {len(own)} map(s), got {wrong[0] if wrong else len(asked)}"
        )
    ordered = sorted((tuple(pair) for pair in asked), key=math.prod)
    each, strides = len(asked) // len(own), sorted(own)
    found = {s: tuple(ordered[i * each : (i + 1) * each]) for i, s in enumerate(strides)}
    return {stride: found[stride] for stride in own}


def rows(x, level: anchors.Level, num_classes: int, *, name: str, start=darknet.normal):
    """[B, H, W, C] -> [B, H * W * anchors, 5 + K] float32, by a 1x1 convolution with biases.

    start: makes the initialiser of its kernel.
    """
    columns = 5 + num_classes
    x = keras.layers.Conv2D(
        len(level.shapes) * columns,
        1,
        kernel_initializer=start(),
        dtype="float32",
        name=f"{name}_logits",
    )(x)
    return keras.layers.Reshape((level.count, columns), dtype="float32", name=f"{name}_rows")(x)


def on_grid(
    image,
    outputs: list,
    levels: list[anchors.Level],
    info: ModelInfo,
    loss: Callable,
    scores: Callable,
    *,
    reaches: Sequence[float] = (),
    also: float = 1.0,
) -> Task:
    """A detector whose head's rows are `outputs`, a tensor per level.

    loss: (targets, outputs, grid=) -> parts; scores: rows [B, N, 5 + K] -> [B, N, K] in [0, 1];
    reaches: `grid_of`'s; also: `encode`'s.
    """
    grid = grid_of(levels, info.preprocess.size, reaches)
    joined = outputs[0]
    if len(outputs) > 1:
        joined = keras.layers.Concatenate(axis=1, dtype="float32", name="rows")(outputs)
    return detector(
        keras.Model(image, joined, name=info.name),
        info,
        encode=functools.partial(encode, grid=grid, num_classes=info.num_classes, also=also),
        loss=functools.partial(loss, grid=grid),
        decode=functools.partial(decode, grid=grid, scores=scores),
        priors=Priors(grid.priors, 0.0),  # every object is learnt
    )


def boxes_of(raw, grid: Grid):
    """t_x, t_y, t_w, t_h [..., N, 4] -> boxes [..., N, 4] in pixels of the input."""
    part = grid.reach * ops.sigmoid(raw[..., :2]) - (grid.reach - 1.0) / 2
    return placed(part, raw[..., 2:4], grid)


def placed(part, stretch, grid: Grid):
    """Centres as parts of their cells (x, y) and log(sides / anchor) (w, h), both [..., N, 2]."""
    center = grid.corner + grid.side * part
    half = grid.anchor * ops.exp(ops.minimum(stretch, MAX_STRETCH)) / 2
    low, high = ops.flip(center - half, axis=-1), ops.flip(center + half, axis=-1)
    return ops.concatenate([low, high], axis=-1)


def best_overlap(boxes, truth):
    """The largest overlap of each box [B, N, 4] with any of truth [B, M, 4]: [B, N], no gradient.

    One object after the other: all pairs at once would take M times the memory.
    """
    boxes, truth = ops.stop_gradient(boxes), ops.convert_to_tensor(truth)
    best = ops.zeros_like(boxes[..., 0])

    def step(m, best):
        return ops.maximum(best, iou(boxes, truth[:, m][:, None]))

    return ops.fori_loop(0, ops.shape(truth)[1], step, best)


# What runs in tf.data and in the exported graph is TensorFlow: networks and losses do without it.
def encode(annotation, *, grid: Grid, num_classes: int, also: float = 1.0):
    """What the rows of one picture learn; M may be 0.

    An object's rows are, in its cell, the anchor whose shape overlaps its own most (all of them,
    where levels share one) and those that overlap by more than `also`.

    cls [N] int32: class + 1 of the row's object, 0 without one; box [N, 4] float32: its x and y as
    parts of the cell, log(width / p_w), log(height / p_h); truth [M + 1, 4] float32: all objects
    in pixels, zeros where they are not `assign.usable`.
    """
    import tensorflow as tf

    from convoy.models import assign
    from convoy.models import boxes as box_ops

    boxes = tf.cast(annotation["boxes"], tf.float32)
    classes = tf.cast(annotation["classes"], tf.int32)
    keep = assign.usable(boxes, classes, annotation["valid"], num_classes)
    truth = tf.pad(tf.where(keep[:, None], boxes, 0.0), [[0, 1], [0, 0]])
    boxes, classes = tf.boolean_mask(boxes, keep), tf.boolean_mask(classes, keep)

    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = boxes[:, 2:] - boxes[:, :2]
    shapes = np.float32([shape for level in grid.levels for shape in level.shapes])
    origin = tf.zeros_like(sides)
    overlap = box_ops.pairwise_iou(
        tf.concat([origin, sides], axis=1), np.pad(shapes, [[0, 0], [2, 0]])
    )
    most = tf.reduce_max(overlap, axis=1, keepdims=True)
    learns = tf.where((overlap == most) | (overlap > also))  # [pairs, 2]: an object, an anchor
    row, numbers = tf.gather_nd(_places(center, grid), learns), tf.cast(learns[:, 0], tf.int32)
    learnt = tf.math.unsorted_segment_max(numbers, row, len(grid.anchor))  # the last of each row
    chosen = tf.where(learnt >= 0)  # [rows that learn, 1]
    index = tf.gather_nd(learnt, chosen)
    center, sides = (tf.reverse(tf.gather(pair, index), [1]) for pair in (center, sides))  # x, y
    corner, side, anchor = (
        tf.gather_nd(values, chosen) for values in (grid.corner, grid.side, grid.anchor)
    )
    part = tf.clip_by_value((center - corner) / side, 0.0, 1.0)
    codes = tf.concat([part, tf.math.log(sides / anchor)], axis=1)
    count = len(grid.anchor)
    return {
        "cls": tf.scatter_nd(chosen, tf.gather(classes, index) + 1, [count]),
        "box": tf.scatter_nd(chosen, codes, [count, 4]),
        "truth": truth,
    }


def _places(center, grid: Grid):
    """[M, A] int32: the row of each anchor of all levels in the cell of centre [M, 2] = (y, x)."""
    import tensorflow as tf

    places, before = [], 0
    for level in grid.levels:
        cell = tf.cast(tf.floor(center / level.step), tf.int32)
        cell = tf.clip_by_value(cell, 0, [level.grid[0] - 1, level.grid[1] - 1])
        first = before + (cell[:, 0] * level.grid[1] + cell[:, 1]) * len(level.shapes)
        places.append(first[:, None] + tf.range(len(level.shapes))[None])
        before += level.count
    return tf.concat(places, axis=1)


def decode(
    outputs,
    score_threshold=0.01,
    iou_threshold=0.45,
    max_detections=200,
    suppression="hard",
    *,
    grid: Grid,
    scores,
):
    """Rows [B, N, 5 + K] -> a detector's `decode`: suppression class by class."""
    from convoy.models.decode import suppress

    boxes = boxes_of(ops.cast(outputs[..., :4], "float32"), grid)
    probabilities = scores(ops.cast(outputs, "float32"))
    return suppress(
        boxes, probabilities, score_threshold, iou_threshold, max_detections, suppression
    )
