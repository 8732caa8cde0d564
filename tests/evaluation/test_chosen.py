"""Which pictures a report shows."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.sample import Sample
from convoy.pipeline.report.chosen import EvenlySpread


def sample(name: str) -> Sample:
    return Sample(name, "val", b"", 60, 80)


@pytest.mark.parametrize(
    ("total", "count", "kept"),
    [(5, 3, [0, 2, 4]), (5, 1, [0]), (2, 12, [0, 1]), (0, 12, []), (5, 0, [])],
)
def test_evenly_spread(total, count, kept):
    chosen = EvenlySpread(total, count)
    batch = np.arange(total)[:, None]
    for n in range(total):
        chosen.update(sample(f"{n}"), {"scores": batch[n]})
    assert [int(item.source_id) for item, _ in chosen.pairs()] == kept
    for _, answer in chosen.pairs():
        assert answer["scores"].base is None  # its batch is not held
