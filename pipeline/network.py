"""From a recipe, or from a finished training, to a network in memory."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import keras
from absl import logging

import models
from models.spec import Classifier, Detector, Localizer, TextClassifier
from pipeline.artifacts import write_bytes, write_json
from pipeline.config import Model, Train

META = "network.json"
WEIGHTS = "model.weights.h5"
VOCABULARY = "vocabulary.txt"  # of a text network, a word a line
Task = Classifier | Localizer | TextClassifier | Detector


def build(
    model: Model,
    labels: Sequence[str],
    train: Train,
    seed: int = 0,
    *,
    task: str | None = None,
    vocabulary: Sequence[str] = (),
) -> Task:
    """A fresh network for these classes, its weights drawn from `seed`, in train.precision.

    task: the recipe's; None = what the network is made for. Raises ValueError for another one.
    """
    keras.config.set_dtype_policy(train.precision)
    keras.utils.set_random_seed(seed)
    options = {"width": model.width, "dropout": model.dropout}
    task = task or models.describe(model.name).task
    if task in ("classification", "text"):
        options["label_smoothing"] = train.label_smoothing
    if task == "multilabel":
        options["label_loss"] = train.label_loss
    if task == "text":
        options.update(vocabulary=vocabulary, max_words=model.max_words)
    return models.build_task(
        model.name, task=task, num_classes=len(labels), input_size=model.input_size, **options
    )


def describe(
    path: pathlib.Path,
    model: Model,
    labels,
    train: Train,
    *,
    task: str | None = None,
    vocabulary: Sequence[str] = (),
) -> None:
    """Writes what `load` needs beside the weights."""
    used = ("precision", "label_smoothing", "label_loss")
    write_json(
        path / META,
        {
            "model": model.model_dump(mode="json"),
            "task": task or models.describe(model.name).task,
            "labels": list(labels),
            "train": {name: getattr(train, name) for name in used},
        },
    )
    if vocabulary:
        write_bytes(path / VOCABULARY, "".join(f"{word}\n" for word in vocabulary).encode())


def load(path: pathlib.Path, precision: str | None = None) -> tuple[Task, list[str]]:
    """The trained network of a trainer's folder, and its class names."""
    path = pathlib.Path(path)
    if not (path / META).exists():
        raise FileNotFoundError(f"{path} holds no trained network ({META} is missing)")
    meta = json.loads((path / META).read_text())
    train = Train(**{**meta["train"], **({"precision": precision} if precision else {})})
    known = path / VOCABULARY
    vocabulary = known.read_text().splitlines() if known.exists() else ()
    options = {"task": meta.get("task"), "vocabulary": vocabulary}
    task = build(Model(**meta["model"]), meta["labels"], train, **options)
    task.model.load_weights(path / WEIGHTS)
    return task, meta["labels"]


def init_from(task: Task, path: pathlib.Path) -> dict[str, list[str]]:
    """Copies weights of equal name and shape from a trainer's folder; says what did not match."""
    precision = keras.config.dtype_policy().name
    source, _ = load(path, precision)
    theirs = {v.path: v for v in source.model.variables}
    report = {"matched": [], "missing": [], "mismatched": []}
    for variable in task.model.variables:
        other = theirs.get(variable.path)
        if other is None:
            report["missing"].append(variable.path)
        elif other.shape != variable.shape:
            report["mismatched"].append(f"{variable.path} {other.shape} -> {variable.shape}")
        else:
            variable.assign(other)
            report["matched"].append(variable.path)
    if not report["matched"]:
        raise ValueError(f"model.init_from {path}: not one weight has the name and shape of ours")
    logging.warning("init_from %s: %s", path, {k: len(v) for k, v in report.items()})
    for name in (*report["missing"], *report["mismatched"]):
        logging.warning("init_from: keeps its fresh weights: %s", name)
    return report
