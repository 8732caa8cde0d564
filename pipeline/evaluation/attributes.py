"""How well properties of pictures are told, each over the pictures of which it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


class Properties:
    """Counts: per property a confusion matrix of its values."""

    def __init__(self, groups: Mapping[str, Sequence[int]], num_classes: int):
        self._groups = dict(groups)
        self._counts = np.zeros((num_classes, num_classes), np.int64)  # rows: truth
        self._whole = self._pictures = 0

    def update(self, labels: np.ndarray, found: Sequence[int]) -> None:
        """labels: the true classes of a picture; found: the answer of each property, in order."""
        right, some = True, False
        for answer, group in zip(found, self._groups.values(), strict=True):
            for label in set(labels.tolist()) & {*group}:
                self._counts[label, answer] += 1
                right, some = right and label == answer, True
        self._pictures += some
        self._whole += some and right

    def result(self) -> dict:
        """accuracy and balanced_accuracy: means over the properties that are known of a picture.

        exact_match: pictures of which all that is known is right; None without a picture.
        """
        rows = {name: self._row(group) for name, group in self._groups.items()}
        seen = [row for row in rows.values() if row["pictures"]]

        def mean(key: str) -> float | None:
            return float(np.mean([row[key] for row in seen])) if seen else None

        return {
            "accuracy": mean("accuracy"),
            "balanced_accuracy": mean("balanced_accuracy"),
            "exact_match": self._whole / self._pictures if self._pictures else None,
            "most_frequent": mean("most_frequent"),
            "pictures": self._pictures,
            "per_property": rows,
        }

    def _row(self, group: Sequence[int]) -> dict:
        counts = self._counts[np.ix_(group, group)]
        totals = counts.sum(axis=1)
        if not totals.sum():
            return {"accuracy": None, "balanced_accuracy": None, "most_frequent": None,
                    "pictures": 0}  # fmt: skip
        there = totals > 0
        return {
            "accuracy": float(np.trace(counts) / totals.sum()),
            "balanced_accuracy": float(np.mean(np.diag(counts)[there] / totals[there])),
            "most_frequent": float(totals.max() / totals.sum()),  # who always says the same
            "pictures": int(totals.sum()),
        }

    def per_class(self, labels: Sequence[str]) -> dict:
        """{class: {"recall", "precision", "pictures"}}."""
        right, there = np.diag(self._counts), self._counts.sum(axis=1)
        said = self._counts.sum(axis=0)

        def part(index: int, of: np.ndarray) -> float | None:
            return float(right[index] / of[index]) if of[index] else None

        return {
            name: {
                "recall": part(index, there),
                "precision": part(index, said),
                "pictures": int(there[index]),
            }
            for index, name in enumerate(labels)
        }
