"""One class per sentence."""

from __future__ import annotations

import heapq

from convoy.pipeline.report.chosen import EvenlySpread, Pair, copied
from convoy.pipeline.tasks import Shown
from convoy.pipeline.tasks.classification import Metrics, confusion, named, row, summary

__all__ = ["Chosen", "Metrics", "named", "row", "show", "summary"]
SHOWN = 200  # letters of a sentence


class Chosen:
    """Half of the examples are mistakes, where there are so many, the surest first; the rest are
    spread evenly over all.
    """

    def __init__(self, total: int, count: int):
        self._count, self._passed = count, 0
        self._spread = EvenlySpread(total, count)
        self._mistakes: list[tuple[float, int, Pair]] = []  # heap of (score, -index, pair)

    def update(self, sample, answer) -> None:
        self._spread.update(sample, answer)
        scores = answer["scores"]
        if self._count and int(scores.argmax()) != sample.labels[0]:
            entry = (float(scores.max()), -self._passed, (sample, copied(answer)))
            heapq.heappush(self._mistakes, entry)
            if len(self._mistakes) > (self._count + 1) // 2:
                heapq.heappop(self._mistakes)
        self._passed += 1

    def pairs(self) -> list[Pair]:
        surest = sorted(self._mistakes, reverse=True)  # of equal scores the first in the records
        wrong = {-index for _, index, _ in surest}
        others = [pair for index, pair in self._spread.by_index().items() if index not in wrong]
        return [pair for *_, pair in surest] + others[: self._count - len(surest)]


def show(metrics, numbers, pairs) -> Shown:
    examples = {}
    for sample, answer in pairs:
        predicted = int(answer["scores"].argmax())
        examples[sample.source_id] = {
            "sentence": sample.text[:SHOWN] + "…" * (len(sample.text) > SHOWN),
            "truth": metrics.labels[sample.labels[0]],
            "prediction": metrics.labels[predicted],
            "score": float(answer["scores"][predicted]),
        }
    return Shown(confusion(metrics, numbers), examples=examples)
