"""Which pictures of a split a report shows, chosen while they pass."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

import numpy as np

from convoy.data.sample import Sample

Pair = tuple[Sample, dict[str, np.ndarray]]


def spread(total: int, count: int) -> list[int]:
    """Indices of `count` samples spread evenly over all."""
    return sorted({int(i) for i in np.linspace(0, total - 1, min(count, total))})


class EvenlySpread:
    """Keeps `count` of `total` samples and their answers, spread evenly over all."""

    def __init__(self, total: int, count: int):
        self._indices = set(spread(total, count))
        self._passed = 0
        self._kept: dict[int, Pair] = {}

    def update(self, sample: Sample, answer: Mapping[str, np.ndarray]) -> None:
        if self._passed in self._indices:
            self._kept[self._passed] = (sample, copied(answer))
        self._passed += 1

    def pairs(self) -> list[Pair]:
        return list(self._kept.values())

    def by_index(self) -> dict[int, Pair]:
        """The pairs by their place in the split."""
        return dict(self._kept)


class WorstFirst:
    """Half of `count` of `total` samples have faults, where there are so many, the worst first; the
    rest are spread evenly over all.

    fault(sample, answer): how bad an answer is; None of what is right.
    """

    def __init__(self, fault: Callable[[Sample, Mapping], float | None], total: int, count: int):
        self._fault, self._count, self._passed = fault, count, 0
        self._spread = EvenlySpread(total, count)
        self._worst: list[tuple[float, int, Pair]] = []  # heap of (fault, -index, pair)

    def update(self, sample: Sample, answer: Mapping[str, np.ndarray]) -> None:
        self._spread.update(sample, answer)
        fault = self._fault(sample, answer) if self._count else None
        if fault is not None:
            heapq.heappush(self._worst, (fault, -self._passed, (sample, copied(answer))))
            if len(self._worst) > (self._count + 1) // 2:
                heapq.heappop(self._worst)
        self._passed += 1

    def pairs(self) -> list[Pair]:
        worst = sorted(self._worst, reverse=True)  # of equal faults the first in the records
        faulty = {-index for _, index, _ in worst}
        others = [pair for index, pair in self._spread.by_index().items() if index not in faulty]
        return [pair for *_, pair in worst] + others[: self._count - len(worst)]


def copied(answer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An answer that does not keep the arrays of its whole batch."""
    return {name: np.array(value) for name, value in answer.items()}
