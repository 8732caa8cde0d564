"""`convoy doctor DIR --fix OUT`: a repaired copy, with a list of all that is changed.

OUT/data           COCO where there are boxes, masks, keypoints or captions; VOC where there are
                   label maps; else one folder per class in one folder per split
OUT/changes.json   every sample and object that is left out or changed, and why

Repaired is what has one right answer:
* samples that cannot be read, and objects without area or outside their picture, are left out;
  boxes that reach outside are cut, pictures are turned upright, as an ingest does;
* of pictures of the same bytes and the same annotation one stays: in the split that judges, if one
  has it, so that nothing that is learnt is judged; else the first by id;
* pictures of the same bytes and different classes, of one class each, are all left out;
* of one object that is there twice, in the same box, one stays.
What only looks alike or wrong is for people: it is reported, not changed.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convoy.data.exports import FORMATS, ExportError
from convoy.data.files import files
from convoy.data.ingest import shards
from convoy.data.ingest.tally import Tally
from convoy.data.sample import Sample, keep_objects
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.tools.doctor.survey import Found, Picture, Survey

CHANGES = "changes.json"


@dataclasses.dataclass
class Repaired:
    """What data/exports takes for records: the data set read once more, without what is wrong."""

    data: Found
    left_out: dict[tuple[str, str], tuple[str, str]]  # (split, source_id) -> (reason, detail)
    twice: dict[tuple[str, str], list[int]]  # rows of objects that lie on an equal one
    changes: list[dict[str, str]]
    written: collections.Counter

    @property
    def splits(self) -> tuple[str, ...]:
        """Names."""
        return self.data.splits

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.data.listing.labels

    @property
    def segmentation_labels(self) -> tuple[str, ...]:
        """Names of the values of label maps."""
        return self.data.listing.segmentation_labels

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names."""
        return self.data.listing.keypoints

    @property
    def actions(self) -> tuple[str, ...]:
        """Names."""
        return self.data.listing.actions

    def scores(self, sample: Sample) -> list[float]:
        """None: people said what is there."""
        return []

    def samples(self, split: str) -> Iterator[Sample]:
        """The repaired ones, one after the other; lists what it changes."""
        references = []
        for reference in self.data.references(split):
            why = self.left_out.get((split, reference.source_id))
            if why:
                self.change(split, reference.source_id, "sample left out", *why)
            else:
                references.append(reference)
        by_id = {reference.source_id: reference for reference in references}
        tally = Tally(listed=float("inf"))
        for sample, _ in shards.samples(references, self.data.work, tally):
            self._drain(split, tally)
            where = by_id[sample.source_id].image
            if where and sample.image != files.read(where):
                why = "turned upright, or of a kind that not all programs read"
                self.change(split, sample.source_id, "picture encoded anew", "encoded", why)
            rows = self.twice.get((split, sample.source_id), [])
            for row in rows:
                name = self.labels[int(sample.classes[row])]
                detail = f"object {row} ({name}) lies on an equal one"
                self.change(split, sample.source_id, "object left out", "twice", detail)
            self.written[split] += 1
            yield keep_objects(sample, ~np.isin(np.arange(len(sample.boxes)), rows))
        self._drain(split, tally)
        for source_id, reason, detail in tally.rejected:
            self.change(split, source_id, "sample left out", reason, detail)

    def _drain(self, split: str, tally: Tally) -> None:
        for source_id, reason, detail in tally.warnings:
            self.change(split, source_id, "object left out or changed", reason, detail)
        tally.warnings.clear()

    def change(self, split: str, source_id: str, what: str, reason: str, detail: str) -> None:
        """Lists one."""
        row = {"split": split, "source_id": source_id, "change": what}
        self.changes.append({**row, "reason": reason, "detail": detail})


def fix(
    data: Found, survey: Survey, train: str, judges: Sequence[str], source: str, out: pathlib.Path
) -> dict[str, Any]:
    """Writes aside and renames; returns counts.

    source: of the data set, which is only read. Raises ExportError where OUT exists, or where no
    format holds what the set has.
    """
    to = format_for(survey)
    repaired = Repaired(
        data, left_out(survey.pictures, train, judges), twice(survey), [], collections.Counter()
    )
    for source_id, reason, detail in data.listing.rejected:
        repaired.change("", source_id, "sample left out", reason, detail)
    aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "data").mkdir(parents=True)
    not_held: collections.Counter[str] = collections.Counter()
    try:
        write = importlib.import_module(FORMATS[to]).write
        write(repaired, aside / "data", lambda kind, count: not_held.update({kind: count}))
        result = {
            "source": source,
            "format": to,
            "samples": dict(repaired.written),
            "not_held": {kind: count for kind, count in sorted(not_held.items()) if count},
        }
        by_change = collections.Counter(f"{c['change']}: {c['reason']}" for c in repaired.changes)
        result["changed"] = dict(sorted(by_change.items()))
        write_json(aside / CHANGES, {**result, "changes": repaired.changes})
        if out.is_dir():
            out.rmdir()  # empty: see check_output
        os.rename(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return {"output": str(out / "data"), "changes": str(out / CHANGES), **result}


def check_output(out: pathlib.Path, source: pathlib.Path) -> None:
    """Before anything is read. Raises ExportError."""
    inside = source.resolve()
    if inside in (out.resolve(), *out.resolve().parents):
        raise ExportError(f"--fix {out}: lies in {source}, which is never changed; choose another")
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise ExportError(f"--fix {out}: exists; choose another folder, or remove it")


def format_for(survey: Survey) -> str:
    """Of data/exports, the one that holds what the samples have. Raises ExportError."""
    splits = survey.statistics["splits"].values()

    def have(name: str) -> bool:
        return any(name in split["features"] for split in splits)

    if any(map(have, ("image/target/encoded", "text/string", "signal/encoded"))):
        raise ExportError("--fix: pairs of pictures, texts and signals have no repaired form")
    if any(split["label_maps"] for split in splits):
        return "voc"
    if any(
        have(name)
        for name in ("image/object/bbox/ymin", "image/caption/string", "image/object/mask")
    ):
        return "coco"
    several = next((p for p in survey.pictures if len(p.classes) != 1), None)
    if several:
        raise ExportError(
            f"--fix: {several.split}: {several.source_id} has {len(several.classes)} classes and "
            "no boxes: folders of classes hold one class per picture"
        )
    return "folder"


def left_out(
    pictures: Sequence[Picture], train: str, judges: Sequence[str]
) -> dict[tuple[str, str], tuple[str, str]]:
    """(split, source_id) -> (reason, detail) of pictures of the same bytes that do not stay."""
    order = [*sorted(judges, key=lambda name: name != "test"), train]
    rank = {split: place for place, split in enumerate(order)}
    by_content: dict[str, list[Picture]] = collections.defaultdict(list)
    for picture in pictures:
        by_content[picture.sha256].append(picture)
    gone: dict[tuple[str, str], tuple[str, str]] = {}
    for group in by_content.values():
        if len(group) < 2:
            continue
        said = {picture.annotation for picture in group}
        if len(said) > 1 and all(len(p.classes) == 1 for p in group) and not _same(group):
            names = ", ".join(f"{p.split}: {p.source_id}" for p in group[:4])
            why = "contradiction", f"the same bytes have several classes: {names}"
            gone |= {(p.split, p.source_id): why for p in group}
        elif len(said) == 1:
            first, *rest = sorted(group, key=lambda p: (rank.get(p.split, len(rank)), p.source_id))
            why = "copy", f"the same bytes and annotation as {first.split}: {first.source_id}"
            gone |= {(p.split, p.source_id): why for p in rest}
    return gone


def _same(group: Sequence[Picture]) -> bool:
    return len({picture.classes for picture in group}) == 1


def twice(survey: Survey) -> dict[tuple[str, str], list[int]]:
    """(split, source_id) -> rows of objects of one class in the very box of an earlier one."""
    rows: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for pair in survey.doubled:
        if pair.same and pair.overlap > 1 - 1e-6:
            rows[pair.split, pair.source_id].add(pair.second)
    return {key: sorted(found) for key, found in rows.items()}
