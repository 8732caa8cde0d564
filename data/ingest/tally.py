"""What is counted of the samples of one shard while they are written."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from convoy.data import proposals
from convoy.data.sample import Sample

LACKED = ("class", "object", "target", "caption")  # what a task may need of a sample
WITHOUT = tuple(f"without_{what}" for what in LACKED)  # counts of samples
LISTED_LACKING = 5  # samples without each of these that are named
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
            "proposed": dict(self.proposed),
            "warned": dict(sorted(self.warned.items())),
            "warnings": self.warnings,
        }
