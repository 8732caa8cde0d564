"""Convoy from Python: networks, records, trained models. docs/python.md shows each in use.

    import convoy

    convoy.list_models(pattern="resnet*")      # names of networks
    convoy.describe("resnet50")                # what is known of one without building it
    model = convoy.build("resnet50")           # a keras.Model with random weights
    task, labels = convoy.load("runs/birds")   # what a run trained
    data = convoy.records("records", "train")  # a tf.data.Dataset
    answers = convoy.predict("runs/birds", ["a.jpg"])

Importing this imports neither TensorFlow nor Keras; what needs them does when it is called.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convoy.models.registry import build, build_task, describe, list_models, tasks_of

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from convoy.models.spec import Task

__all__ = [
    "build",
    "build_task",
    "describe",
    "list_models",
    "load",
    "predict",
    "records",
    "tasks_of",
]


def load(run: str | pathlib.Path, precision: str = "float32") -> tuple[Task, list[str]]:
    """(the trained network with what it learns and answers, its class names).

    run: a run folder, also of a run that its gate refused, or a trainer's folder. precision:
    "float32" | "mixed_bfloat16" | "mixed_float16". Raises FileNotFoundError.
    """
    from convoy.pipeline.networks import network

    return network.load(pathlib.Path(run), precision)


def records(folder: str | pathlib.Path, split: str, channels: int | None = None) -> tf.data.Dataset:
    """The records of a split, one dict of tensors each, in file order.

    image uint8 [H, W, channels], RGB or with channels=1 gray, of records of other channels or of 16
    bits those, uint16; source_id string; height, width int64; labels [M] int64; boxes [N, 4]
    float32 ymin, xmin, ymax, xmax in pixels; classes [N] int64; difficult and crowd [N] bool;
    captions [C] string; sentence string, in which case there is no image. Raises
    FileNotFoundError, and ValueError for a split that is not there.
    """
    from convoy.data.input import examples

    return examples.dataset(pathlib.Path(folder), split, channels)


def predict(
    model: str | pathlib.Path,
    inputs: Sequence[str | pathlib.Path | bytes],
    *,
    tiles: tuple[int | tuple[int, int], int] | None = None,
    tta: Sequence[str | float] = (),
) -> list[dict[str, np.ndarray]]:
    """What an exported model answers, one dict per input.

    model: a SavedModel, a folder of numbered versions, or a run folder; one that pushed none, since
    its gate refused, is exported first. inputs: paths of pictures, their folders or globs, in the
    order of names, or encoded bytes, turned upright first; of a model for text, sentences.
    tiles: (size, overlap) in pixels, size a side or (height, width), of detectors: large pictures
    are cut and the boxes put together. tta: "flip" and scales: each picture is seen several times.
    Texts in the answers are bytes. Raises FileNotFoundError, and ValueError for what is no picture.
    """
    from convoy.pipeline.tools import predict_pictures

    return predict_pictures.answers(model, inputs, tiles=tiles, tta=tta)
