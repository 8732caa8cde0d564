"""Writes tests/golden/inception_slim.npz: tf_slim's Inception v2 under formula weights.

Run by hand where TensorFlow, tf_keras and tf_slim 1.1.0 are installed, in a process of its own,
because tf_slim needs the Keras that TensorFlow had before Keras 3:

    TF_USE_LEGACY_KERAS=1 PYTHONPATH=. python tests/parity/slim_inception.py
"""

from __future__ import annotations

import pathlib
import re

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops
from tf_slim.layers import conv2d
from tf_slim.nets import inception_v2
from tf_slim.ops.arg_scope import arg_scope

from tests.parity import formula

ops.Tensor = tf.Tensor  # where tf_slim looks for it and TensorFlow 2.20 has it no more
GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CLASSES = 10
CHANNELS = 2  # of each norm whose statistics are kept
# inception_v2_arg_scope's, but for the collection: with TensorFlow's own, tf_slim would call a
# layer that TensorFlow no longer has, and with None it computes the same itself.
NORM = {"decay": 0.9997, "epsilon": 0.001, "updates_collections": None}
FIXED = {
    "Conv2d_1a_7x7/depthwise_weights": "stem_depthwise/kernel",
    "Conv2d_1a_7x7/pointwise_weights": "stem_pointwise/kernel",
    "Conv2d_1a_7x7/biases": "stem_pointwise/bias",
    "Logits/Conv2d_1c_1x1/weights": "logits/kernel",
    "Logits/Conv2d_1c_1x1/biases": "logits/bias",
}
STEM = {"Conv2d_2b_1x1": "1", "Conv2d_2c_3x3": "2"}


def ours(names: list[str]) -> dict[str, str]:
    """tf_slim's variables, in the order of their making -> our "layer/variable"."""
    steps: dict[str, list[str]] = {}
    found = {}
    for name in names:
        short = name.removeprefix("InceptionV2/").removesuffix(":0")
        if short in FIXED:
            found[name] = FIXED[short]
            continue
        place, layer, variable = re.fullmatch(
            r"(.*?)/?(Conv2d_\w+)/(?:BatchNorm/)?(\w+)", short
        ).groups()
        if place:
            part, branch = re.fullmatch(r"Mixed_(\d\w)/Branch_(\d)", place).groups()
            made = steps.setdefault(place, [])
            if layer not in made:
                made.append(layer)
            before = 1 if branch == "3" else 0  # the pooling is the first step
            place, index = f"mixed{part}_branch{int(branch) + 1}", made.index(layer) + 1 + before
        else:
            place, index = "stem", STEM[layer]
        kind = "conv" if variable == "weights" else "norm"
        found[name] = f"{place}_{kind}{index}/{'kernel' if variable == 'weights' else variable}"
    return found


def build(height: int, width: int, count: int, decay: float | None = None):
    """(logits, variables, their names with us) in the open graph; with a decay it trains."""
    pixels = formula.pictures(count, height, width) / 127.5 - 1
    norm = NORM if decay is None else {**NORM, "decay": decay}
    scope = inception_v2.inception_v2_arg_scope()
    with arg_scope(scope), arg_scope([conv2d], normalizer_params=norm):
        logits, _ = inception_v2.inception_v2(
            tf.constant(pixels), CLASSES, is_training=decay is not None, dropout_keep_prob=1.0
        )
    variables = tf.compat.v1.global_variables()
    return logits, variables, ours([variable.name for variable in variables])


def load(session, variables, names) -> None:
    for variable in variables:
        shape = tuple(variable.shape)
        mine = names[variable.name]
        values = formula.weight(mine, shape[2:] if mine == "logits/kernel" else shape)
        variable.load(values.reshape(shape), session)


def outputs(height: int, width: int) -> tuple[np.ndarray, int]:
    """(logits of two pictures, number of learnable parameters)."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        logits, variables, names = build(height, width, 2)
        load(session, variables, names)
        learnable = sum(int(np.prod(v.shape)) for v in tf.compat.v1.trainable_variables())
        return session.run(logits), learnable


def step() -> dict[str, np.ndarray]:
    """One forward pass of eight pictures in training mode; norms in the order of our names.

    As in training_reference.py: TensorFlow's kernel, too, keeps the variance of a sample.
    """
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        logits, variables, names = build(97, 75, 8, decay=0.9)
        load(session, variables, names)
        found = {"logits": session.run(logits)}
        kept = {names[v.name]: session.run(v)[:CHANNELS] for v in variables if "moving_" in v.name}
        counts = {}
        for op in graph.get_operations():
            if op.type.startswith("FusedBatchNorm"):
                place = op.name.removeprefix("InceptionV2/").split("/BatchNorm/")[0]
                norm = names[f"{place}/BatchNorm/moving_mean:0"].split("/")[0]
                counts[norm] = int(np.prod(op.inputs[0].shape[:3]))
    norms = sorted(counts)
    found["counts"] = np.asarray([counts[norm] for norm in norms], np.int32)
    found["kept"] = np.stack(
        [[kept[f"{norm}/{v}"] for norm in norms] for v in ("moving_mean", "moving_variance")]
    )
    return {f"training_{key}": value for key, value in found.items()}


if __name__ == "__main__":
    found = {}
    for height, width in ((64, 64), (97, 75), (224, 224)):
        found[f"{height}x{width}"], found["learnable"] = outputs(height, width)
    np.savez_compressed(GOLDEN / "inception_slim.npz", **found, **step())
