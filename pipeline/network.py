"""From a recipe, or from a finished training, to a network in memory."""

from __future__ import annotations

import json
import pathlib

import keras
from absl import logging

import models
from models.spec import Classifier, Detector
from pipeline.artifacts import write_json
from pipeline.config import Model, Train

META = "network.json"
WEIGHTS = "model.weights.h5"


def build(
    model: Model, labels: list[str] | tuple[str, ...], train: Train, seed: int = 0
) -> Classifier | Detector:
    """A fresh network for these classes, its weights drawn from `seed`, in train.precision."""
    keras.config.set_dtype_policy(train.precision)
    keras.utils.set_random_seed(seed)
    options = {"width": model.width, "dropout": model.dropout}
    if models.describe(model.name).task == "classification":
        options["label_smoothing"] = train.label_smoothing
    return models.build_task(
        model.name, num_classes=len(labels), input_size=model.input_size, **options
    )


def describe(path: pathlib.Path, model: Model, labels, train: Train) -> None:
    """Writes what `load` needs beside the weights."""
    write_json(
        path / META,
        {
            "model": model.model_dump(mode="json"),
            "labels": list(labels),
            "train": {"precision": train.precision, "label_smoothing": train.label_smoothing},
        },
    )


def load(
    path: pathlib.Path, precision: str | None = None
) -> tuple[Classifier | Detector, list[str]]:
    """The trained network of a trainer's folder, and its class names."""
    path = pathlib.Path(path)
    if not (path / META).exists():
        raise FileNotFoundError(f"{path} holds no trained network ({META} is missing)")
    meta = json.loads((path / META).read_text())
    train = Train(**{**meta["train"], **({"precision": precision} if precision else {})})
    task = build(Model(**meta["model"]), meta["labels"], train)
    task.model.load_weights(path / WEIGHTS)
    return task, meta["labels"]


def init_from(task: Classifier | Detector, path: pathlib.Path) -> dict[str, list[str]]:
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
