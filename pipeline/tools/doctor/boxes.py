"""Boxes that are suspect by their size, or because another lies on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from convoy.data.sample import Sample
from convoy.data.statistics.partial import EXAMPLES
from convoy.pipeline.evaluation.matching import overlap
from convoy.pipeline.tools.doctor.limits import Limits


@dataclasses.dataclass
class Sides:
    """Counts of one split's boxes, crowds left out."""

    boxes: int = 0
    tiny: int = 0
    huge: int = 0
    tiny_examples: list[str] = dataclasses.field(default_factory=list)
    huge_examples: list[str] = dataclasses.field(default_factory=list)

    def add(self, sample: Sample, limits: Limits) -> None:
        rows = np.flatnonzero(~sample.crowd)
        sides = sample.boxes[rows, 2:] - sample.boxes[rows, :2]
        parts = sides.prod(axis=1) / max(sample.height * sample.width, 1)
        self.boxes += len(rows)
        for name, marked in (
            ("tiny", sides.min(axis=1, initial=np.inf) < limits.min_box_px),
            ("huge", parts > limits.huge),
        ):
            setattr(self, name, getattr(self, name) + int(marked.sum()))
            listed = getattr(self, f"{name}_examples")
            for row in np.flatnonzero(marked)[: EXAMPLES - len(listed)]:
                height, width = sides[row]
                listed.append(
                    f"{sample.source_id}: {width:g} x {height:g} pixels, {parts[row]:.3%} of it"
                )


@dataclasses.dataclass(frozen=True)
class Doubled:
    """Two objects of one picture that lie on each other."""

    split: str
    source_id: str
    first: int  # row in Sample.boxes
    second: int
    overlap: float
    classes: tuple[int, int]

    @property
    def same(self) -> bool:
        """Whether they are of one class: the object is there twice. Else one is wrong."""
        return self.classes[0] == self.classes[1]


def doubled(sample: Sample, limits: Limits) -> Iterator[Doubled]:
    """Pairs of objects whose boxes overlap by more than the limit, crowds left out.

    Objects with masks, which may differ inside one box, are not looked at.
    """
    if len(sample.boxes) < 2 or sample.masks:
        return
    shared = overlap(sample.boxes, sample.boxes)
    shared[sample.crowd] = shared[:, sample.crowd] = 0
    for first, second in np.argwhere(np.triu(shared > limits.overlap, 1)).tolist():
        classes = int(sample.classes[first]), int(sample.classes[second])
        pair = first, second, float(shared[first, second]), classes
        yield Doubled(sample.split, sample.source_id, *pair)
