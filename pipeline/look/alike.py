"""Which records hold pictures that look alike: data/statistics/alike.py over a folder, once.

Each picture is decoded, which takes a while: about a millisecond per picture and core.
"""

from __future__ import annotations

import numpy as np

from convoy.data.statistics import alike
from convoy.pipeline.look.once import Once
from convoy.pipeline.look.pictures import Records
from convoy.pipeline.tools.doctor.limits import Limits


def rows(made: Once, records: Records) -> np.ndarray:
    """Rows of pictures that have another like them, group by group. Raises Working."""
    count = len(records.index.records)
    told = f"comparing {count:,} pictures, once"
    return made.get(("alike", records.folder, count), lambda: _compared(records), told)


def _compared(records: Records) -> np.ndarray:
    found = []
    for row in np.flatnonzero(~records.index.records["copy"]).tolist():
        sample = records.sample(row)
        mark = alike.fingerprint(sample.image) if sample.image else None
        if mark is not None:
            found.append((row, mark))
    if not found:
        return np.zeros(0, np.int64)
    prints = np.array([mark for _, mark in found], alike.PRINT)
    numbers = np.array([row for row, _ in found])
    groups = alike.groups(prints, Limits().near_bits)
    return np.concatenate([np.zeros(0, np.int64), *(numbers[group] for group in groups)])
