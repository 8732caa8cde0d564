"""How different two distributions are, each given as counts: 0 the same, 1 nothing in common.

Jensen-Shannon divergence in bits, and the L-infinity distance, as TensorFlow Data Validation has
them (https://www.tensorflow.org/tfx/data_validation/anomalies).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def infinity_norm(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """The largest difference between the parts of one name."""
    p, q = _fractions(first, second)
    return float(np.abs(p - q).max(initial=0.0))


def jensen_shannon(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Jensen-Shannon divergence in bits of counts by name."""
    p, q = _fractions(first, second)
    middle = (p + q) / 2
    return max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)


def by_chance(names: int, first: int, second: int) -> float:
    """The divergence to expect of two independent samples, of these sizes, of one distribution.

    (K - 1) / (8 ln 2) * (1 / n + 1 / m) bits: 8 n m ln 2 / (n + m) times it is near chi-squared
    for many samples; for few it is over-estimated, so that few samples prove nothing.
    """
    if not first or not second:
        return 1.0
    return max(names - 1, 0) / (8 * math.log(2)) * (1 / first + 1 / second)


def rebinned(first, second) -> tuple[dict[str, float], dict[str, float]]:
    """Two histograms as counts on their common edges; values lie evenly in a bucket.

    Each is a tensorflow-metadata Histogram of type STANDARD.
    """
    edges = sorted({edge for histogram in (first, second) for edge in _edges(histogram)})
    counted = []
    for histogram in (first, second):
        buckets = histogram.buckets
        total = np.concatenate([[0.0], np.cumsum([bucket.sample_count for bucket in buckets])])
        own = _edges(histogram)
        if own[-1] <= own[0]:  # one value alone
            below = np.array([0.0 if edge <= own[0] else total[-1] for edge in edges])
        else:
            below = np.interp(edges, own, total)
        counted.append({str(i): count for i, count in enumerate(np.diff(below))})
    return counted[0], counted[1]


def _edges(histogram) -> list[float]:
    buckets = histogram.buckets
    return [buckets[0].low_value, *(bucket.high_value for bucket in buckets)]


def _fractions(first, second) -> tuple[np.ndarray, np.ndarray]:
    names = sorted({*first, *second})
    arrays = [
        np.array([counts.get(name, 0) for name in names], float) for counts in (first, second)
    ]
    return tuple(array / max(array.sum(), 1e-300) for array in arrays)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    present = p > 0
    return float((p[present] * np.log2(p[present] / q[present])).sum())
