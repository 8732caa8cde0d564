"""Early stop, best weights and validation rows of the training loop."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf

from convoy.data.input.input import Stream
from convoy.pipeline.networks import network
from convoy.pipeline.training import loop
from tests.training import train_once


def test_early_stop_keeps_the_weights_of_the_best_score(class_records, tmp_path):
    params = train_once.params(
        model={"name": "lenet5"}, steps=60, eval_epochs=2 * 16 / 60, patience=2, ema=None
    )
    task = network.build(params.model, list("0123"), params.train, params.seed)
    stream = Stream(
        records=class_records,
        split="train",
        fields=("labels",),
        preprocess=task.info.preprocess,
        encode=task.encode,
        batch_size=16,
    )
    scores, seen = iter([0.2, 0.6, 0.6, 0.5]), []

    def validate() -> dict[str, float]:
        seen.append(task.model.get_weights())
        return {"top1": next(scores)}

    loop.train(
        task,
        stream,
        params.train,
        tmp_path,
        strategy=tf.distribute.get_strategy(),
        validate=validate,
        metric="top1",
    )
    assert len(seen) == 4  # 0.6 is the best; an equal and a lower score are two without a better
    for kept, best in zip(task.model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(kept, best)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    told = [(row["step"], row["top1"]) for row in rows if row["kind"] == "val"]
    assert told == [(2, 0.2), (4, 0.6), (6, 0.6), (8, 0.5)]
    task.model.load_weights(tmp_path / network.WEIGHTS)
    for kept, best in zip(task.model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(kept, best)
