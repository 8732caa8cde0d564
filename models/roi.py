"""Pooling of regions of interest: max as in Fast R-CNN, RoIAlign, position-sensitive averages.

Papers: Girshick 2015 https://arxiv.org/abs/1504.08083 (RoI max pooling),
He 2017 https://arxiv.org/abs/1703.06870 (RoIAlign), Lin 2017 https://arxiv.org/abs/1612.03144
(equation 1: which level of a pyramid a region is of), Dai 2016 https://arxiv.org/abs/1605.06409
(position-sensitive pooling). None of the layers has weights.

Regions are boxes [B, R, 4] float32, ymin, xmin, ymax, xmax in pixels of the network's input, the
last two beyond the last pixel. Caffe's boxes end on the last pixel: where its rules hold, xmax - 1
stands for its x2. `scale` is 1 / stride, or a pair of them for y and x. No gradient flows into
regions. Results are computed in float32 under every policy. Values are gathered: nothing of the
size of R maps is ever made.
"""

from __future__ import annotations

import math

import keras
from keras import ops

BEYOND = 3  # cells of the picture behind a map of an unpadded trunk, at most
CANONICAL_PX, CANONICAL_LEVEL = 224.0, 4  # a region of that side is of the map of stride 16


class Regions(keras.layers.Layer):
    """A layer of (features, rois) -> [B, R, bins, bins, channels]."""

    def __init__(self, bins, **kwargs):
        # Half precision would move the corners of regions by pixels.
        super().__init__(**{"autocast": False, **kwargs})
        self.bins = int(bins)

    def get_config(self):
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable("convoy")
class RoIPool(Regions):
    """Maxima of bins x bins parts of regions: [B, H, W, C], [B, R, 4] -> [B, R, bins, bins, C]."""

    def __init__(self, bins=7, scale=1 / 16, **kwargs):
        super().__init__(bins, **kwargs)
        self.scale = _pair(scale)

    def call(self, features, rois):
        return ops.cast(roi_max_pool(features, rois, self.scale, self.bins), self.compute_dtype)

    def compute_output_shape(self, features_shape, rois_shape):
        return (*rois_shape[:2], self.bins, self.bins, features_shape[-1])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("convoy")
class PSRoIPool(Regions):
    """Each bin's average of its own maps: [B, H, W, D * bins^2] -> [B, R, bins, bins, D]."""

    def __init__(self, bins=7, scale=1 / 16, **kwargs):
        super().__init__(bins, **kwargs)
        self.scale = _pair(scale)

    def call(self, features, rois):
        return ops.cast(ps_roi_pool(features, rois, self.scale, self.bins), self.compute_dtype)

    def compute_output_shape(self, features_shape, rois_shape):
        return (*rois_shape[:2], self.bins, self.bins, features_shape[-1] // self.bins**2)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("convoy")
class RoIAlign(Regions):
    """Bilinear samples of regions: a map or a list of maps -> [B, R, bins, bins, C].

    scales: one for a map, one per map of a list, the finest first, each half the one before. See
    `roi_align`.
    """

    def __init__(self, bins=7, scales=(1 / 16,), sampling_ratio=2, aligned=False, **kwargs):
        super().__init__(bins, **kwargs)
        self.scales = tuple(map(_pair, scales))
        self.sampling_ratio, self.aligned = int(sampling_ratio), bool(aligned)
        if self.sampling_ratio < 1:
            raise ValueError(f"RoIAlign: expected sampling_ratio >= 1, got {sampling_ratio}")

    def call(self, features, rois):
        maps = features if isinstance(features, (list, tuple)) else [features]
        pooled = roi_align(maps, rois, self.scales, self.bins, self.sampling_ratio, self.aligned)
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, features_shape, rois_shape):
        first = features_shape[0] if isinstance(features_shape[0], (list, tuple)) else None
        return (*rois_shape[:2], self.bins, self.bins, (first or features_shape)[-1])

    def get_config(self):
        own = {key: getattr(self, key) for key in ("scales", "sampling_ratio", "aligned")}
        return {**super().get_config(), **own}


def _pair(scale) -> tuple[float, float]:
    """(y, x)"""
    y, x = scale if isinstance(scale, (list, tuple)) else (scale, scale)
    return float(y), float(x)


def roi_max_pool(features, rois, scale, bins: int):
    """Fast R-CNN's RoI max pooling: [B, H, W, C], [B, R, 4] -> [B, R, bins, bins, C] float32.

    By Caffe's rules: corners are rounded to cells (halves away from zero), a region has at least
    one cell, its last one included; bin p of w cells covers floor(p w / bins) up to
    ceil((p + 1) w / bins) of them, so that bins may share cells; a bin without a cell of the map is
    0. Regions are cut to a few cells beyond the map first: that of a trunk without padding ends
    before the picture does, and bins behind it are 0. (Caffe computes w / bins in float32, by which
    the last bin of 7 takes a cell more where w is 57, 114, ...: not here.)

    The maximum of a bin is that of four windows whose sides are powers of two: all windows of the
    map are reduced once, whatever the number of regions.
    """
    batch, (height, width, channels) = ops.shape(features)[0], features.shape[1:]
    features = ops.cast(features, "float32")
    down, across = _pair(scale)
    y0, y1 = _whole_bins(rois[..., 0], rois[..., 2], down, bins, height)
    x0, x1 = _whole_bins(rois[..., 1], rois[..., 3], across, bins, width)
    # [B, R, bins] each; a region has at most side + BEYOND + 1 cells.
    longest = [-(-(side + BEYOND + 1) // bins) + 1 for side in (height, width)]
    rows, columns = _powers(longest[0], height), _powers(longest[1], width)
    tables, tall = [], features
    for power in range(rows):
        tall = tall if power == 0 else _doubled(tall, 1, 2 ** (power - 1))
        wide = tall
        for other in range(columns):
            wide = wide if other == 0 else _doubled(wide, 2, 2 ** (other - 1))
            tables.append(wide)
    stacked = ops.reshape(ops.stack(tables, axis=1), (-1, channels))

    top, tall_power, bottom = _two_windows(y0, y1, rows)
    left, wide_power, right = _two_windows(x0, x1, columns)
    picture = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1))
    table = tall_power[..., :, None] * columns + wide_power[..., None, :]
    first = (picture * len(tables) + table) * (height * width)
    best = None
    for row in (top, bottom):
        for column in (left, right):
            place = first + row[..., :, None] * width + column[..., None, :]
            found = ops.take(stacked, place, axis=0)
            best = found if best is None else ops.maximum(best, found)
    empty = ops.logical_or((y1 <= y0)[..., :, None], (x1 <= x0)[..., None, :])
    return ops.where(empty[..., None], 0.0, best)


def _whole_bins(low, high, scale: float, bins: int, side: int):
    """Corners [B, R] in pixels -> each bin's first cell and the one behind it, [B, R, bins]."""
    low, high = (ops.stop_gradient(ops.cast(x, "float32")) for x in (low, high))
    start = ops.cast(ops.clip(_round(low * scale), 0, side + BEYOND), "int32")
    last = ops.cast(ops.clip(_round((high - 1.0) * scale), 0, side + BEYOND), "int32")
    cells = ops.maximum(last - start + 1, 1)[..., None]
    p = ops.arange(bins, dtype="int32")
    begin = start[..., None] + p * cells // bins
    end = start[..., None] + ((p + 1) * cells + bins - 1) // bins
    return ops.clip(begin, 0, side), ops.clip(end, 0, side)


def _round(x):
    """Halves away from zero, as C has it; ops.round takes them to the even number."""
    return ops.where(x >= 0.0, ops.floor(x + 0.5), ops.ceil(x - 0.5))


def _powers(longest: int, side: int) -> int:
    """How many powers of two, from 1 on, are no longer than a bin."""
    return int(math.log2(min(longest, side))) + 1


def _doubled(x, axis: int, length: int):
    """Maxima of windows twice as long, from those of `length`; the last ones stay as they are."""
    if axis == 1:
        return ops.concatenate([ops.maximum(x[:, :-length], x[:, length:]), x[:, -length:]], axis=1)
    return ops.concatenate(
        [ops.maximum(x[:, :, :-length], x[:, :, length:]), x[:, :, -length:]], axis=2
    )


def _two_windows(begin, end, powers: int):
    """(first cell, power of two, last window's first cell) that together cover begin to end."""
    length = ops.maximum(end - begin, 1)
    power = sum(ops.cast(length >= 2**k, "int32") for k in range(1, powers)) if powers > 1 else 0
    power = power + ops.zeros_like(length)
    window = ops.take(ops.convert_to_tensor([2**k for k in range(powers)], "int32"), power)
    first = ops.maximum(ops.minimum(begin, end - 1), 0)
    return first, power, ops.maximum(end - window, first)


def ps_roi_pool(features, rois, scale, bins: int):
    """R-FCN's pooling: [B, H, W, D * bins^2], [B, R, 4] -> [B, R, bins, bins, D] float32.

    Map (d * bins + row) * bins + column is read by bin (row, column) for result d, as in Caffe.
    Corners are rounded to pixels; a region is at least 0.1 cells large; a bin averages the cells
    from floor of its begin up to ceil of its end, cut to the map, and is 0 where there are none.

    Sums are differences of running sums of both axes, taken around each map's mean, so that float32
    keeps what a small bin needs.
    """
    batch, (height, width, channels) = ops.shape(features)[0], features.shape[1:]
    depth = channels // bins**2
    maps = ops.reshape(ops.cast(features, "float32"), (-1, height, width, depth, bins**2))
    maps = ops.transpose(maps, (0, 4, 1, 2, 3))  # [B, bins^2, H, W, D]
    mean = ops.stop_gradient(ops.mean(maps, axis=(2, 3), keepdims=True))
    sums = ops.cumsum(ops.cumsum(maps - mean, axis=2), axis=3)
    sums = ops.pad(sums, ((0, 0), (0, 0), (1, 0), (1, 0), (0, 0)))
    sums = ops.reshape(sums, (-1, depth))

    down, across = _pair(scale)
    y0, y1 = _part_bins(rois[..., 0], rois[..., 2], down, bins, height)
    x0, x1 = _part_bins(rois[..., 1], rois[..., 3], across, bins, width)
    picture = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1, 1))
    part = ops.reshape(ops.arange(bins**2, dtype="int32"), (1, 1, bins, bins))
    own = picture * bins**2 + part

    def until(y, x):
        place = (own * (height + 1) + y[..., :, None]) * (width + 1) + x[..., None, :]
        return ops.take(sums, place, axis=0)

    total = until(y1, x1) - until(y0, x1) - until(y1, x0) + until(y0, x0)
    rows, columns = ops.maximum(y1 - y0, 0), ops.maximum(x1 - x0, 0)
    cells = ops.cast(rows[..., :, None] * columns[..., None, :], "float32")[..., None]
    mean = ops.take(ops.reshape(mean, (-1, depth)), own, axis=0)
    return ops.where(cells > 0, total / ops.maximum(cells, 1.0) + mean, 0.0)


def _part_bins(low, high, scale: float, bins: int, side: int):
    """Corners [B, R] in pixels -> each bin's first cell and the one behind it, [B, R, bins]."""
    low, high = (ops.stop_gradient(ops.cast(x, "float32")) for x in (low, high))
    start, stop = _round(low) * scale, (_round(high - 1.0) + 1.0) * scale
    size = (ops.maximum(stop - start, 0.1) / bins)[..., None]
    p = ops.arange(bins, dtype="float32")
    begin = ops.floor(p * size + start[..., None])
    end = ops.ceil((p + 1.0) * size + start[..., None])
    return tuple(ops.cast(ops.clip(x, 0, side), "int32") for x in (begin, end))


def roi_align(features, rois, scales, bins: int, sampling_ratio: int, aligned: bool = False):
    """RoIAlign of maps [[B, H, W, C], ...], [B, R, 4] -> [B, R, bins, bins, C] float32.

    torchvision's rules: a bin is the mean of sampling_ratio^2 bilinear samples in its inside;
    `aligned` moves regions by half a cell, without it they are at least one cell large. A sample
    more than a cell outside the map is 0. Of several maps each region reads that of `level_of`.
    """
    batch, channels = ops.shape(features[0])[0], features[0].shape[-1]
    sides = [tuple(x.shape[1:3]) for x in features]
    flat = [
        ops.reshape(ops.cast(x, "float32"), (-1, h * w, channels))
        for x, (h, w) in zip(features, sides, strict=True)
    ]
    cells = sum(h * w for h, w in sides)
    flat = ops.reshape(ops.concatenate(flat, axis=1) if len(flat) > 1 else flat[0], (-1, channels))

    rois = ops.stop_gradient(ops.cast(rois, "float32"))
    level = level_of(rois, scales)

    def of_level(values, dtype="int32"):
        return ops.take(ops.convert_to_tensor(values, dtype), level, axis=0)

    starts = [sum(h * w for h, w in sides[:i]) for i in range(len(sides))]
    widths = of_level([w for _, w in sides])[..., None, None]
    first = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1)) * cells + of_level(starts)
    factors = of_level([_pair(scale) * 2 for scale in scales], "float32")
    placed = rois * factors - (0.5 if aligned else 0.0)
    heights = of_level([h for h, _ in sides])
    y = _taps(placed[..., 0], placed[..., 2], heights, bins, sampling_ratio, aligned)
    x = _taps(placed[..., 1], placed[..., 3], widths[..., 0, 0], bins, sampling_ratio, aligned)
    total = 0.0
    for row, row_weight in y:
        for column, column_weight in x:
            place = first[..., None, None] + row[..., :, None] * widths + column[..., None, :]
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            total = total + ops.take(flat, place, axis=0) * weight[..., None]
    return total / sampling_ratio**2


def level_of(rois, scales):
    """[B, R] int32: the map of each region, floor(4 + log2(sqrt(area) / 224)) within what there is.

    Level k is the map of scale 2^-k. torchvision's 1e-6 keeps a side of 2^n * 224 on its level.
    """
    if len(scales) == 1:
        return ops.zeros(ops.shape(rois)[:-1], "int32")
    finest = round(-math.log2(_pair(scales[0])[0]))
    side = ops.sqrt(ops.maximum((rois[..., 2] - rois[..., 0]) * (rois[..., 3] - rois[..., 1]), 0.0))
    stretch = ops.log(ops.maximum(side / CANONICAL_PX, 1e-6)) / math.log(2.0)
    level = ops.floor(CANONICAL_LEVEL + stretch + 1e-6)
    return ops.cast(ops.clip(level - finest, 0, len(scales) - 1), "int32")


def _taps(low, high, side, bins: int, ratio: int, aligned: bool) -> list:
    """[(cell [B, R, bins] int32, weight [B, R, bins])]: what a bin's samples read along one axis.

    low, high: [B, R] in cells; side: [B, R] int32, cells of the region's map.
    """
    length = high - low if aligned else ops.maximum(high - low, 1.0)
    size = (length / bins)[..., None]
    last = side[..., None] - 1
    p = ops.arange(bins, dtype="float32")
    taps = []
    for i in range(ratio):
        at = low[..., None] + p * size + (i + 0.5) * size / ratio
        inside = ops.logical_and(at >= -1.0, at <= ops.cast(last + 1, "float32"))
        at = ops.clip(at, 0.0, ops.cast(last, "float32"))
        below = ops.cast(ops.floor(at), "int32")
        part = at - ops.cast(below, "float32")
        inside = ops.cast(inside, "float32")
        taps += [
            (below, inside * (1.0 - part)),
            (ops.minimum(below + 1, last), inside * part),
        ]
    return taps
