"""`convoy benchmark NAME[@SIZE]...`: milliseconds forward and backward per batch, beside Keras.

Forward is the network in training mode and its loss; backward is what the gradients of all weights
add to it. No weight is updated. The twin is the same network of keras.applications with the same
loss and pixels, without preprocessing; a network that is not there has its own layers with Keras'
BatchNormalization for a twin. Both take turns in one process, so that a change of the machine's
load meets both, and the numbers are medians. Each network has a process of its own: its peak memory
is read before the twin is built, and holds Python and TensorFlow too.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Sequence

from convoy import models
from convoy.models import spec, tasks
from convoy.models.spec import Preprocess
from convoy.pipeline.errors import UsageError

# name -> network of keras.applications, and what makes it the same.
TWINS: dict[str, tuple[str, dict]] = {
    "vgg16": ("VGG16", {}),
    "vgg19": ("VGG19", {}),
    "inception_v3": ("InceptionV3", {}),
    "inception_resnet_v2": ("InceptionResNetV2", {}),
    "resnet50_v1": ("ResNet50", {}),
    "resnet101_v1": ("ResNet101", {}),
    "resnet152_v1": ("ResNet152", {}),
    "resnet50_v2_keras": ("ResNet50V2", {}),
    "resnet101_v2_keras": ("ResNet101V2", {}),
    "resnet152_v2_keras": ("ResNet152V2", {}),
    "mobilenet_v1": ("MobileNet", {"dropout": 0.0}),
    "mobilenet_v2": ("MobileNetV2", {}),
    "mobilenet_v3_large": (
        "MobileNetV3Large",
        {"dropout_rate": 0.0, "include_preprocessing": False},
    ),
    "mobilenet_v3_small": (
        "MobileNetV3Small",
        {"dropout_rate": 0.0, "include_preprocessing": False},
    ),
}
_HEADS = ("Model", "Input", "Param", "Depth", "Fwd ms", "Bwd ms")
_HEADS += ("Keras fwd", "Keras bwd", "ratio", "peak GB")


def run(
    words: list[str],
    *,
    batch: int = 20,
    size: int | None = None,
    rounds: int = 5,
    precision: str = "float32",
) -> list[dict]:
    """A row for each NAME[@SIZE], measured in its own process; {"name", "error"} if it failed."""
    from convoy.pipeline.tools import model_table

    networks = [(word, *model_table.parse(word, size)) for word in words]
    for _, name, _ in networks:
        try:
            info = models.describe(name)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if not isinstance(info.preprocess, Preprocess):
            raise UsageError(f"{name}: expected a network of pictures, it is for {info.task}")
        if not tasks.row(info.task).label_map:
            raise UsageError(f"{name}: expected a network of pictures, it learns words as well")
        if takes := models.takes_of(name):
            raise UsageError(f"{name}: expected a network of pictures, it takes {takes[0]} as well")
    for word, name, pixels in networks:
        try:
            model_table.build(name, pixels)
        except ValueError as error:  # a size that the network does not take
            raise UsageError(f"{word}: {error}") from error
    shared = {"batch": batch, "rounds": rounds, "precision": precision}
    return [
        in_child("convoy.pipeline.tools.benchmark", word, {"name": name, "size": pixels, **shared})
        for word, name, pixels in networks
    ]


def in_child(module: str, word: str, arguments: dict) -> dict:
    """The row that `python -m module ARGUMENTS` prints as its last line; or {"error"}."""
    command = [sys.executable, "-m", module, json.dumps(arguments)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if child.returncode:
        hint = "; was there enough memory?" if child.returncode < 0 else "; see above"
        return {"name": word, "error": f"{word}: ended with {child.returncode}{hint}"}
    return {"name": word, **json.loads(child.stdout.splitlines()[-1])}


def measure(
    name: str,
    size: tuple[int, int] | None = None,
    *,
    batch: int = 20,
    rounds: int = 5,
    precision: str = "float32",
) -> dict:
    """One row: the network's size and the median milliseconds of a batch, ours and Keras'."""
    import keras

    from convoy.models import count, structure

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"benchmark: expected Keras on TensorFlow, got {keras.backend.backend()}: gradients "
            "are taken by TensorFlow's tape"
        )
    keras.config.set_dtype_policy(precision)
    task = models.build_task(name, input_size=size)
    if task.takes or (task.around and task.wiring is not spec.on_pictures):
        raise ValueError(
            f"benchmark: {name} learns from more than the pictures of a batch; expected a network "
            "that sees pictures alone"
        )
    pixels = task.info.preprocess.shape
    layers = structure.lines(task.model)
    row = {
        "name": name,
        "input": list(pixels),
        "params": task.info.params,
        "macs": task.info.macs,
        "depth": structure.depth(layers),
        "batch": batch,
        "rounds": rounds,
        "precision": precision,
        "device": _device(),
    }
    images, targets = _batch(task, batch)
    calls = {"ours": _steps(task.model, task.loss, images, targets)}
    for call in calls["ours"].values():
        call()
    row["peak_gb"] = round(_peak_gb(), 2)
    twin = build_twin(name, pixels, task.info.num_classes) or plain(task.model)
    if twin is not None:
        row["twin"] = "keras.applications" if name in TWINS else "Keras' BatchNormalization"
        row["keras_params"] = count.params(twin)
        calls["keras"] = _steps(twin, task.loss, images, targets)
        for call in calls["keras"].values():
            call()
    return row | _medians(calls, rounds)


def build_twin(name: str, pixels: tuple[int, ...], num_classes: int):
    """The same network of keras.applications with logits as output; None where there is none."""
    import keras

    if name not in TWINS:
        return None
    of_keras, options = TWINS[name]
    options = {**options, "classes": num_classes, "input_shape": tuple(pixels)}
    build = getattr(keras.applications, of_keras)
    return build(weights=None, classifier_activation=None, **options)


def plain(model):
    """The same layers, with new weights, but Keras' own BatchNormalization; None without any."""
    import keras

    from convoy.models.layers import BatchNorm

    def copy(layer):
        kind = keras.layers.BatchNormalization if isinstance(layer, BatchNorm) else type(layer)
        return kind.from_config(layer.get_config())

    if not any(isinstance(layer, BatchNorm) for layer in model.layers):
        return None
    return keras.models.clone_model(model, clone_function=copy)


def _batch(task, batch: int):
    """Random pictures; a class for each, or one object in each."""
    import numpy as np
    import tensorflow as tf

    draw, pixels = np.random.default_rng(0), task.info.preprocess.shape
    images = tf.constant(draw.uniform(0, 255, (batch, *pixels)).astype(np.float32))
    classes = draw.integers(0, task.info.num_classes, (batch, 1))
    box = np.float32([[0.2, 0.3, 0.7, 0.8]]) * np.float32([*pixels[:2], *pixels[:2]])
    annotations = (
        {"labels": label, "boxes": box, "classes": label, "valid": np.array([True])}
        for label in classes
    )
    rows = [task.encode(annotation) for annotation in annotations]
    return images, tf.nest.map_structure(lambda *parts: tf.stack(parts), *rows)


def _steps(model, loss: Callable, images, targets) -> dict[str, Callable]:
    """{"forward", "both"}: functions that run one batch and return numbers when all is done.

    "both" returns the loss and the sum of the first value of each weight's gradient: what nobody
    asks for would be left out of the graph, control dependencies or not.
    """
    import tensorflow as tf

    from convoy.models import losses

    weights = [variable.value for variable in model.trainable_variables]

    def total():
        return losses.total(loss(targets, model(images, training=True)))

    def both():
        with tf.GradientTape() as tape:
            value = total()
        gradients = [g for g in tape.gradient(value, weights) if g is not None]
        firsts = [tf.cast(tf.reshape(g, [-1])[0], tf.float32) for g in gradients]
        return tf.stack([value, tf.add_n(firsts)])

    compiled = {"forward": tf.function(total), "both": tf.function(both)}
    return {name: lambda call=call: call().numpy() for name, call in compiled.items()}


def alternate(calls: dict[Hashable, Callable], rounds: int) -> tuple[dict, dict]:
    """Median milliseconds of each call, by the clock and of processor time.

    The order turns round from one round to the next.
    """
    times = {key: [] for key in calls}
    for turn in range(rounds):
        for key in calls if turn % 2 == 0 else reversed(calls):
            start = time.perf_counter(), time.process_time()
            calls[key]()
            ended = time.perf_counter(), time.process_time()
            times[key].append([1000 * (b - a) for a, b in zip(start, ended, strict=True)])
    wall, busy = (
        {key: statistics.median(pair[clock] for pair in pairs) for key, pairs in times.items()}
        for clock in (0, 1)
    )
    return wall, busy


def _medians(calls: dict[str, dict[str, Callable]], rounds: int) -> dict:
    """Milliseconds by name, and ratios.

    ratio: ours over Keras', forward and backward together; cpu_ratio: the same of processor time,
    which other programs on the machine disturb less.
    """
    keys = [(who, work) for work in ("forward", "both") for who in calls]
    wall, busy = alternate({(who, work): calls[who][work] for who, work in keys}, rounds)
    row = {}
    for who in calls:
        prefix = "" if who == "ours" else "keras_"
        row[f"{prefix}forward_ms"] = round(wall[who, "forward"], 2)
        row[f"{prefix}backward_ms"] = round(wall[who, "both"] - wall[who, "forward"], 2)
    if "keras" in calls:
        row["ratio"] = round(wall["ours", "both"] / wall["keras", "both"], 3)
        row["cpu_ratio"] = round(busy["ours", "both"] / max(busy["keras", "both"], 1e-3), 3)
    return row


def _device() -> str:
    import tensorflow as tf

    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def _peak_gb() -> float:
    """Of main memory, since the process began."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def text(rows: list[dict]) -> str:
    """The table; what was not measured is blank."""
    return aligned([_HEADS, *map(_cells, rows)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: dict) -> tuple[str, ...]:
    if "error" in row:
        return (row["name"], *("-",) * (len(_HEADS) - 1))
    height, width = row["input"][:2]
    numbers = ("forward_ms", "backward_ms", "keras_forward_ms", "keras_backward_ms")
    return (
        row["name"],
        str(height) if height == width else f"{height}x{width}",
        f"{row['params'] / 1e6:.1f}M",
        str(row["depth"]),
        *(f"{row[key]:.2f}" if key in row else "" for key in numbers),
        f"{row['ratio']:.3f}" if "ratio" in row else "",
        f"{row['peak_gb']:.2f}",
    )


if __name__ == "__main__":
    from convoy.pipeline.commands.verb import quiet_tensorflow

    quiet_tensorflow()
    arguments = json.loads(sys.argv[1])
    try:
        row = measure(arguments.pop("name"), arguments.pop("size"), **arguments)
    except ValueError as error:  # the parent tells it
        row = {"error": str(error)}
    print(json.dumps(row))
