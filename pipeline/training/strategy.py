"""Where a network trains: one device, mirrored devices, or several machines."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator

import tensorflow as tf

from convoy.pipeline.errors import FAILURE

WAIT_S = 600.0  # for the other workers to start
# What an operation over workers ends with where one of them is gone.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


@functools.cache
def build(name: str) -> tf.distribute.Strategy:
    """The strategy of `train.strategy`; several workers need it before any other TensorFlow work.

    A process has one of each name.

    auto: several machines when TF_CONFIG names more than one worker, mirrored when there are two or
    more GPUs, else one device.
    """
    if name == "auto":
        gpus = tf.config.list_physical_devices("GPU")
        name = "multi_worker" if _workers() > 1 else "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    if _workers() < 1:
        raise ValueError(
            "train.strategy multi_worker needs TF_CONFIG, e.g. "
            '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": '
            '{"type": "worker", "index": 0}}'
        )
    with _bounded(WAIT_S):
        return tf.distribute.MultiWorkerMirroredStrategy()


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Ends the process where the block takes longer.

    The strategy waits for all workers inside TensorFlow, where neither an exception nor a signal
    reaches it: its own time limit for the registration was tried, and did not end the wait.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    workers, own = config["cluster"]["worker"], int(config.get("task", {}).get("index", 0))
    others = ", ".join(worker for index, worker in enumerate(workers) if index != own)

    def give_up() -> None:
        text = (
            f"convoy: error: the workers {others} did not all answer within {seconds:g} s; start "
            "one process for each address in TF_CONFIG, and look at what the others say"
        )
        print(text, file=sys.stderr, flush=True)
        os._exit(FAILURE)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def agreement(strategy: tf.distribute.Strategy) -> Callable[[bool], bool] | None:
    """A function by which all workers learn whether one of them must stop; each has to call it.

    None where one process is all there is.
    """
    if strategy.cluster_resolver is None or _workers() < 2:
        return None

    @tf.function(autograph=False)
    def total(value: tf.Tensor) -> tf.Tensor:
        own = strategy.run(tf.identity, args=(value,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, own, axis=None)

    def any_stops(stops: bool) -> bool:
        return float(total(tf.constant(float(stops)))) > 0

    return any_stops


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints and reports: the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or not _workers() or (resolver.task_id or 0) == 0


def _workers() -> int:
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    return len(config.get("cluster", {}).get("worker", ()))
