"""What a data set holds, by its reader and by some of its samples: enough to propose a recipe."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from convoy.data.ingest import shards
from convoy.data.ingest.shards import IngestError
from convoy.data.ingest.tally import Tally
from convoy.data.sample import Reference, Sample
from convoy.data.sources import SourceError
from convoy.pipeline.components import example_gen
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.doctor import survey
from convoy.pipeline.tools.validate_records import roles

SEEN = 200  # samples of the training split that are read
MOST_BYTES = 1 << 28  # of them


@dataclasses.dataclass(frozen=True)
class Look:
    """What is known of a data set. Sizes are pixels."""

    path: pathlib.Path
    format: str
    params: example_gen.Params
    records: dict[str, int]  # split -> samples that are listed
    train: str
    judges: tuple[str, ...]  # the other splits
    labels: tuple[str, ...]
    segmentation_labels: tuple[str, ...]
    keypoints: tuple[str, ...]
    keypoint_pairs: tuple[tuple[int, int], ...]
    samples: tuple[Sample, ...]  # some of `train`, evenly spread
    rejected: tuple[tuple[str, str, str], ...]  # of those that were read

    def part(self, holds: Callable[[Sample], bool]) -> float:
        """The part of the samples that hold something."""
        return sum(map(bool, map(holds, self.samples))) / len(self.samples)

    @property
    def size(self) -> tuple[int, int]:
        """Median height and width; (0, 0) of what is no picture."""
        heights, widths = zip(*((s.height, s.width) for s in self.samples), strict=True)
        return int(np.median(heights)), int(np.median(widths))

    @property
    def objects(self) -> int:
        """The most objects of a picture that was read."""
        return max(len(sample.boxes) for sample in self.samples)

    @property
    def smallest(self) -> float:
        """Side of a small object (one of ten is smaller), part of its picture's longer side; or 1.

        The side of a box is the root of its area.
        """
        sides = [
            np.sqrt(np.prod(np.maximum(sample.boxes[:, 2:] - sample.boxes[:, :2], 0), axis=1))
            / max(sample.height, sample.width)
            for sample in self.samples
            if len(sample.boxes)
        ]
        return float(np.quantile(np.concatenate(sides), 0.1)) if sides else 1.0


def look(path: str, format_name: str) -> Look:
    """Raises UsageError for what is no data set, or one without a sample that can be used."""
    place = pathlib.Path(path)
    if not os.path.lexists(place):
        raise UsageError(f"{path}: no such folder or archive")
    params = example_gen.Params(format=format_name, splits=())
    try:
        data = survey.found(place, params)
        counts = collections.Counter(reference.split for reference in data.listing.references)
        records = {split: counts[split] for split in data.splits}
        train, judges = roles(records)
        tally = Tally()
        samples = _some(data, train, tally)
    except (SourceError, IngestError) as error:
        told = str(error).removeprefix(f"{path}: ")
        raise UsageError(f"{path}: {told}") from error
    if not samples:
        first = (*tally.rejected, *data.listing.rejected, ("", "", "its reader lists none"))[0]
        raise UsageError(f"{path}: no sample of {data.format} can be used, e.g. {first[2]}")
    return Look(
        path=place,
        format=data.format,
        params=params.model_copy(update={"format": data.format}),
        records=records,
        train=train,
        judges=tuple(judges),
        labels=data.listing.labels,
        segmentation_labels=data.listing.segmentation_labels,
        keypoints=data.listing.keypoints,
        keypoint_pairs=data.listing.keypoint_pairs,
        samples=tuple(samples),
        rejected=tuple(tally.rejected),
    )


def _some(data: survey.Found, split: str, tally: Tally) -> list[Sample]:
    samples, size = [], 0
    for sample, _ in shards.samples(spread(data.references(split), SEEN), data.work, tally):
        samples.append(sample)
        size += len(sample.content) + len(sample.target)
        if size > MOST_BYTES:
            break
    return samples


def spread(references: Sequence[Reference], count: int) -> list[Reference]:
    """At most `count` of them, evenly spread."""
    places = np.linspace(0, len(references) - 1, min(count, len(references)))
    return [references[int(place)] for place in places.round()]
