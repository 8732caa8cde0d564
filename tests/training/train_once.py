"""Trains a small network once: python -m tests.training.train_once RECORDS WORKDIR ...

Run as a process of its own, because devices, workers and kills concern a whole process.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import tensorflow as tf

from convoy.pipeline.components import trainer
from convoy.pipeline.config import parse

PICTURES = 60  # in the train split of the `class_records` fixture


def params(
    strategy: str = "one", steps: int = 6, model: dict | None = None, **train
) -> trainer.Params:
    """`steps` steps of 16 pictures; MobileNet with BatchNorm on 64 x 64 pixels if not told."""
    recipe = parse(
        {
            "name": "test",
            "task": "classification",
            "seed": 3,
            "data": {"format": "folder", "path": "unused", "train": "train"},
            "model": model or {"name": "mobilenet_v1", "input_size": [64, 64], "width": 0.25},
            "augment": {"shift": 0.1, "zoom": [0.8, 1.2], "hue": 0.1},
            "train": {
                "strategy": strategy,
                "batch_size": 16,
                "epochs": steps * 16 / PICTURES,
                "learning_rate": 0.01,
                "weight_decay": 1e-4,
                "ema": 0.9,
                "clip_norm": 1.0,
                "log_steps": 1,
                "checkpoint_minutes": 1e-6,
                **train,
            },
        }
    )
    return trainer.params_of(recipe)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records", type=pathlib.Path)
    parser.add_argument("workdir", type=pathlib.Path)
    parser.add_argument("--strategy", default="one")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--model", type=json.loads)
    arguments = parser.parse_args()
    if arguments.devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * arguments.devices
        )
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    trainer.run(
        {"examples": arguments.records},
        params(arguments.strategy, arguments.steps, arguments.model),
        arguments.workdir,
    )


if __name__ == "__main__":
    main()
