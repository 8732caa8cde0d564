"""Networks by name. Reading the tables imports neither Keras nor TensorFlow; building does.

The tables are literal: rows_classification.py, rows_detection.py. A row's module has
`build(variant, ...)`; it is imported when the network is built. The parameter and
multiply-accumulate counts are checked against the built networks by tests/models.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import importlib
from typing import TYPE_CHECKING

from models import rows_classification, rows_detection
from models.rows import Row
from models.spec import Classifier, Detector, ModelInfo

if TYPE_CHECKING:
    import keras


MODELS = rows_classification.ROWS | rows_detection.ROWS


def list_models(task: str | None = None, pattern: str | None = None) -> list[str]:
    """Sorted names, of one task ("classification" | "detection") and one shell pattern if given."""
    return sorted(
        name
        for name, row in MODELS.items()
        if task in (None, row.family.task) and (pattern is None or fnmatch.fnmatch(name, pattern))
    )


def describe(name: str) -> ModelInfo:
    """What is known of a network without building it. Unknown name: ValueError."""
    row = _row(name)
    return ModelInfo(
        name=name,
        task=row.family.task,
        paper=row.family.paper,
        year=row.family.year,
        params=row.params,
        macs=row.macs,
        num_classes=row.num_classes,
        preprocess=row.preprocess,
    )


def build(
    name: str,
    *,
    num_classes: int | str | None = "default",
    input_size: tuple[int, int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
) -> keras.Model | Detector:
    """A new network with random weights: a keras.Model, or a Detector for detection.

    num_classes "default" is the reference's; None returns a classifier's backbone, whose outputs
    are maps by stride, {"s4": ..., "s8": ..., ...}. input_size is (height, width) in pixels, None
    the network's own. Options that the network does not have must keep their defaults.
    """
    return _build(name, num_classes, input_size, width, dropout)[0]


def build_task(
    name: str,
    *,
    num_classes: int | str = "default",
    input_size: tuple[int, int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
) -> Classifier | Detector:
    """`build` with encode, loss and decode. Its info tells what was built, not the reference."""
    if num_classes is None:
        raise ValueError(f"{name}: a task needs num_classes; only build() makes backbones")
    built, info = _build(name, num_classes, input_size, width, dropout)
    if info.task == "detection":
        if label_smoothing:
            raise ValueError(
                f"{name}: label_smoothing is for classification, got {label_smoothing}"
            )
        return built
    from models.classification import task

    return task.classifier(built, info, label_smoothing, _row(name).family.aux_weight)


def _build(name, num_classes, input_size, width, dropout):
    """(keras.Model or Detector, ModelInfo with the actual size, classes and counts)."""
    row = _row(name)
    options = {"width": width, "dropout": dropout}
    for key, default in (("width", 1.0), ("dropout", 0.0)):
        if key not in row.family.options and options.pop(key) != default:
            raise ValueError(f"{name} has no {key}: leave it at {default}")
    detects = row.family.task == "detection"
    if num_classes == "default":
        num_classes = row.num_classes
    if num_classes is None and detects:
        raise ValueError(f"{name}: a detector needs num_classes; build its backbone by its name")
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"{name}: expected num_classes >= 1, got {num_classes}")
    size = tuple(input_size) if input_size else row.preprocess.size
    preprocess = dataclasses.replace(row.preprocess, size=size)
    info = dataclasses.replace(describe(name), num_classes=num_classes, preprocess=preprocess)
    module = importlib.import_module(row.family.module)
    built = module.build(name, info if detects else preprocess, num_classes=num_classes, **options)
    from models import count

    model = built.model if detects else built
    info = dataclasses.replace(info, params=count.params(model), macs=count.macs(model))
    return dataclasses.replace(built, info=info) if detects else built, info


def _row(name: str) -> Row:
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.0)
        raise ValueError(f"unknown network {name!r}; the closest names are {', '.join(close)}")
    return MODELS[name]
