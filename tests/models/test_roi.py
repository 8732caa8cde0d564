"""Pooling of regions against loops that follow Caffe's and torchvision's sources, and by hand."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.models import roi


def maps(*shape):
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


def regions(height: int, width: int, count: int = 24):
    """[2, count, 4] boxes of all sizes in a picture, and the odd ones: no area, whole, borders."""
    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0, 1, (2, count, 2, 2)), axis=2) * [height, width]
    boxes = np.concatenate([corners[:, :, 0], corners[:, :, 1]], axis=-1)
    boxes[:, 0] = 0
    boxes[:, 1] = (0, 0, height, width)
    boxes[:, 2] = (height - 1, width - 1, height, width)
    boxes[:, 3] = (8, 24, 9, 25)  # halves of a cell of 16 px
    return boxes.astype(np.float32)


def c_round(x):
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)


def pool_by_loops(x, box, scale, bins):
    """Caffe's ROIPoolingLayer on one map [H, W, C], with whole numbers for its bins."""
    ymin, xmin, ymax, xmax = box
    sides = []
    for low, high, side in ((ymin, ymax, x.shape[0]), (xmin, xmax, x.shape[1])):
        start, last = c_round(low * scale), c_round((high - 1) * scale)
        cells = max(last - start + 1, 1)
        ends = [
            (start + p * cells // bins, start - (-(p + 1) * cells // bins)) for p in range(bins)
        ]
        sides.append([(min(max(a, 0), side), min(max(b, 0), side)) for a, b in ends])
    found = np.zeros((bins, bins, x.shape[2]), np.float32)
    for i, (a, b) in enumerate(sides[0]):
        for j, (c, d) in enumerate(sides[1]):
            if b > a and d > c:
                found[i, j] = x[a:b, c:d].max((0, 1))
    return found


def ps_by_loops(x, box, scale, bins):
    """Caffe's PSROIPoolingLayer on one map [H, W, D * bins^2]."""
    ymin, xmin, ymax, xmax = box
    depth = x.shape[2] // bins**2
    found = np.zeros((bins, bins, depth), np.float32)
    f = np.float32
    for i, j, d in np.ndindex(bins, bins, depth):
        spans = []
        for p, low, high, side in ((i, ymin, ymax, x.shape[0]), (j, xmin, xmax, x.shape[1])):
            start, stop = f(c_round(low)) * f(scale), f(c_round(high - 1) + 1) * f(scale)
            size = f(max(stop - start, f(0.1))) / f(bins)
            a, b = math.floor(f(p) * size + start), math.ceil(f(p + 1) * size + start)
            spans.append(slice(min(max(a, 0), side), min(max(b, 0), side)))
        part = x[spans[0], spans[1], (d * bins + i) * bins + j]
        found[i, j, d] = part.mean() if part.size else 0.0
    return found


def bilinear(x, y_at, x_at):
    """torchvision's bilinear_interpolate of [H, W, C]."""
    height, width = x.shape[:2]
    if y_at < -1 or y_at > height or x_at < -1 or x_at > width:
        return np.zeros(x.shape[2])
    found = 0.0
    y_at, x_at = max(y_at, 0.0), max(x_at, 0.0)
    top, left = min(int(y_at), height - 1), min(int(x_at), width - 1)
    dy = y_at - top if top < height - 1 else 0.0
    dx = x_at - left if left < width - 1 else 0.0
    for row, a in ((top, 1 - dy), (min(top + 1, height - 1), dy)):
        for column, b in ((left, 1 - dx), (min(left + 1, width - 1), dx)):
            found = found + a * b * x[row, column]
    return found


def align_by_loops(x, box, scale, bins, ratio, aligned):
    ymin, xmin, ymax, xmax = np.float64(box) * scale - (0.5 if aligned else 0.0)
    height, width = ymax - ymin, xmax - xmin
    if not aligned:
        height, width = max(height, 1.0), max(width, 1.0)
    found = np.zeros((bins, bins, x.shape[2]))
    for i, j, a, b in np.ndindex(bins, bins, ratio, ratio):
        y_at = ymin + (i + (a + 0.5) / ratio) * height / bins
        x_at = xmin + (j + (b + 0.5) / ratio) * width / bins
        found[i, j] += bilinear(x, y_at, x_at) / ratio**2
    return found


def each(function, features, boxes, *arguments):
    return np.stack(
        [
            [function(x, box, *arguments) for box in rows]
            for x, rows in zip(features, boxes, strict=True)
        ]
    )


@pytest.mark.parametrize("bins", [7, 6, 2])
@pytest.mark.parametrize("sides", [(9, 12), (38, 21), (3, 3)])
def test_roi_pool_is_caffes(bins, sides):
    x, boxes = maps(2, *sides, 3) - 3, regions(sides[0] * 16, sides[1] * 16)
    found = roi.RoIPool(bins, 1 / 16)(x, boxes)
    np.testing.assert_array_equal(found, each(pool_by_loops, x, boxes, 1 / 16, bins))


def test_roi_pool_by_hand():
    """Cells 0 to 2 of a map of 4 by 4: bins of 2 share the middle one. 63 px round to cell 4, which
    the map does not have: a bin of it is 0, as is all of a region beyond the map."""
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    boxes = np.float32([[[0, 0, 40, 40], [48, 48, 64, 64], [70, 0, 96, 16]]])
    found = np.asarray(roi.roi_max_pool(x, boxes, 1 / 16, 2))[0, ..., 0]
    np.testing.assert_array_equal(found[0], [[5, 6], [9, 10]])
    np.testing.assert_array_equal(found[1], [[15, 0], [0, 0]])
    np.testing.assert_array_equal(found[2], [[0, 0], [0, 0]])


def test_the_gradient_of_roi_pool_goes_to_the_maxima():
    x, boxes = tf.constant(maps(2, 9, 12, 3)), regions(144, 192)
    weights = maps(2, boxes.shape[1], 7, 7, 3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(roi.roi_max_pool(x, boxes, 1 / 16, 7) * weights)
    expected = np.zeros(x.shape)
    found, start = tape.gradient(total, x).numpy(), x.numpy()
    pooled = each(pool_by_loops, start, boxes, 1 / 16, 7)
    # Values are distinct: each result is the one cell that holds it.
    for b, r, i, j, c in np.ndindex(pooled.shape):
        if pooled[b, r, i, j, c]:
            (y,), (z,) = np.where(start[b, :, :, c] == pooled[b, r, i, j, c])
            expected[b, y, z, c] += weights[b, r, i, j, c]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bins", "depth"), [(7, 3), (3, 2)])
def test_ps_roi_pool_is_caffes(bins, depth):
    x, boxes = maps(2, 12, 9, depth * bins**2) + 2, regions(192, 144, 12)
    found = roi.PSRoIPool(bins, 1 / 16)(x, boxes)
    expected = each(ps_by_loops, x, boxes, 1 / 16, bins)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_ps_roi_pool_by_hand():
    """Four bins of two cells a side, each of a map of its own: 4 (d = 0), then 4 (d = 1)."""
    x = np.broadcast_to(np.arange(8, dtype=np.float32), (1, 4, 4, 8))
    found = roi.ps_roi_pool(x, np.float32([[[0, 0, 64, 64]]]), 1 / 16, 2)
    np.testing.assert_allclose(found[0, 0, ..., 0], [[0, 1], [2, 3]], atol=1e-6)
    np.testing.assert_allclose(found[0, 0, ..., 1], [[4, 5], [6, 7]], atol=1e-6)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("bins", "ratio"), [(7, 2), (2, 1), (3, 3)])
def test_roi_align_is_torchvisions(bins, ratio, aligned):
    x, boxes = maps(2, 9, 12, 3), regions(144, 192)
    boxes[:, 4] = (-30, -40, 200, 260)  # beyond the picture on all sides
    layer = roi.RoIAlign(bins, (1 / 16,), ratio, aligned)
    expected = each(align_by_loops, x, boxes, 1 / 16, bins, ratio, aligned)
    np.testing.assert_allclose(layer(x, boxes), expected, rtol=1e-4, atol=1e-5)


def test_roi_align_reads_the_level_of_each_region():
    """Sides 224 * 2^n: level 4 at 224, 3 from 112, 5 from 448, none beyond 2 and 5."""
    scales = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
    sides = np.float32([20, 56, 111, 112, 223, 224, 447, 448, 1000])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=-1)[None]
    levels = roi.level_of(tf.constant(boxes), scales)
    np.testing.assert_array_equal(levels[0], np.array([2, 2, 2, 3, 3, 4, 4, 5, 5]) - 2)
    pyramid = [maps(1, 1024 // stride, 1024 // stride, 2) for stride in (4, 8, 16, 32)]
    found = roi.RoIAlign(7, scales)(pyramid, boxes)
    for r, level in enumerate(np.asarray(levels[0])):
        expected = align_by_loops(pyramid[level][0], boxes[0, r], scales[level], 7, 2, False)
        np.testing.assert_allclose(found[0, r], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x, r: roi.ps_roi_pool(x, r, 1 / 16, 2),
        lambda x, r: roi.roi_align([x], r, [1 / 16], 2, 2),
    ],
    ids=["ps", "align"],
)
def test_the_other_gradients_are_the_transposes(pool):
    """Linear maps: sum(y * A x) has the gradient A^T y, so <A x', y> = <x', A^T y> for every x'."""
    x, boxes = tf.constant(maps(2, 5, 4, 8)), regions(80, 64, 6)
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = pool(x, boxes)
        y = np.random.default_rng(2).normal(0, 1, pooled.shape).astype(np.float32)
        total = tf.reduce_sum(pooled * y)
    gradient = tape.gradient(total, x)
    for seed in range(3):
        other = np.random.default_rng(seed).normal(0, 1, x.shape).astype(np.float32)
        direct = np.sum(np.asarray(pool(tf.constant(other), boxes)) * y)
        np.testing.assert_allclose(np.sum(gradient * other), direct, rtol=1e-4, atol=1e-4)


LAYERS = {
    "max": (lambda: roi.RoIPool(2, 1 / 16), 8),
    "ps": (lambda: roi.PSRoIPool(2, 1 / 16), 2),
    "align": (lambda: roi.RoIAlign(2, (1 / 16,), 2, True), 8),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_saved_and_keep_their_corners_in_half_precision(kind, tmp_path):
    make, channels = LAYERS[kind]
    x, boxes = maps(1, 63, 63, 8), np.float32([[[900, 903, 997, 1001], [3, 5, 301, 777]]])
    features, rois = keras.Input((63, 63, 8)), keras.Input((None, 4))
    model = keras.Model([features, rois], make()(features, rois))
    assert model.output.shape == (None, None, 2, 2, channels)
    model.save(tmp_path / "m.keras")
    expected = model([x, boxes])
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "m.keras")([x, boxes]), expected
    )
    half = make().from_config({**make().get_config(), "dtype": "mixed_bfloat16"})
    found = half(tf.cast(x, tf.bfloat16), boxes)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, rtol=0.02, atol=0.02)


def test_no_regions():
    for make, _ in LAYERS.values():
        assert make()(maps(1, 4, 4, 8), np.zeros((1, 0, 4), np.float32)).shape[:2] == (1, 0)
