"""Where a network trains: one device, mirrored devices, or several machines."""

from __future__ import annotations

import functools
import json
import os

import tensorflow as tf


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
    return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes checkpoints and reports: the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or not _workers() or (resolver.task_id or 0) == 0


def _workers() -> int:
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    return len(config.get("cluster", {}).get("worker", ()))
