"""FeatureGen: records to features by a trained network that stays as it is.

Inputs: examples, and the folders that the weights come from (init0, init1, ...), so that other
weights are other features. Output: SPLIT.tfrecord with one tf.train.Example per picture (source_id,
label, features: D floats) and features.json. Pictures are prepared as for evaluation: without the
random changes of `augment`; copies made by the ingest are seen as any picture.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from convoy.data import labels as label_map
from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import Stream, count, evaluation_batches
from convoy.models import tasks
from convoy.models.classification import extraction
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Model, Recipe, Section, Train
from convoy.pipeline.networks import network

INPUTS = {"examples": "example_gen"}
META = "features.json"


def asked_for(recipe: Recipe) -> bool:
    """Other trainings see pictures."""
    return recipe.train.mode == "extract"


class Params(Section):
    splits: tuple[str, ...]
    model: Model
    precision: str
    batch_size: int


def params_of(recipe: Recipe) -> Params:
    data = recipe.data
    return Params(
        splits=tuple(dict.fromkeys(split for split in (data.train, data.val) if split)),
        model=recipe.model,
        precision=recipe.train.precision,
        batch_size=recipe.evaluate.batch_size,
    )


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Writes the features of each split; one that is whole already is kept."""
    labels = label_map.read(inputs["examples"] / "labels.txt")
    train = Train(mode="extract", precision=params.precision)
    model = network.with_source_widths(params.model)
    task = network.build(model, labels, train)
    network.initialise(task, model, labels)
    layer = task.model.get_layer(extraction.FEATURES)
    backbone = keras.Model(task.model.input, layer.output)
    predict = tf.function(
        lambda images: backbone(images, training=False), autograph=False, reduce_retracing=True
    )
    written = {}
    for split in params.splits:
        stream = Stream(
            records=inputs["examples"],
            split=split,
            fields=tasks.TASKS[extraction.TASK].fields,
            preprocess=task.info.preprocess,
            encode=task.encode,
            batch_size=params.batch_size,
        )
        _write(workdir / f"{split}.tfrecord", stream, predict)
        written[split] = count(stream.records, split)
    write_json(
        workdir / META,
        {"length": layer.output.shape[-1], "splits": written, "network": task.info.name},
    )


def _write(path: pathlib.Path, stream: Stream, predict) -> None:
    if path.exists():
        return
    aside = path.with_suffix(".partial")
    with open(aside, "wb") as file:
        for batch in evaluation_batches(stream):
            vectors = predict(batch["image"]).numpy()
            for record, vector in zip(batch["serialized"].numpy(), vectors, strict=True):
                sample = decode(record)
                tfrecord.write(file, _example(sample.source_id, int(sample.labels[0]), vector))
    aside.rename(path)


def _example(source_id: str, label: int, vector: np.ndarray) -> bytes:
    name = source_id.encode("utf-8", "surrogateescape")
    features = {
        "source_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "features": tf.train.Feature(float_list=tf.train.FloatList(value=vector)),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def load(folder: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(features [N, D] float32, labels [N] int64) of a split."""
    meta = json.loads((folder / META).read_text())
    features = np.empty((meta["splits"][split], meta["length"]), np.float32)
    labels = np.empty(len(features), np.int64)
    for i, record in enumerate(tfrecord.read(folder / f"{split}.tfrecord")):
        values = tf.train.Example.FromString(record).features.feature
        features[i] = values["features"].float_list.value
        labels[i] = values["label"].int64_list.value[0]
    return features, labels
