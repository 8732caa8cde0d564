"""Which pictures of a split are worst, and by which kind of error.

    judged = worst.of_evaluation(folder)            # an evaluator's, beside its records
    for bad in worst.ranked(judged, threshold=0.4, kind="missed", most=20):
        bad.source_id, bad.amount, bad.by_kind

Streams over predictions.jsonl and the records beside it, which the evaluator wrote in one order:
kept are 18 bytes of each VERDICT, never pictures. A task's kinds are its ERRORS, and what each
picture's line got wrong is its `judged` (pipeline/tasks). How bad a picture is: the sum of its
errors' amounts, which of an object that was missed is 1, of a false one its score. A line has boxes
to 0.01 pixel, so a detection in some ten thousand is of another kind than in metrics.json.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from convoy.data import example, tfrecord
from convoy.data.input.stored import shards
from convoy.data.sample import Sample
from convoy.pipeline import manifest, tasks, versions
from convoy.pipeline.evaluation import operating

PREDICTIONS = "predictions.jsonl"


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """All verdicts of a split of P pictures, in the order of its records."""

    kinds: tuple[str, ...]  # the task's ERRORS
    labels: tuple[str, ...]
    source_ids: tuple[str, ...]  # P
    lines: np.ndarray  # [P] int64, where each line of predictions.jsonl begins, bytes
    verdicts: np.ndarray  # [M] tasks.VERDICT
    pictures: np.ndarray  # [M] int32, to which picture each belongs

    def holds(self, threshold: float) -> np.ndarray:
        """[M] bool: the verdicts that are so where answers count from `threshold` on."""
        scores, below = self.verdicts["score"], self.verdicts["below"]
        # A threshold that is a file's float64 is compared as the float32 that it was.
        reached = scores >= np.float32(threshold)
        return np.isnan(scores) | (reached != below)

    def wrong(self, threshold: float, kind: str | None = None) -> np.ndarray:
        """[M] bool: errors of a kind, or all. Raises ValueError for another task's kind."""
        kinds = self.verdicts["kind"]
        if kind is None:
            return self.holds(threshold) & (kinds != tasks.RIGHT)
        if kind not in self.kinds:
            raise ValueError(f"no kind of error is called {kind!r}; there are {self.kinds}")
        return self.holds(threshold) & (kinds == self.kinds.index(kind))

    def amounts(self, threshold: float, kind: str | None = None) -> np.ndarray:
        """[P] float64: how bad each picture is."""
        wrong = self.wrong(threshold, kind)
        weights = self.verdicts["amount"][wrong]
        return np.bincount(self.pictures[wrong], weights, len(self.source_ids))

    def counts(self, threshold: float) -> dict[str, int]:
        """{kind: errors}."""
        kinds = self.verdicts["kind"][self.wrong(threshold)]
        counts = np.bincount(kinds, minlength=len(self.kinds)).tolist()
        return dict(zip(self.kinds, counts, strict=True))


@dataclasses.dataclass(frozen=True)
class Bad:
    """One picture with errors."""

    index: int  # of the record in its split, from 0
    source_id: str
    amount: float
    by_kind: dict[str, float]  # amounts, of the kinds that it has


def ranked(
    judged: Judged, threshold: float, kind: str | None = None, most: int | None = None
) -> list[Bad]:
    """Pictures with errors, of one kind or of any, the worst first; equal ones as in the records.

    most: how many at most.
    """
    amounts = judged.amounts(threshold, kind)
    order = np.argsort(-amounts, kind="stable")[:most]
    by_kind = {name: judged.amounts(threshold, name) for name in judged.kinds}
    return [
        Bad(
            i,
            judged.source_ids[i],
            float(amounts[i]),
            {name: float(values[i]) for name, values in by_kind.items() if values[i] > 0},
        )
        for i in order.tolist()
        if amounts[i] > 0
    ]


def judge(
    task: str,
    labels: Sequence[str],
    lines: Iterable[tuple[int, dict]],
    samples: Iterable[Sample],
) -> Judged:
    """Each line of predictions.jsonl, with the byte where it begins, beside its sample.

    Raises ValueError where they are not of the same pictures, and for a task without ERRORS.
    """
    module = tasks.of(task)
    if not hasattr(module, "judged"):
        raise ValueError(f"answers of {task} are not judged picture by picture")
    names, starts, verdicts, pictures = [], [], [], []
    for sample, stated in itertools.zip_longest(samples, lines):
        start, line = stated or (0, {})
        ours, theirs = (sample.source_id if sample else None), line.get("source_id")
        if ours is None or ours != theirs:
            raise ValueError(
                f"prediction {len(names)} is of {theirs!r}, the record of {ours!r}: these are not "
                "the records that were evaluated; run `convoy evaluate` again"
            )
        found = module.judged(sample, line, labels)
        verdicts.append(found)
        pictures.append(np.full(len(found), len(names), np.int32))
        names.append(sample.source_id)
        starts.append(start)
    return Judged(
        tuple(module.ERRORS),
        tuple(labels),
        tuple(names),
        np.array(starts, np.int64),
        np.concatenate([np.zeros(0, tasks.VERDICT), *verdicts]),
        np.concatenate([np.zeros(0, np.int32), *pictures]),
    )


def of_evaluation(evaluation: pathlib.Path, records: pathlib.Path | None = None) -> Judged:
    """Of an evaluator's folder. records: where they lie now, if not where they were evaluated.

    Raises FileNotFoundError for records or predictions that are gone, ValueError as `judge`.
    """
    about = about_of(evaluation)
    records = records or records_of(evaluation)
    if not records.is_dir():
        raise FileNotFoundError(
            f"{records}: the records that were evaluated are not there any more: "
            "run the recipe again, which makes them anew"
        )
    labels = manifest.class_names(records, about["task"])
    path = evaluation / PREDICTIONS
    return judge(about["task"], labels, lines_of(path), samples_of(records, about["split"]))


def about_of(evaluation: pathlib.Path) -> dict:
    """Its parameters, of which "task" and "split" say what was evaluated. Raises ValueError."""
    params = versions.read(evaluation / "run.json").get("params", {})
    if "task" not in params or "split" not in params:
        raise ValueError(f"{evaluation / 'run.json'}: says no task and split: not an evaluation")
    return params


def records_of(evaluation: pathlib.Path) -> pathlib.Path:
    """The records that were evaluated, also of a store that has moved since."""
    named = versions.read(evaluation / "run.json").get("inputs", {}).get("examples", "")
    records = pathlib.Path(named)
    inside = evaluation.parents[1] / "example_gen" / records.name
    return inside if inside.is_dir() or not records.is_dir() else records


def threshold_of(evaluation: pathlib.Path, task: str) -> float:
    """Where to begin: the mean of the classes' scores of best F1, else the task's own score.

    In hundredths, as the slider of `convoy look` has it: both count the same.
    """
    points = versions.read(evaluation / operating.FILE)
    if points:
        return round(float(np.mean(list(points.values()))), 2)
    return float(getattr(tasks.of(task), "SCORE", 0.0))


def lines_of(path: pathlib.Path) -> Iterator[tuple[int, dict]]:
    """(the byte where it begins, a line) of predictions.jsonl. Raises ValueError."""
    start = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield start, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: {error}") from None
            start += len(line)


def samples_of(records: pathlib.Path, split: str) -> Iterator[Sample]:
    """A split's, in the order in which it is evaluated. Raises SchemaError for newer records."""
    made = manifest.manifest_of(records)
    example.check_version([made.get("schema_version", example.SCHEMA_VERSION)])
    for shard in shards(records, split):
        yield from map(example.decode, tfrecord.read(shard))
