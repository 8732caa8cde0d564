"""Shapes of boxes by k-means: what a detector's anchors could be.

Redmon 2016 https://arxiv.org/abs/1612.08242, section 2, "Dimension clusters": the distance of a box
from a cluster is 1 - IoU of both shapes, their centres on each other; a cluster's shape is the mean
of its boxes'. NumPy alone.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 300  # at most; some ten are enough
STARTS = 4  # of which the best is taken


def overlap(sides: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[M, 2] and [N, 2] of positive heights and widths -> [M, N]: IoU of the shapes."""
    shared = np.minimum(sides[:, None], others[None]).prod(axis=-1)
    return shared / (sides.prod(axis=1)[:, None] + others.prod(axis=1)[None] - shared)


def mean_overlap(sides: np.ndarray, others: np.ndarray) -> float:
    """Of each shape [M, 2] with the best of others [N, 2], the mean."""
    return float(overlap(sides, others).max(axis=1).mean())


def shapes(sides: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """[M, 2] heights and widths -> [at most count, 2] float, by area: as many as there are shapes.

    The same for a seed. Raises ValueError without boxes.
    """
    sides = np.asarray(sides, np.float64)
    if not len(sides) or count < 1:
        raise ValueError(f"expected boxes and a count of at least 1, got {len(sides)} and {count}")
    count = min(count, len(np.unique(sides, axis=0)))
    draw = np.random.default_rng(seed)
    found = [_moved(sides, _spread(sides, count, draw)) for _ in range(STARTS)]
    best = max(found, key=lambda centers: mean_overlap(sides, centers))
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def _spread(sides: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """Different shapes to begin with: each far from those before it (k-means++)."""
    centers = sides[draw.integers(len(sides))][None]
    while len(centers) < count:
        far = (1.0 - overlap(sides, centers).max(axis=1)) ** 2
        far[far < 1e-12] = 0.0
        row = draw.choice(len(sides), p=far / far.sum()) if far.any() else 0
        centers = np.concatenate([centers, sides[row][None]])
    return centers


def _moved(sides: np.ndarray, centers: np.ndarray) -> np.ndarray:
    nearest = np.full(len(sides), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, overlap(sides, centers).argmax(axis=1)
        if (before == nearest).all():
            break
        kept = [sides[nearest == k] for k in range(len(centers))]
        centers = np.stack(
            [own.mean(axis=0) if len(own) else old for own, old in zip(kept, centers, strict=True)]
        )
    return centers
