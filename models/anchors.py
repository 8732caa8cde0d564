"""Priors (default boxes) and their order, defined here once for heads, targets and decoding.

The order is level-major, then row, then column, then prior within the cell: exactly what
concatenating the levels' maps [B, H, W, priors * C] reshaped to [B, H * W * priors, C] gives.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Level:
    """One feature map's priors."""

    grid: tuple[int, int]  # rows, columns
    step: tuple[float, float]  # pixels between centres in y, x
    shapes: tuple[tuple[float, float], ...]  # (height, width) in pixels, one per prior
    offset: float = 0.5  # of the first centre, in steps

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1] * len(self.shapes)


def ssd_shapes(smallest: float, largest: float, ratios) -> tuple[tuple[float, float], ...]:
    """Prior (height, width)s of an SSD level: the order is 1, 1', 2, 1/2, 3, 1/3.

    A square of side `smallest`, one of side sqrt(smallest * largest), then for each aspect ratio
    w / h = r the pair r, 1 / r of area smallest^2.
    """
    middle = math.sqrt(smallest * largest)
    shapes = [(smallest, smallest), (middle, middle)]
    for ratio in ratios:
        long, short = smallest * math.sqrt(ratio), smallest / math.sqrt(ratio)
        shapes += [(short, long), (long, short)]
    return tuple(shapes)


def scaled_shapes(sides, ratios) -> tuple[tuple[float, float], ...]:
    """Anchor (height, width)s: for each ratio height / width = r, each of the sides as a root of
    the area: the order of py-faster-rcnn."""
    roots = [(math.sqrt(ratio), side) for ratio in ratios for side in sides]
    return tuple((side * root, side / root) for root, side in roots)


def priors(levels) -> np.ndarray:
    """[N, 4] float32 boxes of all levels in the one order; not clipped to the picture."""
    return np.concatenate([_level(level) for level in levels])


def _level(level: Level) -> np.ndarray:
    (rows, columns), (step_y, step_x) = level.grid, level.step
    y = (np.arange(rows) + level.offset) * step_y
    x = (np.arange(columns) + level.offset) * step_x
    center = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)[:, :, None, :]
    half = np.asarray(level.shapes)[None, None] / 2
    boxes = np.concatenate([center - half, center + half], axis=-1)
    return boxes.reshape(-1, 4).astype(np.float32)
