"""What calculates the network of a served model: TensorFlow, or OpenVINO where that is faster.

Only the network changes hands (serving/parts.py): pictures are decoded, boxes suppressed and names
looked up by the SavedModel's own graph, and what it refuses is refused in its own words. The
signature of pixels, `serving_tensor`, is TensorFlow's in any case.
"""

from __future__ import annotations

import functools
import json
import logging
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from convoy.models import tasks
from convoy.serving import parts, warmup
from convoy.serving.errors import FAILED_PRECONDITION, ServingError
from convoy.serving.graphs import NotSplit
from convoy.serving.runtimes import kinds
from convoy.serving.servable import DEFAULT, Servable
from convoy.serving.verify import difference_of

log = logging.getLogger(__name__)

ENGINES = ("auto", "tensorflow", "openvino")
PRECISIONS = ("bf16", "f32")  # of OpenVINO, in the order in which they are tried
ROUNDS = 20  # of the warm-up requests of one picture, at most
BUDGET_S = 2.0
Call = Callable[..., Mapping[str, tf.Tensor]]


class Agreement(NamedTuple):
    """How far an engine may be from TensorFlow, and how that is measured."""

    tolerance: float
    difference: Callable


def check(engine: str) -> None:
    """Raises ValueError for a name that is none, kinds.NotInstalled for "openvino" without it."""
    if engine not in ENGINES:
        raise ValueError(f"--engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "openvino":
        kinds.check(["openvino"])
    elif engine == "auto" and kinds.missing(kinds.KINDS["openvino"]):
        log.info(
            "engine tensorflow: openvino is not installed, which is often faster on a CPU; "
            "pip install 'convoy-vision[openvino]'"
        )


def settle(servable: Servable, engine: str) -> None:
    """Gives a loaded model the engine, and says in the log which it took and why.

    auto: OpenVINO where it is installed, agrees with TensorFlow on the warm-up requests and is
    faster on those of one picture. openvino: raises ServingError where it cannot run the model or
    does not agree.
    """
    if engine == "tensorflow" or kinds.missing(kinds.KINDS["openvino"]):
        return
    try:
        told = _openvino(servable, always=engine == "openvino")
    except _Unfit as error:
        if engine == "openvino":
            raise ServingError(FAILED_PRECONDITION, f"--engine openvino: {error}") from error
        told = f"tensorflow: {error}"
    log.info("%s: engine %s", servable.path, told)


class _Unfit(ValueError):
    """OpenVINO is not to run a model; the message says why."""


def _openvino(servable: Servable, always: bool) -> str:
    """Installs OpenVINO; returns what is said of it. Raises _Unfit."""
    from convoy.serving.runtimes import openvino

    plain = servable.call(DEFAULT)
    try:
        found = parts.split(plain)
        model = openvino.read(found.network)
    except (NotSplit, RuntimeError) as error:
        raise _Unfit(str(error)) from error
    requests = [
        {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        for request in warmup.read(servable.path)
        if request.model_spec.signature_name in ("", DEFAULT)
    ]
    agreement = _agreement(servable.path)
    if not always and (not requests or agreement is None):
        raise _Unfit("the model has no warm-up requests or no report to compare engines by")
    before, after = found.before.function(), found.after.function()
    apart = []
    for precision in openvino.precisions(PRECISIONS):
        network = openvino.compiled(model, found.names.outputs, precision)
        call = _call(parts.composed(before, network, after, found.names), plain)
        distance = max((_apart(plain, call, request, agreement) for request in requests), default=0)
        if agreement is not None and distance > agreement.tolerance:
            apart.append(f"{distance:.4g} in {precision}")
            continue
        ones = [request for request in requests if len(next(iter(request.values()))) == 1]
        ours, theirs = _medians([plain, call], ones)
        told = f"{1000 * theirs:.1f} ms, tensorflow {1000 * ours:.1f} ms" if ones else "unmeasured"
        if theirs >= ours and not always:
            raise _Unfit(f"it is as fast as openvino or faster ({told} for a request)")
        servable.replace(DEFAULT, call)
        return f"openvino in {precision}: {told}; answers differ by {distance:.2g} at most"
    raise _Unfit(
        f"answers of openvino differ by {', '.join(apart)}, expected at most "
        f"export.tolerance={agreement.tolerance:g}"
    )


def _agreement(path: pathlib.Path) -> Agreement | None:
    """None for a model that Convoy did not export."""
    file = path / "assets.extra" / "export_report.json"
    if not file.is_file():
        return None
    report = json.loads(file.read_text())
    limits = {name: report[name] for name in tasks.row(report["task"]).limits if name in report}
    return Agreement(report["tolerance"], functools.partial(difference_of(path), **limits))


def _call(answer: Callable, plain: Call) -> Call:
    def call(**inputs: tf.Tensor) -> Mapping[str, tf.Tensor]:
        try:
            return answer(inputs)
        except tf.errors.OpError:
            return plain(**inputs)  # which refuses it in its own words

    return call


def _apart(plain: Call, call: Call, request: dict, agreement: Agreement | None) -> float:
    expected, received = (
        {key: value.numpy() for key, value in each(**request).items()} for each in (plain, call)
    )
    if agreement is None:
        return 0.0
    return float(agreement.difference(expected, received))


def _medians(calls: list[Call], requests: list[dict]) -> list[float]:
    """Seconds of a request, the calls in turn."""
    seconds: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + BUDGET_S
    for turn in range(ROUNDS if requests else 0):
        for call, found in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            for value in call(**requests[turn % len(requests)]).values():
                value.numpy()
            found.append(time.perf_counter() - began)
        if turn >= 4 and time.perf_counter() > end:
            break
    return [statistics.median(found) if found else 0.0 for found in seconds]
