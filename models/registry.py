"""Networks by name. Reading the tables imports neither Keras nor TensorFlow; building does.

The tables are literal: rows_classification.py, rows_detection.py, rows_text.py. A row's module has
`build(variant, ...)`; it is imported when the network is built. The parameter and
multiply-accumulate counts are checked against the built networks by tests/models.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convoy.models import rows_classification, rows_detection, rows_text
from convoy.models.rows import Row
from convoy.models.spec import Classifier, Detector, Localizer, ModelInfo, Sentence, TextClassifier

if TYPE_CHECKING:
    import keras


MODELS = rows_classification.ROWS | rows_detection.ROWS | rows_text.ROWS
# What networks of a family's task can be built for.
SERVES = {"classification": ("classification", "multilabel", "localization")}
# What a classification network can end with: its own layers, or evidence of a map's positions.
HEADS = ("own", "weldon")


def list_models(task: str | None = None, pattern: str | None = None) -> list[str]:
    """Sorted names, of one family's task ("classification", ...) and one shell pattern if given."""
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


def tasks_of(name: str) -> tuple[str, ...]:
    """The tasks that a network can be built for, its family's own first."""
    task = _row(name).family.task
    return SERVES.get(task, (task,))


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
    task: str | None = None,
    num_classes: int | str = "default",
    input_size: tuple[int, int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
    label_loss: str = "sigmoid",
    head: str = "own",
    vocabulary: Sequence[str] = (),
    max_words: int | None = None,
) -> Classifier | Localizer | TextClassifier | Detector:
    """`build` with encode, loss and decode. Its info tells what was built, not the reference.

    task: one of tasks_of(name), None its own. label_loss: of multilabel, "sigmoid" | "softmax".
    head: of classification and multilabel; "weldon" replaces all behind the network's last map, see
    models/classification/weldon.py.
    Text: its vocabulary, and how many words of a sentence are seen; None the network's own.
    """
    if num_classes is None:
        raise ValueError(f"{name}: a task needs num_classes; only build() makes backbones")
    known = tasks_of(name)
    task = task or known[0]
    if task not in known:
        raise ValueError(f"{name} is for {' and '.join(known)}, not for {task}")
    if label_smoothing and task not in ("classification", "text"):
        raise ValueError(f"{name}: label_smoothing is for classification, got {label_smoothing}")
    if head not in HEADS:
        raise ValueError(f"{name}: head: expected one of {', '.join(HEADS)}, got {head!r}")
    if head != "own" and task not in ("classification", "multilabel"):
        raise ValueError(f"{name}: head {head} is for classification and multilabel, not {task}")
    words = (len(vocabulary), max_words) if task == "text" else None
    built, info = _build(name, num_classes, input_size, width, dropout, words, head)
    info = dataclasses.replace(info, task=task)
    if task == "detection":
        return built
    if task == "text":
        from convoy.models.text.task import classifier

        return classifier(built, info, vocabulary, label_smoothing)
    aux_weight = _row(name).family.aux_weight
    if task == "classification":
        from convoy.models.classification.task import classifier

        return classifier(built, info, label_smoothing, aux_weight)
    if task == "multilabel":
        from convoy.models.classification.multilabel import classifier

        return classifier(built, info, label_loss, aux_weight)
    from convoy.models.classification.localization import localizer

    return localizer(built, info, aux_weight)


def _build(name, num_classes, input_size, width, dropout, words=None, head="own"):
    """(keras.Model or Detector, ModelInfo with the actual size, classes and counts)."""
    row = _row(name)
    options = {"width": width, "dropout": dropout}
    if head == "weldon":  # it has dropout of its own, whatever the network has
        del options["dropout"]
    for key, default in (("width", 1.0), ("dropout", 0.0)):
        if key not in row.family.options and options.pop(key, default) != default:
            raise ValueError(f"{name} has no {key}: leave it at {default}")
    detects = row.family.task == "detection"
    if num_classes == "default":
        num_classes = row.num_classes
    if num_classes is None and row.family.task != "classification":
        kind = "detector" if detects else "text network"
        raise ValueError(f"{name}: a {kind} needs num_classes; build its backbone by its name")
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"{name}: expected num_classes >= 1, got {num_classes}")
    preprocess = row.preprocess
    if not isinstance(preprocess, Sentence):
        preprocess = dataclasses.replace(preprocess, size=tuple(input_size or preprocess.size))
    elif input_size:
        raise ValueError(f"{name} reads words: leave input_size out, got {tuple(input_size)}")
    elif words:
        options["words"] = words[0]
        preprocess = dataclasses.replace(preprocess, words=words[1] or preprocess.words)
    info = dataclasses.replace(describe(name), num_classes=num_classes, preprocess=preprocess)
    module = importlib.import_module(row.family.module)
    if head == "weldon":
        from convoy.models.classification import weldon

        maps = module.build(name, preprocess, num_classes=None, **options)
        built = weldon.on(maps, num_classes, dropout=dropout)
    else:
        given = info if detects else preprocess
        built = module.build(name, given, num_classes=num_classes, **options)
    from convoy.models import count

    model = built.model if detects else built
    info = dataclasses.replace(info, params=count.params(model), macs=count.macs(model))
    return dataclasses.replace(built, info=info) if detects else built, info


def _row(name: str) -> Row:
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.0)
        raise ValueError(f"unknown network {name!r}; the closest names are {', '.join(close)}")
    return MODELS[name]
