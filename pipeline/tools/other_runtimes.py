"""`convoy export RUN --to onnx,...`: files for other runtimes, each proved before it gets its name.

Each file is run by its own runtime on pictures of the test split, one at a time, in turn with the
run's SavedModel. What it answers is compared with the network in float32: an exact file is refused
where an answer is further from it than export.tolerance, a file of fewer bits where the task's
metric on these pictures falls by more than `max_loss`.

    RUN/runtimes/onnx/          the file; see serving/runtimes/files.py
    RUN/runtimes/onnx.json      the proof, also of a file that was refused
    RUN/runtimes/README.md      the table
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import pathlib
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sample import Sample
from convoy.models import tasks as table
from convoy.models.heads import without_heads
from convoy.models.spec import Task
from convoy.pipeline import config, tasks
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.components.exporter import payload
from convoy.pipeline.errors import Refused
from convoy.pipeline.networks import network, trained
from convoy.pipeline.tools import exported
from convoy.serving import client, export, freeze, parts, questions, signatures
from convoy.serving.graphs import NotSplit
from convoy.serving.parts import Parts
from convoy.serving.questions import Question
from convoy.serving.runtimes import files, kinds

FOLDER, PAGE = "runtimes", "README.md"
SAVED = "SavedModel"
CALIBRATION = 100  # pictures of the training split
WARM = 3  # calls that are not timed
Ask = Callable[[Sequence[Question]], dict[str, np.ndarray]]


@dataclasses.dataclass
class Row:
    """What was measured of one form of the network."""

    name: str
    megabytes: float
    difference: float = 0.0  # from the network in float32, at most
    metric: float | None = None
    median_ms: float = 0.0
    verdict: str = ""
    seconds: list[float] = dataclasses.field(default_factory=list)


def run(
    run_dir: pathlib.Path,
    names: Sequence[str],
    changes: Sequence[str],
    *,
    pictures: int,
    max_loss: float,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The files that passed, by name, and the table. Raises Refused, after all were tried.

    changes: `export.key=value`. Raises ValueError, kinds.NotInstalled, files.NotConvertible.
    """
    kinds.check(names)
    recipe = config.load(run_dir / "config.yaml", changes)
    if table.row(recipe.task).request == "text":
        raise files.NotConvertible(
            f"{recipe.task}: the network reads words by tables, which these files have not; "
            "its SavedModel is served by `convoy serve`"
        )
    saved_model = exported.of_run(run_dir, changes, tell=tell)
    task, labels = network.load(trained.find(run_dir), "float32")
    task, report = without_heads(task), client.report_of(saved_model)
    limits = {name: report[name] for name in table.row(task.info.task).limits}
    function, reference = _reference(task, labels, tuple(report["input_size"]), limits)
    try:
        cut = parts.split(function)
    except NotSplit as error:
        raise files.NotConvertible(f"{task.info.name}: {error}") from error
    files.check(cut, task.info.name)
    records = exported.records_of(run_dir)
    samples = list(itertools.islice(_samples(records, recipe.data.test), pictures))
    top = run_dir / FOLDER
    top.mkdir(exist_ok=True)
    told = {"info": task.info, "labels": labels, "limits": limits}
    with contextlib.ExitStack() as stack:
        asks, asides = {SAVED: client.load_local(saved_model)}, {}
        for name in names:
            tell(f"{name}: {kinds.KINDS[name].file}")
            aside = asides[name] = top / f".{name}.partial"
            shutil.rmtree(aside, ignore_errors=True)
            stack.callback(shutil.rmtree, aside, ignore_errors=True)
            examples = _examples(records, recipe.data.train, cut)
            files.write(cut, aside, name, saved_model=saved_model, told=told, examples=examples)
            asks[name] = files.opened(aside)
        sizes = {SAVED: _megabytes(saved_model)}
        sizes |= {name: _megabytes(aside, kinds.KINDS[name]) for name, aside in asides.items()}
        rows = {name: Row(name, size) for name, size in sizes.items()}
        metric = recipe.evaluate.metric or table.row(task.info.task).gate
        truth = _measure(task, labels, limits, metric, reference, asks, rows, samples)
        tolerance = recipe.export.tolerance
        for name in names:
            rows[name].verdict = _refusal(rows[name], kinds.KINDS[name], truth, tolerance, max_loss)
            _keep(aside := asides[name], top / name, not rows[name].verdict)
            write_json(top / f"{name}.json", _proof(rows, name, metric, truth, len(samples)))
    refused = [row for row in rows.values() if row.verdict]
    page = _page(rows.values(), metric, truth, len(samples), task.info.name)
    write_bytes(top / PAGE, page.encode())
    result = {
        "run_dir": str(run_dir.absolute()),
        "files": {name: str(top / name) for name in names if not rows[name].verdict},
        "rows": {name: _public(row) for name, row in rows.items()},
        "page": page,
    }
    if refused:
        told = "; ".join(f"{row.name}: {row.verdict}" for row in refused)
        raise Refused(told, result)
    return result


def _reference(task: Task, labels: Sequence[str], size: tuple, limits: dict):
    """(the signature of the network in float32, what it answers)."""
    specs = export.specs_of(task, size)
    built = signatures.build(
        task, freeze.frozen(task.model, specs), labels=labels, input_size=size, **limits
    )
    function = built[signatures.DEFAULT].get_concrete_function()
    name, takes = signatures.input_of(task), task.takes

    def answer(asked: Sequence[Question]) -> dict[str, np.ndarray]:
        given = questions.inputs(asked, name, takes)
        found = built[signatures.DEFAULT](**{key: tf.constant(x) for key, x in given.items()})
        return {key: value.numpy() for key, value in found.items()}

    return function, answer


def _samples(records: pathlib.Path, split: str) -> Iterator[Sample]:
    for shard in shards(records, split):
        yield from map(decode, tfrecord.read(shard))


def _examples(records: pathlib.Path, split: str, cut: Parts) -> Iterator[np.ndarray]:
    """Inputs of the network of training pictures."""
    before = cut.before.function()
    name, *takes = cut.names.inputs
    for sample in itertools.islice(_samples(records, split), CALIBRATION):
        given = questions.inputs([payload(sample)], name, takes)
        made = before(*(tf.constant(given[each]) for each in cut.names.inputs))
        yield dict(zip(cut.names.made, made, strict=True))["image"].numpy()


def _measure(
    task: Task,
    labels: Sequence[str],
    limits: dict,
    metric: str,
    reference: Ask,
    asks: dict[str, Ask],
    rows: dict[str, Row],
    samples: Sequence[Sample],
) -> float | None:
    """Fills in the rows; the metric of the network in float32 is returned."""
    module = tasks.of(task.info.task)
    metrics = {name: module.Metrics(labels) for name in (*asks, "")}
    for ask in asks.values():
        for sample in samples[:WARM]:
            ask([payload(sample)])
    for sample in samples:
        asked = [payload(sample)]
        expected = reference(asked)
        metrics[""].update(sample, _first(expected))
        for name, ask in asks.items():
            began = time.perf_counter()
            received = ask(asked)
            rows[name].seconds.append(time.perf_counter() - began)
            apart = task.difference(expected, received, **limits)
            rows[name].difference = max(rows[name].difference, float(apart))
            metrics[name].update(sample, _first(received))
    for name, row in rows.items():
        row.metric = _number(metrics[name].result().get(metric))
        row.median_ms = 1000 * statistics.median(row.seconds)
    return _number(metrics[""].result().get(metric))


def _first(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values[0] for name, values in answers.items()}


def _number(value: Any) -> float | None:
    """None where a metric is not known, as of classes that no picture has."""
    return None if value is None or not math.isfinite(value) else float(value)


def _refusal(
    row: Row, kind: kinds.Kind, truth: float | None, tolerance: float, max_loss: float
) -> str:
    """Why a file is refused; "" = it is not."""
    if kind.form == "float32":
        if row.difference <= tolerance:
            return ""
        return (
            f"an answer differs by {row.difference:.4g} from the network's, expected at most "
            f"export.tolerance={tolerance:g}"
        )
    if truth is None:
        return ""
    loss = math.inf if row.metric is None else truth - row.metric
    if loss <= max_loss:
        return ""
    return (
        f"its metric falls from {truth:.4f} by {loss:.4f}, expected at most --max_loss={max_loss:g}"
    )


def _keep(aside: pathlib.Path, place: pathlib.Path, passed: bool) -> None:
    """A file that passed gets its name; one of a training before goes in either case."""
    if place.exists():
        place.rename(aside.with_name(f"{aside.name}.before"))
    if passed:
        aside.rename(place)
    shutil.rmtree(aside.with_name(f"{aside.name}.before"), ignore_errors=True)


def _megabytes(folder: pathlib.Path, kind: kinds.Kind | None = None) -> float:
    """Of a SavedModel, or of the file alone, weights that lie beside it included."""
    pattern = f"{pathlib.Path(kind.file).stem}.*" if kind else "**/*"
    found = [file for file in folder.glob(pattern) if file.is_file()]
    return sum(file.stat().st_size for file in found) / 1e6


def _public(row: Row) -> dict[str, Any]:
    known = dataclasses.asdict(row)
    del known["seconds"]
    known["verdict"] = row.verdict or "passed"
    return known


def _proof(rows: dict[str, Row], name: str, metric: str, truth, pictures: int) -> dict[str, Any]:
    compared = {"metric_name": metric, "metric_of_network": truth, "pictures": pictures}
    return {**_public(rows[name]), **compared, "saved_model": _public(rows[SAVED])}


def _page(rows, metric: str, truth: float | None, pictures: int, name: str) -> str:
    """The table in Markdown."""

    def said(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    lines = [
        f"{name} on {pictures} pictures of the test split, one at a time; {metric} of the network "
        f"in float32: {said(truth)}",
        "",
        f"| | difference | {metric} | MB | ms | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        told = "" if row.name == SAVED else row.verdict or "passed"
        lines.append(
            f"| {row.name} | {row.difference:.2g} | {said(row.metric)} | {row.megabytes:.1f} "
            f"| {row.median_ms:.1f} | {told} |"
        )
    return "\n".join([*lines, ""])
