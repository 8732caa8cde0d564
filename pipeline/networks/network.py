"""From a recipe, or from a finished training, to a network in memory."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
from absl import logging

from convoy import models
from convoy.data import labels as label_map
from convoy.models import pruning, tasks
from convoy.models.classification import extraction, weldon
from convoy.models.heads import with_model
from convoy.models.keras_internals import without_values
from convoy.models.spec import Channels, Preprocess, Task
from convoy.models.weights import convert
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.config import Model, Train
from convoy.pipeline.networks.trained import META, find

WEIGHTS = "model.weights.h5"
VOCABULARY = "vocabulary.txt"  # of a text network, one word per line
# Keys of a recipe's sections that are options of networks and tasks (models.registry.OPTIONS).
OF_MODEL = ("width", "dropout", "backbone", "anchors", "priors", "head", "max_words", "samples")
OF_TRAIN = ("label_smoothing", "label_loss", "dice", "border_weight")
OF_TRAIN += ("scheduled_sampling", "sampling_epochs")


def build(
    model: Model,
    labels: Sequence[str],
    train: Train,
    seed: int = 0,
    *,
    task: str | None = None,
    vocabulary: Sequence[str] = (),
    class_weights: Sequence[float] = (),
    scale: int = 1,
    series: Sequence[int] = (),
    channels: Channels | None = None,
) -> Task:
    """A fresh network for these classes, its weights drawn from `seed`, in train.precision.

    task: the recipe's; None = what the network is made for. class_weights: of the loss; a network
    that does not learn needs none. scale: of the records' targets; series: of their signals;
    channels: of their pictures.
    Raises ValueError for another task.
    """
    keras.config.set_dtype_policy(train.precision)
    keras.utils.set_random_seed(seed)
    if train.mode == "extract":
        return _extraction(model, labels, train)
    built = models.build_task(
        model.name,
        task=task,
        num_classes=len(labels),
        input_size=model.input_size,
        channels=channels,
        **{name: getattr(model, name) for name in OF_MODEL},
        **{name: getattr(train, name) for name in OF_TRAIN},
        vocabulary=tuple(vocabulary),
        class_weights=tuple(class_weights),
        scale=scale,
        series=tuple(series),
        **_of_labels(labels, task or models.tasks_of(model.name)[0]),
    )
    if model.widths:
        built = with_model(built, pruning.narrowed(built.model, model.widths))
    _suit_processor(built.model)
    return built


def _of_labels(labels: Sequence[str], task: str) -> dict:
    """What a task is told of the names of what it learns, as options of its build."""
    asked = tasks.row(task).options
    told: dict = {name: tuple(labels) for name in ("keypoints", "words") if name in asked}
    if "groups" in asked:
        told["groups"] = tuple(map(tuple, label_map.properties(labels).values()))
    return told


def _suit_processor(network: keras.Model) -> None:
    """Depthwise convolutions compute in float32 where bfloat16 would be a processor's.

    Their gradient in bfloat16 takes 3.5 times as long there; SSD-MobileNet's step becomes a fifth
    shorter at batches of 16 and 32. An accelerator keeps bfloat16.
    """
    import tensorflow as tf

    policy = keras.config.dtype_policy()
    accelerators = {device.device_type for device in tf.config.list_physical_devices()} - {"CPU"}
    if policy.compute_dtype != "bfloat16" or accelerators:
        return
    for layer in network.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.dtype_policy = keras.DTypePolicy("float32")


def in_float32(task: Task, path: pathlib.Path) -> tuple[Task, Callable[[], None]]:
    """(the task in float32, as it is evaluated; what gives it the weights of now).

    path: a folder that `describe` wrote. A network that computes in float32 is its own.
    """
    before = keras.config.dtype_policy()
    if before.compute_dtype == "float32":
        return task, lambda: None
    twin = _described(path, "float32")
    keras.config.set_dtype_policy(before)

    def refresh() -> None:
        for mine, theirs in zip(twin.model.variables, task.model.variables, strict=True):
            mine.assign(theirs.numpy())

    return twin, refresh


def _extraction(model: Model, labels: Sequence[str], train: Train) -> Task:
    """Networks up to the layer that is read, and a fresh linear layer."""
    parts = model.features or (model,)
    networks = []
    for part in parts:
        size = part.input_size or model.input_size
        built = models.build(part.name, input_size=size, width=part.width)
        if models.describe(part.name).task != extraction.TASK:
            raise ValueError(f"train.mode extract: {part.name} is no {extraction.TASK} network")
        if part.widths:
            built = pruning.narrowed(built, part.widths)
        networks.append((part.name, built, part.feature_layer))
    info = models.describe(parts[0].name)
    size = model.input_size or networks[0][1].input.shape[1:3]
    info = dataclasses.replace(info, preprocess=dataclasses.replace(info.preprocess, size=size))
    return extraction.build(
        networks,
        info,
        num_classes=len(labels),
        unit_length=train.feature_scale == "l2",
        label_smoothing=train.label_smoothing,
    )


def describe(
    path: pathlib.Path,
    model: Model,
    labels,
    train: Train,
    *,
    task: str | None = None,
    vocabulary: Sequence[str] = (),
    scale: int = 1,
    series: Sequence[int] = (),
    channels: Channels | None = None,
) -> None:
    """Writes what `load` needs beside the weights."""
    used = ("mode", "feature_scale", "precision", "label_smoothing", "label_loss")
    write_json(
        path / META,
        {
            "model": model.model_dump(mode="json"),
            "task": task or models.describe(model.name).task,
            "labels": list(labels),
            "train": {name: getattr(train, name) for name in used},
            "scale": scale,
            **({"series": list(series)} if series else {}),
            "channels": channels and dataclasses.asdict(channels),
        },
    )
    if vocabulary:
        write_bytes(path / VOCABULARY, "".join(f"{word}\n" for word in vocabulary).encode())


def load(path: pathlib.Path, precision: str | None = None) -> tuple[Task, list[str]]:
    """The trained network of a trainer's folder, and its class names."""
    task = _described(path, precision)
    path = find(path)
    task.model.load_weights(path / WEIGHTS)
    return task, json.loads((path / META).read_text())["labels"]


def _described(path: pathlib.Path, precision: str | None = None, more: int = 0) -> Task:
    """A fresh network as a trainer's folder describes it, for `more` classes beside its own."""
    path = find(path)
    meta = json.loads((path / META).read_text())
    train = Train(**{**meta["train"], **({"precision": precision} if precision else {})})
    known = path / VOCABULARY
    vocabulary = known.read_text().splitlines() if known.exists() else ()
    options = {"task": meta.get("task"), "vocabulary": vocabulary, "scale": meta.get("scale", 1)}
    options["series"] = meta.get("series", ())
    if told := meta.get("channels"):
        options["channels"] = Channels.read(told)
    labels = [*meta["labels"], *(f"more={n}" for n in range(1, more + 1))]
    return build(Model(**meta["model"]), labels, train, **options)


def with_source_widths(model: Model) -> Model:
    """The recipe's network, as narrow as the pruned one that its weights come from."""
    update: dict = {"features": tuple(with_source_widths(part) for part in model.features)}
    if model.init_from and not model.widths:
        source = json.loads((find(model.init_from) / META).read_text())["model"]
        if source["name"] == model.name:
            update["widths"] = source.get("widths", {})
    return model.model_copy(update=update)


def initialise(task: Task, model: Model, labels: Sequence[str]) -> dict:
    """Puts the weights into a network that the recipe starts from; says what did not match."""
    if model.weights:
        return _published(task, model)
    if not model.features:
        return init_from(task, pathlib.Path(model.init_from), labels) if model.init_from else {}
    inside = {layer.name: layer for layer in task.model.layers}
    report = {}
    names = extraction.part_names([part.name for part in model.features])
    for name, part in zip(names, model.features, strict=True):
        network = dataclasses.replace(task, model=inside.get(name, task.model))
        report[name] = initialise(network, part, labels)
    return report


def _published(task: Task, model: Model) -> dict[str, list[str]]:
    """A file's weights, of a network with WELDON's head into what is before that head."""
    from convoy.pipeline.networks import pretrained

    name = model.name.removeprefix(weldon.PREFIX)
    if model.head == "own" and name == model.name:
        return pretrained.load(task, name, model.weights, model.width, model.backbone)
    before = dataclasses.replace(task, model=weldon.backbone(task.model))
    report = pretrained.load(before, name, model.weights, model.width)
    fresh = [f"scores/{weight.name}" for weight in task.model.get_layer("scores").weights]
    logging.warning("weights: the head keeps its fresh weights: %s", ", ".join(fresh))
    return {**report, "missing": [*report["missing"], *fresh]}


def init_from(task: Task, path: pathlib.Path, labels: Sequence[str]) -> dict[str, list[str]]:
    """Copies weights of equal name and shape from a trainer's folder; says what did not match.

    Weights that tell classes apart are kept fresh where theirs are other classes than `labels`:
    as many classes are not the same ones. Raises ValueError, with nothing copied, where less than
    half of either network, but for those, is found in the other.
    """
    precision = keras.config.dtype_policy().name
    source, known = load(path, precision)
    theirs = {v.path: v for v in source.model.variables}
    of_classes = set() if list(known) == list(labels) else _of_classes(path, source, precision)
    report = {"matched": [], "missing": [], "mismatched": []}
    pairs = []
    spread = _spread(task, source)
    for variable in task.model.variables:
        other = theirs.get(variable.path)
        if variable.path in spread:
            pairs.append((variable, spread[variable.path]))
            report["matched"].append(variable.path)
        elif other is None:
            report["missing"].append(variable.path)
        elif other.shape != variable.shape:
            report["mismatched"].append(f"{variable.path} {other.shape} -> {variable.shape}")
        elif variable.path in of_classes:
            report["mismatched"].append(f"{variable.path}, of other classes: {_short(known)}")
        else:
            pairs.append((variable, other))
            report["matched"].append(variable.path)
    matched = _numbers(variable for variable, _ in pairs)
    ours, source_has = (
        _numbers(v for v in model.variables if v.path not in of_classes)
        for model in (task.model, source.model)
    )
    if 2 * matched < min(ours, source_has):
        raise ValueError(
            f"model.init_from {path}: holds {source.info.name}, the recipe's network is "
            f"{task.info.name}: {matched:,} of its {ours:,} weights have "
            "their name and shape there, too few to be the same network. Nothing was loaded. "
            f"It differs in {_short([*report['mismatched'], *report['missing']])}"
        )
    for variable, other in pairs:
        variable.assign(other)
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in report.items())
    logging.warning("init_from %s, a %s: %s", path, source.info.name, counts)
    if spread:
        count = task.info.preprocess.channels
        logging.warning("init_from: %s: from RGB to %d channels", ", ".join(spread), count)
    for name in (*report["missing"], *report["mismatched"]):
        logging.warning("init_from: keeps its fresh weights: %s", name)
    return report


def _spread(task: Task, source: Task) -> dict[str, np.ndarray]:
    """Of the first layer's variables, where the source sees RGB and this network does not."""
    ours, theirs = task.info.preprocess, source.info.preprocess
    if not isinstance(ours, Preprocess) or ours.channel_order != "bands":
        return {}
    if not isinstance(theirs, Preprocess) or theirs.channel_order not in ("rgb", "bgr"):
        return {}
    graph = convert.Graph(task.model)
    first = graph.first
    found = next((layer for layer in source.model.layers if layer.name == first.name), None)
    shape = getattr(getattr(found, "kernel", None), "shape", ())
    if len(shape) != 4 or shape[2] != 3:
        return {}
    kernel, bias = convert.spread(found.kernel.numpy(), theirs, ours.channels)
    if kernel.shape != tuple(first.kernel.shape):
        return {}
    values = {first.kernel.path: kernel}
    if bias is not None and first.use_bias:
        values[first.bias.path] = found.bias.numpy() + bias
    elif bias is not None and (norm := graph.norms.get(first.name)) is not None:
        other = next(layer for layer in source.model.layers if layer.name == norm.name)
        values[norm.moving_mean.path] = other.moving_mean.numpy() - bias
    return values


def _numbers(variables) -> int:
    """How many numbers they hold."""
    return sum(math.prod(variable.shape) for variable in variables)


def _of_classes(path: pathlib.Path, source: Task, precision: str) -> set[str]:
    """Names of the weights whose shape depends on how many classes there are."""
    with without_values():
        wider = _described(path, precision, more=1)
    shapes = {v.path: v.shape for v in wider.model.variables}
    return {v.path for v in source.model.variables if shapes[v.path] != v.shape}


def _short(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
