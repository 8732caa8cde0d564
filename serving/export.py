"""A trained network as a SavedModel: the fastest form whose answers stay true to it.

Three forms with the same signatures are tried (see `serving.signatures`):
    float32          weights as variables
    frozen_float32   weights as constants, which TensorFlow optimises at load time
    frozen_bfloat16  the same, computing in bfloat16; answers are float32
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import platform
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from convoy.models.heads import without_heads
from convoy.models.spec import Preprocess, Task
from convoy.serving import freeze, questions, signatures, warmup
from convoy.serving.card import model_card
from convoy.serving.questions import Question

FORMS = {
    "auto": ("float32", "frozen_float32", "frozen_bfloat16"),
    "float32": ("float32", "frozen_float32"),
    "bfloat16": ("frozen_bfloat16",),
}
EXTRA = "assets.extra"


class ExportError(ValueError):
    """The network cannot be exported as asked; the message says why."""


def export(
    task: Task,
    path: str | os.PathLike,
    *,
    labels: Sequence[str],
    input_size: tuple[int, ...],
    samples: Sequence[bytes | Question],
    precision: str = "auto",
    tolerance: float = 0.02,
    name: str | None = None,
    card: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    budget_s: float = 4.0,
    **limits,
) -> dict[str, Any]:
    """Writes the SavedModel `path` (aside, then renamed) and returns the report.

    samples: encoded pictures, or sentences, to measure, compare and warm up with; at least one.
    Those of a task that takes more are Questions.
    input_size: of pictures (height, width) in pixels, None for any; of others their shape.
    precision: "auto" | "float32" | "bfloat16": which forms compete.
    tolerance: largest `task.difference` from the float32 network in memory.
    name: the model's name in warm-up requests.
    card: {"data": {name: value}, "metrics": {name: value}}, for the model card.
    given: {"proposals": how they are made} of what the task takes, for whoever asks the model.
    limits: of the task's decoding, as its row in models/tasks.py names them.
    The report is also written as `export_report.json` beside `path` and in its assets.extra.
    """
    path = pathlib.Path(path)
    task = without_heads(task)
    _check(task, labels, precision, samples)
    build = {"labels": labels, "input_size": tuple(input_size), **limits}
    reference = in_memory(task, **build)
    expected = [reference([sample]) for sample in samples]

    aside = path.with_name(f".{path.name}.partial")  # one name: a killed export's is swept away
    shutil.rmtree(aside, ignore_errors=True)
    try:
        forms = {}
        for form in FORMS[precision]:
            save(task, aside / form, form, **build)
            forms[form] = {"bytes": _size(aside / form)}
        name_of_input = signatures.input_of(task)
        apart = functools.partial(task.difference, **limits)
        requests = [_tensors(task, [sample]) for sample in samples]
        _measure(aside, forms, expected, requests, apart, budget_s)
        chosen = _choose(forms, tolerance)
        report = {
            "network": task.info.name,
            "task": task.info.task,
            "precision": precision,
            "chosen": chosen,
            "tolerance": tolerance,
            "forms": forms,
            "input_size": list(input_size),
            "labels": len(labels),
            **_pictures(task),
            **({"takes": {name: (given or {}).get(name) for name in task.takes}}),
            **limits,
            "samples": len(samples),
            "environment": {
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "machine": platform.machine(),
            },
        }
        model = aside / chosen
        warmup.write(model, name or task.info.name, samples[:8], (1, 4), name_of_input, task.takes)
        (model / EXTRA / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
        (model / EXTRA / "model_card.md").write_text(
            model_card(task.info, report, labels, card or {})
        )
        text = json.dumps(report, indent=2) + "\n"
        (model / EXTRA / "export_report.json").write_text(text)
        if path.exists():
            os.rename(path, aside / "previous")
        os.rename(model, path)
        (aside / "report").write_text(text)
        os.replace(aside / "report", path.with_name("export_report.json"))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return report


def _pictures(task: Task) -> dict[str, int]:
    """{"channels", "bits"} of pictures that are no 8-bit RGB."""
    looks = task.info.preprocess
    if not isinstance(looks, Preprocess) or looks.channel_order != "bands":
        return {}
    return {"channels": looks.channels, "bits": looks.bits}


def in_memory(task: Task, **build):
    """The network in memory behind the same signature: list of samples -> dict of arrays."""
    serve = signatures.build(task, freeze.live(task.model), **build)[signatures.DEFAULT]

    def answer(images: Sequence[bytes | Question]) -> dict[str, np.ndarray]:
        answers = serve(**_tensors(task, images))
        return {name: value.numpy() for name, value in answers.items()}

    return answer


def _tensors(task: Task, samples: Sequence[bytes | Question]) -> dict[str, tf.Tensor]:
    """A batch of samples by the names of the default signature's inputs."""
    arrays = questions.inputs(samples, signatures.input_of(task), task.takes)
    return {name: tf.constant(values) for name, values in arrays.items()}


def save(task: Task, path: pathlib.Path, form: str, **build) -> None:
    """Writes one form of the network as a SavedModel."""
    module = tf.Module()
    specs = specs_of(task, build["input_size"])
    if task.opened is not None:
        module.opened = task.opened
    if form == "float32":
        # A function of its own: traced once for all signatures.
        network = tf.function(freeze.live(task.model), autograph=False)
        module.weights = [variable.value for variable in task.model.variables]
    elif form == "frozen_float32":
        network = freeze.frozen(task.model, specs)
    elif form == "frozen_bfloat16":
        network = freeze.frozen(freeze.in_bfloat16(task.model), specs)
    else:
        raise ValueError(f"form: expected one of {', '.join(FORMS['auto'])}, got {form!r}")
    functions = signatures.build(task, network, **build)
    for key, function in functions.items():
        setattr(module, key, function)
    concrete = {key: function.get_concrete_function() for key, function in functions.items()}
    tf.saved_model.save(module, str(path), signatures=concrete)
    _settle_fingerprint(path)


def specs_of(task: Task, size: tuple[int | None, ...]) -> list[tf.TensorSpec]:
    """Of what the network is called with; size: that of pictures, or of others their shape."""
    tensor, *others = task.model.inputs
    specs = [tf.TensorSpec((None, *size, *tensor.shape[1 + len(size) :]), tensor.dtype)]
    return specs + [tf.TensorSpec(other.shape, other.dtype) for other in others]


def _check(task, labels, precision, samples) -> None:
    if precision not in FORMS:
        raise ExportError(f"precision: expected one of {', '.join(FORMS)}, got {precision!r}")
    if not samples:
        raise ExportError(
            "samples: expected at least one encoded picture or sentence to compare with, got none"
        )
    if len(labels) != task.info.num_classes:
        raise ExportError(
            f"labels: {task.info.name} has {task.info.num_classes} outputs for classes, so "
            f"expected as many names, got {len(labels)}"
        )


def _measure(folder, forms, expected, requests, difference, budget_s) -> None:
    """Fills in the difference and the median time at batch 1, runs of the forms alternating."""
    calls = {}
    for form, entry in forms.items():
        call = tf.saved_model.load(str(folder / form)).signatures[signatures.DEFAULT]
        calls[form] = call
        distance = 0.0
        for request, truth in zip(requests, expected, strict=True):
            received = {key: value.numpy() for key, value in call(**request).items()}
            distance = max(distance, difference(truth, received))
        entry["score_difference"] = round(distance, 6)
    times: dict[str, list[float]] = {form: [] for form in calls}
    started = time.perf_counter()
    for turn in range(200):
        for form, call in calls.items():
            before = time.perf_counter()
            for value in call(**requests[turn % len(requests)]).values():
                value.numpy()
            times[form].append(time.perf_counter() - before)
        if turn >= 4 and time.perf_counter() - started > budget_s:
            break
        if turn >= 20 and _apart(list(times.values())):
            break
    for form, seconds in times.items():
        forms[form]["median_ms"] = round(1000 * statistics.median(seconds), 3)
        forms[form]["runs"] = len(seconds)


def _apart(times: Sequence[list[float]]) -> bool:
    """Whether the fastest one's upper quartile is below the others' lower quartiles."""
    best, *others = sorted(
        (np.percentile(each, (25, 50, 75)) for each in times), key=lambda x: x[1]
    )
    return all(best[2] < other[0] for other in others)


def _choose(forms: dict[str, dict], tolerance: float) -> str:
    accepted = [form for form, entry in forms.items() if entry["score_difference"] <= tolerance]
    if not accepted:
        distances = ", ".join(
            f"{form} {entry['score_difference']}" for form, entry in forms.items()
        )
        raise ExportError(
            f"no form of the network stays within export.tolerance={tolerance} of its float32 "
            f"scores ({distances}): raise the tolerance or export with precision float32"
        )
    return min(accepted, key=lambda form: forms[form]["median_ms"])


def _size(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _settle_fingerprint(path: pathlib.Path) -> None:
    """Replaces the random id that TensorFlow puts beside each SavedModel: same model, same file."""
    file = path / "fingerprint.pb"
    if file.exists():
        fingerprint = fingerprint_pb2.FingerprintDef.FromString(file.read_bytes())
        fingerprint.uuid = ""
        file.write_bytes(fingerprint.SerializeToString(deterministic=True))
