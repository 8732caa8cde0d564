"""Numbers of one kind: exact count, sum and extremes, and a histogram that merges exactly.

Each number is rounded to a whole multiple of `unit` and counted in bins of integers: one bin each
below 2048, then 1024 bins per octave, as in HdrHistogram (http://hdrhistogram.org). So every result
is independent of order and of how the numbers were dealt to workers; integers below 2048 have exact
quantiles, others quantiles within 1/2048 of their value; and memory does not grow with the count.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

INTEGER = 1.0
FRACTION = 2.0**-30  # unit of numbers that are not integers
_EXACT = 1024  # bins per octave; twice as many integers are told apart
_EXACT_BITS = 11
BARS = 20  # of the histogram for people
QUANTILES = 10


class Numbers:
    """Numbers added one block at a time; blocks and other `Numbers` may come in any order."""

    def __init__(self, unit: float = INTEGER):
        self.unit = unit
        self.count = 0
        self.total = 0  # of the integers
        self.squares = 0
        self.lowest: int | None = None
        self.highest: int | None = None
        self.bad = 0  # not finite: counted here alone
        self.bins: collections.Counter[int] = collections.Counter()

    def add(self, values: Sequence[float] | np.ndarray) -> None:
        """Counts these values."""
        array = np.asarray(values, np.float64)
        finite = array[np.isfinite(array)]
        self.bad += array.size - finite.size
        if not finite.size:
            return
        units = np.clip(np.rint(finite / self.unit), -(2.0**62), 2.0**62).astype(np.int64)
        listed = units.tolist()  # Python's integers do not overflow
        self.count += len(listed)
        self.total += sum(listed)
        self.squares += sum(value * value for value in listed)
        self._extend(min(listed), max(listed))
        bins, counts = np.unique(_bins(units), return_counts=True)
        self.bins.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Numbers) -> None:
        """Counts all that `other` counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.bad += other.bad
        self.bins.update(other.bins)
        if other.count:
            self._extend(other.lowest, other.highest)

    def _extend(self, low: int, high: int) -> None:
        self.lowest = low if self.lowest is None else min(self.lowest, low)
        self.highest = high if self.highest is None else max(self.highest, high)

    @property
    def sum(self) -> float:
        return self.total * self.unit

    def summary(self) -> dict[str, Any]:
        """count and bad; where there are any, also extremes, moments, quantiles and a histogram."""
        if not self.count:
            return {"count": 0, "bad": self.bad}
        spread = self.count * self.squares - self.total**2
        bins = sorted(self.bins)
        values = np.clip([_middle(index) for index in bins], self.lowest, self.highest) * self.unit
        counts = np.array([self.bins[index] for index in bins], np.int64)
        low, high = self.lowest * self.unit, self.highest * self.unit
        bars, edges = np.histogram(values, BARS, range=(low, high), weights=counts)
        parts = [part / QUANTILES for part in range(QUANTILES + 1)]
        quantiles = [_quantile(values, counts, part) for part in parts]
        return {
            "count": self.count,
            "bad": self.bad,
            "min": low,
            "max": high,
            "mean": self.total / self.count * self.unit,
            "std": math.sqrt(spread) / self.count * self.unit,
            "zeros": self.bins[0],
            "median": _quantile(values, counts, 0.5),
            "quantiles": [low, *quantiles[1:-1], high],
            "histogram": {"edges": edges.tolist(), "counts": bars.astype(int).tolist()},
        }


def _bins(whole: np.ndarray) -> np.ndarray:
    """The bin of each integer; in the order of the integers."""
    size = np.abs(whole)
    octave = np.maximum(np.frexp(size.astype(np.float64))[1] - _EXACT_BITS, 0)
    return np.sign(whole) * (octave * _EXACT + (size >> octave))


def _middle(index: int) -> float:
    """The middle of a bin's integers."""
    octave = max(abs(index) // _EXACT - 1, 0)
    lowest = (abs(index) - octave * _EXACT) << octave
    return math.copysign(lowest + ((1 << octave) - 1) / 2, index)


def _quantile(values: np.ndarray, counts: np.ndarray, part: float) -> float:
    """As numpy.quantile of the repeated values: linear between neighbours."""
    ends = np.cumsum(counts)
    position = part * (int(ends[-1]) - 1)
    low, high = (
        values[np.searchsorted(ends, rank, side="right")]
        for rank in (math.floor(position), math.ceil(position))
    )
    return float(low + (high - low) * (position - math.floor(position)))
