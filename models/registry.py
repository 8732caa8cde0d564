"""Networks by name. Reading the tables imports neither Keras nor TensorFlow; building does.

The tables are literal: rows_classification.py, rows_detection.py and so on, one file for each kind
of network. A row's module is imported when the network is built:

    build(variant, preprocess, num_classes=, **options) -> keras.Model; num_classes=None gives its
        backbone, {"s4": ..., "s8": ..., ...}
    build(variant, info, backbone, num_classes=, **options) -> models.spec.Task or keras.Model, of a
        row that names a backbone: a network of the table, built with num_classes=None

The parameter and multiply-accumulate counts are checked against the built networks by tests/models.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import importlib
from typing import TYPE_CHECKING, Any

from convoy.models import (
    rows_captioning,
    rows_classification,
    rows_detection,
    rows_instance,
    rows_pose,
    rows_restoration,
    rows_segmentation,
    rows_signals,
    rows_text,
    tasks,
)
from convoy.models.rows import Row
from convoy.models.spec import Channels, ModelInfo, Preprocess, Sentence, Signal, Task

if TYPE_CHECKING:
    import keras


MODELS = (
    rows_classification.ROWS
    | rows_detection.ROWS
    | rows_segmentation.ROWS
    | rows_instance.ROWS
    | rows_restoration.ROWS
    | rows_pose.ROWS
    | rows_text.ROWS
    | rows_signals.ROWS
    | rows_captioning.ROWS
)
# What can be asked of a network or a task, and the value that asks for nothing. Rows of networks
# (Family.options) and of tasks (TaskRow.options) say which of them have a use for it.
OPTIONS: dict[str, Any] = {
    "width": 1.0,  # factor of the numbers of channels
    "dropout": 0.0,  # before the last layer
    "backbone": None,  # name of the network that a detector stands on; None its own
    "anchors": (),  # of YOLO networks: (width, height)s in pixels of the input; () their own
    "priors": "voc",  # of an SSD of the paper: "voc" | "coco", the data set for whose sizes
    "head": "own",  # or "weldon": evidence of its last map's positions instead of its own layers
    "label_smoothing": 0.0,
    "class_weights": (),  # in the loss, one number per class; () = 1 each
    "dice": 0.0,  # weight of Dice's loss beside the cross entropy of pixels
    "border_weight": 0.0,  # of the gaps between objects: U-Net's w0
    "label_loss": "sigmoid",  # of several classes per picture: "sigmoid" | "softmax"
    "groups": (),  # classes of each property of a picture, which exclude each other
    "vocabulary": (),  # words of a text network
    "scale": 1,  # sides of a restored picture in sides of the one that is sent
    "keypoints": (),  # names of those that a network finds; () = known by their number alone
    "max_words": None,  # of a sentence that are seen or said; None the network's own number
    "words": (),  # that a network says, by their numbers; () = known by their number alone
    "scheduled_sampling": 0.0,  # part of the words before which a network is told its own one
    "sampling_epochs": 25.0,  # until that part is reached
    "samples": None,  # of a sound or series that are seen; None the network's own number
    "series": (),  # (samples of the longest, channels) of a series network's data
}


def list_models(task: str | None = None, pattern: str | None = None) -> list[str]:
    """Sorted names, of the networks of one task and of one shell pattern, if given.

    Raises ValueError for a task that is none.
    """
    if task is not None:
        tasks.row(task)
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
    own = _row(name).family.task
    return tuple(task for task, row in tasks.TASKS.items() if row.networks == own)


def backbone_of(name: str) -> str:
    """Name of the network that a detector stands on where no other is asked for; "" for none."""
    return _row(name).backbone


def takes_of(name: str) -> tuple[str, ...]:
    """What a network is given beside the picture, such as proposals; see models.spec.Task."""
    return _row(name).family.takes


def build(
    name: str,
    *,
    num_classes: int | str | None = "default",
    input_size: tuple[int, int] | None = None,
    channels: Channels | None = None,
    **options,
) -> keras.Model:
    """A new network with random weights.

    num_classes "default" is the reference's; None returns the backbone, whose outputs are maps by
    stride, {"s4": ..., "s8": ..., ...}. input_size is (height, width) in pixels, None the
    network's own. channels: of pictures that are no 8-bit RGB. options: those of OPTIONS that the
    network has a use for; others must keep their defaults. Raises ValueError.
    """
    own, _ = _options(name, _row(name).family.task, options)
    made, _ = _make(name, num_classes, input_size, channels, own)
    return made.model if isinstance(made, Task) else made


def build_task(
    name: str,
    *,
    task: str | None = None,
    num_classes: int | str = "default",
    input_size: tuple[int, int] | None = None,
    channels: Channels | None = None,
    **options,
) -> Task:
    """`build` with what is learnt and answered. Its info tells what was built, not the reference.

    task: one of tasks_of(name), None its own. options: as `build`'s, and those of the task.
    """
    if num_classes is None:
        raise ValueError(f"{name}: a task needs num_classes; only build() makes backbones")
    known = tasks_of(name)
    task = task or known[0]
    if task not in known:
        raise ValueError(f"{name} is for {' and '.join(known)}, not for {task}")
    own, learning = _options(name, task, options)
    made, info = _make(name, num_classes, input_size, channels, own)
    if aux_weight := _row(name).family.aux_weight:
        learning["aux_weight"] = aux_weight
    module = importlib.import_module(tasks.TASKS[task].module)
    return module.build(made, dataclasses.replace(info, task=task), **learning)


def _options(name: str, task: str, options: dict[str, Any]) -> tuple[dict, dict]:
    """(what the network is built with, what its task is built with). Raises ValueError."""
    row = tasks.TASKS[task]
    of_network = (*_row(name).family.options, *(["head"] if len(row.heads) > 1 else []))
    weldon = options.get("head") == "weldon"  # which has dropout of its own
    own: dict[str, Any] = {"dropout": OPTIONS["dropout"]} if weldon else {}
    learning: dict[str, Any] = {}
    for key, value in options.items():
        if key not in OPTIONS:
            close = difflib.get_close_matches(key, OPTIONS, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(OPTIONS)}"
            raise ValueError(f"{name}: no option is called {key!r}; {hint}")
        if key in of_network or (key == "dropout" and weldon):
            own[key] = value
        elif key in row.options:
            learning[key] = value
        elif value != OPTIONS[key]:
            known = [
                other
                for other, row in tasks.TASKS.items()
                if key in row.options or (key == "head" and value in row.heads)
            ]
            if known:
                raise ValueError(f"{name}: {key} is for {' and '.join(known)}, not {task}")
            raise ValueError(f"{name} has no {key}: leave it at {OPTIONS[key]}")
    if own.get("head", "own") not in row.heads:
        raise ValueError(
            f"{name}: head: expected one of {', '.join(row.heads)}, got {own['head']!r}"
        )
    if learning.get("vocabulary"):
        own["words"] = len(learning["vocabulary"])
    learning.pop("series", None)  # of the network alone, where it has a use for it
    return own, learning


def _make(
    name: str, num_classes, input_size, channels: Channels | None, options: dict
) -> tuple[keras.Model | Task, ModelInfo]:
    """The network, and its ModelInfo with the actual size, classes and counts."""
    row = _row(name)
    if num_classes == "default":
        num_classes = row.num_classes
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"{name}: expected num_classes >= 1, got {num_classes}")
    options = dict(options)
    lengths = {key: options.pop(key, None) for key in ("max_words", "samples", "series")}
    preprocess = _fitted(name, input_size, **lengths)
    if channels is not None:
        preprocess = _of_channels(name, preprocess, channels)
    if num_classes is None and not isinstance(preprocess, Preprocess):
        raise ValueError(f"{name} needs num_classes: it has no maps by stride")
    info = dataclasses.replace(describe(name), num_classes=num_classes, preprocess=preprocess)
    module = importlib.import_module(row.family.module)
    head = options.pop("head", "own")
    if row.backbone:
        asked = options.pop("backbone", None)
        backbone, info = _backbone(name, asked, info, channels, options)
        if num_classes is None:
            return backbone, info
        made = module.build(name, info, backbone, num_classes=num_classes, **options)
        if isinstance(made, Task):
            made = dataclasses.replace(made, takes=row.family.takes)
    elif head == "weldon":
        from convoy.models.classification import weldon

        dropout = options.pop("dropout")
        maps = module.build(name, preprocess, num_classes=None, **options)
        made = weldon.on(maps, num_classes, dropout=dropout)
    else:
        made = module.build(name, preprocess, num_classes=num_classes, **options)
    from convoy.models import count

    model = made.model if isinstance(made, Task) else made
    return made, dataclasses.replace(info, params=count.params(model), macs=count.macs(model))


def _fitted(
    name: str, input_size, max_words: int | None, samples: int | None, series: tuple[int, int]
) -> Preprocess | Sentence | Signal:
    """The network's preprocessing for another size, number of words, or of samples and channels."""
    preprocess = _row(name).preprocess
    if isinstance(preprocess, Preprocess):
        return dataclasses.replace(preprocess, size=tuple(input_size or preprocess.size))
    if input_size:
        what = "reads words" if isinstance(preprocess, Sentence) else "hears samples"
        raise ValueError(f"{name} {what}: leave input_size out, got {tuple(input_size)}")
    if isinstance(preprocess, Sentence):
        return dataclasses.replace(preprocess, words=max_words or preprocess.words)
    longest, channels = series or (preprocess.samples, preprocess.channels)
    return dataclasses.replace(preprocess, samples=samples or longest, channels=channels)


def _of_channels(name: str, preprocess, channels: Channels) -> Preprocess:
    """The preprocessing for pictures of other channels or bits. Raises ValueError."""
    if not isinstance(preprocess, Preprocess):
        raise ValueError(f"{name} sees no pictures: leave data.channels out, got {channels.count}")
    if _row(name).family.takes:
        raise ValueError(
            f"{name} is given more than pictures, of 8-bit RGB: leave data.channels out"
        )
    return channels.of(preprocess)


def _backbone(name: str, asked: str | None, info: ModelInfo, channels, options: dict):
    """(the network that `name` stands on, info with the pixels as that network wants them).

    Another backbone than the row's brings its own normalisation of pixels, so that its trained
    weights see what they know; size and way of resizing stay the detector's.
    """
    row = _row(name)
    body = _row(asked or row.backbone)
    if body.backbone or not isinstance(body.preprocess, Preprocess):
        raise ValueError(f"{name}: backbone: {asked} has no maps by stride: expected a classifier")
    if asked in (None, row.backbone):
        preprocess, given = info.preprocess, dict(row.backbone_options)
    else:
        size, resize = info.preprocess.size, info.preprocess.resize
        preprocess = dataclasses.replace(body.preprocess, size=size, resize=resize, crop_pct=1.0)
        if channels is not None:
            preprocess = channels.of(preprocess)
        given = {}
    narrows = "width" in body.family.options or row.family.crops  # of regions: full layers alone
    if options.get("width", 1.0) != 1.0 and not narrows:
        raise ValueError(f"{name}: its backbone {asked or row.backbone} has no width")
    given |= {key: options[key] for key in body.family.options if key in options}
    module = importlib.import_module(body.family.module)
    regions = row.family.crops and info.num_classes is not None  # else the picture
    size = body.preprocess.size if regions else preprocess.size
    looks = dataclasses.replace(preprocess, size=size)
    backbone = module.build(asked or row.backbone, looks, num_classes=None, **given)
    return backbone, dataclasses.replace(info, preprocess=preprocess)


def _row(name: str) -> Row:
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.0)
        raise ValueError(f"unknown network {name!r}; the closest names are {', '.join(close)}")
    return MODELS[name]
