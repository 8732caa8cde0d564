"""What the server counts, in Prometheus' text format under TensorFlow Serving's names.

:tensorflow:serving:request_count    by model and status: OK, or the name of gRPC's code
:tensorflow:serving:request_latency  by model, API (Predict) and entrypoint (GRPC, REST): a
                                     histogram of microseconds, of calls that were answered
convoy_running_requests              calls that are being answered now, those that wait included

A model that is not there counts as "", so that callers cannot invent rows.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import grpc

from convoy.serving.errors import INTERNAL, ServingError

PATH = "/monitoring/prometheus/metrics"
COUNT, LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
RUNNING = "convoy_running_requests"
BOUNDS = tuple(10 * 1.8**power for power in range(33))  # microseconds, as TensorFlow Serving's
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class Metrics:
    """Counts of one server; any thread may call."""

    def __init__(self, names: Callable[[], list[str]]):
        """names: the models that serve."""
        self._names = names
        self._lock = threading.Lock()
        self._count: collections.Counter[tuple[str, str]] = collections.Counter()
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._sums: collections.Counter[tuple[str, str]] = collections.Counter()
        self._running = 0

    @contextlib.contextmanager
    def call(self, model: str, entrypoint: str) -> Iterator[None]:
        """Around one prediction."""
        started = time.perf_counter()
        with self._lock:
            self._running += 1
        code = 0
        try:
            yield
        except ServingError as error:
            code = error.code
            raise
        except Exception:
            code = INTERNAL
            raise
        finally:
            self._add(model, entrypoint, code, 1e6 * (time.perf_counter() - started))

    def _add(self, model: str, entrypoint: str, code: int, microseconds: float) -> None:
        model = model if model in self._names() else ""
        with self._lock:
            self._running -= 1
            self._count[model, _NAMES.get(code, "UNKNOWN")] += 1
            if code == 0:
                key = model, entrypoint
                buckets = self._buckets.setdefault(key, [0] * (len(BOUNDS) + 1))
                buckets[bisect.bisect_left(BOUNDS, microseconds)] += 1
                self._sums[key] += microseconds

    def text(self) -> str:
        """All of it, a line each."""
        with self._lock:
            lines = [f"# TYPE {COUNT} counter"]
            for (model, status), number in sorted(self._count.items()):
                lines.append(f"{COUNT}{_labels(model_name=model, status=status)} {number}")
            lines.append(f"# TYPE {LATENCY} histogram")
            for (model, entrypoint), buckets in sorted(self._buckets.items()):
                labels = {"model_name": model, "API": "Predict", "entrypoint": entrypoint}
                below = 0
                for bound, number in zip((*BOUNDS, "+Inf"), buckets, strict=True):
                    below += number
                    le = bound if bound == "+Inf" else f"{bound:g}"
                    lines.append(f"{LATENCY}_bucket{_labels(**labels, le=le)} {below}")
                lines.append(f"{LATENCY}_sum{_labels(**labels)} {self._sums[model, entrypoint]:g}")
                lines.append(f"{LATENCY}_count{_labels(**labels)} {below}")
            lines += [f"# TYPE {RUNNING} gauge", f"{RUNNING} {self._running}"]
        return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in values.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
