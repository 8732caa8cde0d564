"""What is counted of the samples of one shard while they are written."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from convoy.data import proposals
from convoy.data.sample import Sample

LACKED = ("class", "object", "target", "caption")  # what a task may need of a sample
WITHOUT = tuple(f"without_{what}" for what in LACKED)  # counts of samples
LISTED_LACKING = 5  # samples without each of these that are named
_AT_ONCE = 1 << 18  # pixels
LISTED_WARNINGS = 200  # warnings listed per shard; all are counted


class Tally:
    """Counts of one shard. `listed`: how many warnings are named; all are counted."""

    def __init__(self, listed: float = LISTED_WARNINGS):
        self.listed = listed
        self.numbers = collections.Counter()
        self.rejected: list[tuple[str, str, str]] = []
        self.warned = collections.Counter()
        self.warnings: list[tuple[str, str, str]] = []
        self.images = collections.Counter()  # class -> records that hold it
        self.objects = collections.Counter()  # class -> boxes
        self.images_sha256: list[tuple[str, str]] = []  # (source_id, sha256) of each record
        self.source_ids: list[str] = []  # of each sample, its copies left out
        self.lacking: dict[str, list[str]] = {what: [] for what in LACKED}  # -> source_ids
        # "+".join of the reasons of a sample's warnings -> [samples, those without any object left]
        self.touched: dict[str, list[int]] = {}
        self.touched_ids: dict[str, list[str]] = {}
        # Of pictures of a stated number of channels: whole sums, which are the same in any order.
        self.values: dict[str, Any] = {"pixels": 0, "sums": [], "squares": []}
        self.proposed = collections.Counter()  # objects by the overlap that a proposal reaches

    def warn(self, source_id: str, reason: str, detail: str) -> None:
        self.warned[reason] += 1
        if len(self.warnings) < self.listed:
            self.warnings.append((source_id, reason, detail))

    def add(self, sample: Sample, sha256: str) -> None:
        self.numbers["records"] += 1
        self.numbers["objects"] += len(sample.boxes)
        self.numbers["image_bytes"] += len(sample.image)
        self.objects.update(sample.classes.tolist())
        self.images.update({*sample.labels.tolist(), *sample.classes.tolist()})
        found = (sample.labels, sample.boxes, sample.target, sample.captions)
        for what, there in zip(LACKED, found, strict=True):
            if not len(there):
                self.numbers[f"without_{what}"] += 1
                self.lacking[what] = [*self.lacking[what], sample.source_id][:LISTED_LACKING]
        self.images_sha256.append((sample.source_id, sha256))
        self.numbers["proposals"] += len(sample.proposals)

    def add_values(self, values: np.ndarray) -> None:
        """Adds up the values of a picture [H, W, C], uint8 or uint16."""
        rows = values.reshape(-1, values.shape[2])
        sums, squares = [0] * rows.shape[1], [0] * rows.shape[1]
        for at in range(0, len(rows), _AT_ONCE):
            part = rows[at : at + _AT_ONCE].astype(np.uint64)
            sums = [a + int(b) for a, b in zip(sums, part.sum(0), strict=True)]
            squares = [a + int(b) for a, b in zip(squares, (part * part).sum(0), strict=True)]
        self.values["pixels"] += len(rows)
        for name, new in (("sums", sums), ("squares", squares)):
            old = self.values[name] or [0] * len(new)
            self.values[name] = [a + b for a, b in zip(old, new, strict=True)]

    def touch(self, sample: Sample, reasons: set[str]) -> None:
        """Notes for which reasons a sample was warned of, and whether it still has an object."""
        key = "+".join(sorted(reasons))
        row = self.touched.setdefault(key, [0, 0])
        row[0] += 1
        row[1] += not (len(sample.boxes) or len(sample.labels))
        ids = self.touched_ids.setdefault(key, [])
        ids += [sample.source_id] if len(ids) < LISTED_LACKING else []

    def overlaps(self, sample: Sample) -> None:
        """Counts the objects that a detector must find, and those of them that are proposed."""
        wanted = sample.boxes[~(sample.crowd | sample.difficult)]
        best = proposals.best_overlaps(wanted, sample.proposals)
        self.proposed["objects"] += len(wanted)
        for overlap in proposals.OVERLAPS:
            self.proposed[str(overlap)] += int((best >= overlap).sum())

    def counts(self, labels: Sequence[str]) -> dict[str, Any]:
        names = ("read", "records", "copies", "objects", "image_bytes", "proposals")
        names += WITHOUT
        return {
            **{name: self.numbers[name] for name in names},
            "images_by_class": {name: self.images[i] for i, name in enumerate(labels)},
            "objects_by_class": {name: self.objects[i] for i, name in enumerate(labels)},
            "images_sha256": self.images_sha256,
            "source_ids": self.source_ids,
            "lacking": self.lacking,
            "rejected": self.rejected,
            "values": self.values,
            "touched": self.touched,
            "touched_ids": self.touched_ids,
            "proposed": dict(self.proposed),
            "warned": dict(sorted(self.warned.items())),
            "warnings": self.warnings,
        }
