"""A trained run's network without the channels that its task does not use: `convoy prune`.

OUT/pruned is a trainer's folder (weights, and network.json with the widths), from which
`model.init_from` starts and which loads, evaluates and exports like any other. OUT itself is a run
folder: the pruned network fine-tuned by the run's recipe and evaluated; prune.json and prune.html
compare the three. How channels are chosen: models/pruning.py.
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from convoy.data.input.input import evaluation_batches
from convoy.models import pruning
from convoy.models import tasks as table
from convoy.models.heads import with_model
from convoy.pipeline import config, steps, tasks
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import UsageError
from convoy.pipeline.evaluation import predict
from convoy.pipeline.networks import network, trained
from convoy.pipeline.report import pages
from convoy.pipeline.tools import compare
from convoy.pipeline.training import loop

TOLERANCE = 1e-5  # of the largest logit, between the small network and the silenced one
PICTURES = 512  # of the training split, over which mean activations are taken


def run(
    path: str,
    out: str,
    *,
    keep: float,
    criterion: str,
    epochs: float,
    overrides: list[str],
    tell: Callable[[str], None],
) -> dict:
    """Prunes, fine-tunes (unless epochs is 0) and compares; returns what `--json` prints."""
    _check(keep, criterion, epochs)
    source, recipe = trained.find(path), _recipe(path, overrides)
    top = pathlib.Path(out).absolute()
    if (top / "result.json").exists() and trained.find(top) == source:
        raise UsageError(f"-o {out}: is the run that is pruned; name a folder for the smaller one")
    store = source.parents[1]
    steps.check_store(top, store)
    examples = _examples(source)
    rows = _prune(source, recipe, examples, top / "pruned", keep, criterion, tell)
    if epochs:
        raw = recipe.model_dump(mode="json")
        raw["run_dir"] = str(top)
        raw["model"].update(init_from=str(top / "pruned"), weights=None)
        raw["train"].update(mode="fine_tune", epochs=epochs, stages=[])
        raw["evaluate"]["tta"] = []  # as the other rows are measured
        job = steps.Job(config.parse(raw, f"{recipe.name}, pruned"), tell=tell, store=store)
        done = steps.run(job, "evaluator")
        tuned = compare.row(job, "fine-tuned", done["metrics"])
        metric = _metric(recipe)
        rows.append(
            {
                "network": "pruned, fine-tuned",
                **{key: tuned[key] for key in ("params", "macs", metric, "training_seconds")},
            }
        )
    result = {"keep": keep, "criterion": criterion, "pruned": str(top / "pruned"), "rows": rows}
    write_json(top / "prune.json", result)
    columns = ["params", "macs", _metric(recipe), "training_seconds"]
    cells = {row["network"]: [row.get(name) for name in columns] for row in rows}
    heads = [name.replace("_", " ") for name in columns]
    page = {"name": recipe.name, "keep": keep, "columns": heads, "rows": cells}
    pages.write(top / "prune.html", "prune.html", **page)
    return {"run_dir": str(top), "report": str(top / "prune.html"), **result}


def _check(keep: float, criterion: str, epochs: float) -> None:
    if not 0.0 < keep <= 1.0:
        raise UsageError(f"--keep: expected a part in (0, 1], got {keep:g}")
    if criterion not in pruning.CRITERIA:
        raise UsageError(
            f"--criterion: expected {' or '.join(pruning.CRITERIA)}, got {criterion!r}"
        )
    if epochs < 0:
        raise UsageError(f"--epochs: expected 0 (no fine-tuning) or more, got {epochs:g}")


def _examples(source: pathlib.Path) -> pathlib.Path:
    """The records that a training learnt from."""
    made = source / "run.json"
    if not made.exists():
        raise FileNotFoundError(
            f"{source} was not trained: it says of no records. What `convoy prune` wrote is a run "
            f"folder if it was fine-tuned: {source.parent}"
        )
    return pathlib.Path(json.loads(made.read_text())["inputs"]["examples"])


def _recipe(path: str, overrides: list[str]) -> Recipe:
    """Of the run folder, or of the run that a trainer's folder lies in."""
    source = trained.find(path)
    for top in (pathlib.Path(path), *source.parents[:3]):
        if (top / "config.yaml").exists():
            return config.load(top / "config.yaml", overrides)
    raise FileNotFoundError(
        f"{path}: the run's config.yaml is missing: give the run folder that the training lies in"
    )


def _metric(recipe: Recipe) -> str:
    return recipe.evaluate.metric or table.row(recipe.task).gate


def _prune(source, recipe: Recipe, examples, folder, keep, criterion, tell) -> list[dict]:
    """Writes the pruned network; returns the lines of the whole and of the small one."""
    if "extract" not in table.row(recipe.task).modes or recipe.train.mode == "extract":
        raise ValueError(
            f"prune: expected a trained classification network, got task {recipe.task}, train.mode "
            f"{recipe.train.mode}"
        )
    task, labels = network.load(source, precision="float32")

    def batches(split: str):
        stream = predict.stream_of(task, examples, split, 32)
        return (batch["image"].numpy() for batch in evaluation_batches(stream))

    importances = pruning.importance(
        task.model, criterion, _first(batches(recipe.data.train), PICTURES)
    )
    stays = pruning.choose(importances, keep)
    small = pruning.pruned(task.model, stays)
    difference = _difference(
        small, pruning.silenced(task.model, stays), next(batches(recipe.data.train))
    )
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"the pruned network answers {difference:.2e} of the largest logit away from the whole "
            f"one without these channels; at most {TOLERANCE:g} was expected"
        )
    total = sum(len(values) for values in importances.values())
    left = sum(len(kept) for kept in stays.values())
    tell(f"prune: {left} of {total} channels stay, outputs differ by {difference:.1e}")
    smaller = with_model(task, small)
    _write(folder, source, smaller, labels, {name: len(kept) for name, kept in stays.items()})
    rows = []
    for name, candidate in (("whole", task), ("pruned", smaller)):
        score = _score(candidate, recipe, examples, labels)
        rows.append(
            {"network": name, "params": candidate.info.params, "macs": candidate.info.macs, **score}
        )
    return rows


def _first(batches, pictures: int):
    for batch in batches:
        yield batch
        pictures -= len(batch)
        if pictures <= 0:
            return


def _difference(small, silenced, pictures: np.ndarray) -> float:
    """Largest difference of the logits, in parts of the largest logit."""
    expected = np.asarray(silenced(pictures, training=False))
    answered = np.asarray(small(pictures, training=False))
    return float(np.abs(answered - expected).max() / np.abs(expected).max())


def _write(folder: pathlib.Path, source: pathlib.Path, task, labels, widths: dict) -> None:
    """A trainer's folder: the source's description with the new widths, and the weights."""
    meta = json.loads((source / trained.META).read_text())
    widths = {**meta["model"].get("widths", {}), **widths}
    meta["model"].update(widths=widths, init_from=None, weights=None)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    loop.save_weights(task.model, folder / network.WEIGHTS)
    write_json(folder / trained.META, meta)


def _score(task, recipe: Recipe, examples: pathlib.Path, labels) -> dict:
    """The gate's metric on the test split."""
    stream = predict.stream_of(task, examples, recipe.data.test, recipe.evaluate.batch_size)
    predictor = predict.predictor(task, labels, predict.limits_of(recipe.task, recipe.export))
    metrics = tasks.of(recipe.task).Metrics(labels)
    numbers = predict.measure(metrics, predict.answers(predictor, stream))
    return {_metric(recipe): numbers[_metric(recipe)]}
