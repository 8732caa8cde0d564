"""A data set read as an ingest reads it, writing no record: what is in it, and what is suspect.

Each sample is read, described and forgotten. Kept are the statistics of data/statistics, the rows
of data/ingest's account, and per picture a hash, a thumbnail of 256 bytes and its classes.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convoy.data import example
from convoy.data.ingest import account, duplicates, shards
from convoy.data.ingest.shards import Work
from convoy.data.ingest.tally import Tally
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.statistics import alike, summary
from convoy.data.statistics.partial import EXAMPLES, Partial, describe
from convoy.pipeline.components import example_gen
from convoy.pipeline.tools.doctor import boxes
from convoy.pipeline.tools.doctor.limits import Limits


@dataclasses.dataclass(frozen=True)
class Found:
    """The data set as its reader understands it, before a picture is read."""

    format: str
    listing: Listing
    account: account.Account
    splits: tuple[str, ...]
    work: Work

    def references(self, split: str) -> list[Reference]:
        """Those of a split, by source_id."""
        return [r for r in self.listing.references if r.split == split]


@dataclasses.dataclass(frozen=True)
class Picture:
    """What is kept of a sample."""

    split: str
    source_id: str
    sha256: str  # of its content
    classes: tuple[int, ...]  # of the whole and of its objects, sorted
    annotation: bytes  # equal where classes and boxes are


@dataclasses.dataclass
class Survey:
    """What is known once every sample was read."""

    statistics: dict[str, Any]  # as statistics.json: see data/statistics/summary.py
    boxes: dict[str, np.ndarray]  # a fair sample of each split's
    sides: dict[str, boxes.Sides]  # split -> tiny and huge ones
    pictures: list[Picture]
    alike: list[list[int]]  # groups of `pictures` that look alike or are the same
    doubled: list[boxes.Doubled]  # objects that lie on each other
    rejected: list[tuple[str, str, str]]  # (source_id, reason, detail)
    warnings: dict[str, int]  # reason -> objects that were left out or changed
    examples: dict[str, list[str]]  # reason of a rejection or warning -> some details
    accounted: dict[str, int]  # pictures found, in samples, rejected, unused
    overlap: dict[str, int]  # samples that two splits share: {"train+val": 3}


def found(path: pathlib.Path, params: example_gen.Params) -> Found:
    """Raises SourceError, as an ingest would. params: of all splits that there are, ()."""
    tree, format_name, listing = example_gen.listed(path, params)
    opened = account.opened(tree, listing, format_name, found=params.format == "auto")
    work = Work(
        folder="",
        format=format_name,
        labels=listing.labels,
        max_pixels=params.max_pixels,
        channels=params.channels,
        bits=params.bits,
    )
    return Found(format_name, listing, opened, example_gen.splits_of(listing), work)


def survey(data: Found, limits: Limits) -> Survey:
    """Reads every sample once. Raises IngestError for what is not a fault of one sample."""
    pictures: list[Picture] = []
    prints: list[np.void | None] = []
    doubled: list[boxes.Doubled] = []
    partials, sides, tallies = {}, {}, {}
    for number, split in enumerate(data.splits):
        tally, of_split = Tally(), boxes.Sides()

        def records(split=split, tally=tally, of_split=of_split) -> Iterator[bytes]:
            for sample, sha256 in shards.samples(data.references(split), data.work, tally):
                pictures.append(_picture(sample, split, sha256))
                prints.append(alike.fingerprint(sample.image) if sample.image else None)
                of_split.add(sample, limits)
                doubled.extend(boxes.doubled(sample, limits))
                yield example.encode(sample, data.work.labels, sha256)

        pixel_classes = len(data.listing.segmentation_labels) or 255
        partials[split] = describe(records(), data.work.labels, number, pixel_classes)
        sides[split], tallies[split] = of_split, tally
    counts = [{"split": s, **t.counts(data.work.labels)} for s, t in tallies.items()]
    accounted, unused = account.closed(data.account, data.splits, counts)
    rejected = [*data.listing.rejected, *(row for count in counts for row in count["rejected"])]
    warned = [row for count in counts for row in count["warnings"]]
    warnings = collections.Counter()
    for count in counts:
        warnings.update(count["warned"])
    told = {
        "unused": unused,
        "ambiguous": (
            *data.listing.ambiguous,
            *data.account.ambiguous,
            *account.choices(warnings, warned),
        ),
    }
    return Survey(
        statistics=_statistics(data, partials, pictures, told),
        boxes={split: partial.boxes for split, partial in partials.items()},
        sides=sides,
        pictures=pictures,
        alike=_groups(pictures, prints, limits.near_bits),
        doubled=doubled,
        rejected=rejected,
        warnings=dict(sorted(warnings.items())),
        examples=_examples([*rejected, *warned]),
        accounted=accounted,
        overlap=duplicates.overlap(r for r in data.listing.references if r.split in data.splits),
    )


def _picture(sample: Sample, split: str, sha256: str) -> Picture:
    classes = tuple(sorted({*sample.labels.tolist(), *sample.classes.tolist()}))
    order = np.lexsort((*sample.boxes.T, sample.classes))
    said = hashlib.sha256(repr((classes, sample.classes[order].tolist())).encode())
    said.update(np.ascontiguousarray(sample.boxes[order]).tobytes())
    return Picture(split, sample.source_id, sha256, classes, said.digest()[:8])


def _statistics(data: Found, partials: dict[str, Partial], pictures, told) -> dict[str, Any]:
    listing = data.listing
    manifest = {
        "labels": listing.labels,
        "segmentation_labels": listing.segmentation_labels,
        "keypoints": listing.keypoints,
        "splits": {},
        **{key: [dataclasses.asdict(row) for row in rows] for key, rows in told.items()},
    }
    of_split: dict[int, list[str]] = {
        number: [picture.source_id for picture in pictures if picture.split == split]
        for number, split in enumerate(data.splits)
    }

    def names(rows: Sequence[np.ndarray], kind: str, hashes: np.ndarray) -> list[list[str]]:
        groups: dict[int, list[str]] = {int(value): [] for value in hashes}
        for part in rows:
            for row in part[np.isin(part[kind], hashes)]:
                name = of_split[int(row["shard"])][int(row["index"])]
                groups[int(row[kind])].append(name)
        return sorted(sorted(group) for group in groups.values())

    return summary.overview(manifest, partials, names)


def _groups(pictures: list[Picture], prints: list, most_bits: int) -> list[list[int]]:
    """Of the pictures those that are alike, those of the same content included."""
    hashed = [index for index, row in enumerate(prints) if row is not None]
    near = alike.groups(np.array([prints[i] for i in hashed], alike.PRINT), most_bits)
    groups = [[hashed[row] for row in group] for group in near]
    by_content = collections.defaultdict(list)
    for index, picture in enumerate(pictures):
        if prints[index] is None:  # without contrast: the same bytes are all that can be told
            by_content[picture.sha256].append(index)
    return sorted([*groups, *(group for group in by_content.values() if len(group) > 1)])


def _examples(rows) -> dict[str, list[str]]:
    listed: dict[str, list[str]] = {}
    for source_id, reason, detail in rows:
        examples = listed.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(detail if source_id in detail else f"{source_id}: {detail}")
    return listed
