"""Which pictures of a split a report shows, chosen while they pass."""

from __future__ import annotations

from collections.abc import Mapping

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


def copied(answer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An answer that does not keep the arrays of its whole batch."""
    return {name: np.array(value) for name, value in answer.items()}
