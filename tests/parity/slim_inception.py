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


def outputs(height: int, width: int) -> tuple[np.ndarray, int]:
    """(logits of two pictures, number of learnable parameters)."""
    pixels = formula.pictures(2, height, width) / 127.5 - 1
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        image = tf.constant(pixels)
        scope = inception_v2.inception_v2_arg_scope()
        with arg_scope(scope), arg_scope([conv2d], normalizer_params=NORM):
            logits, _ = inception_v2.inception_v2(image, CLASSES, is_training=False)
        variables = tf.compat.v1.global_variables()
        names = ours([variable.name for variable in variables])
        for variable in variables:
            shape = tuple(variable.shape)
            mine = names[variable.name]
            values = formula.weight(mine, shape[2:] if mine == "logits/kernel" else shape)
            variable.load(values.reshape(shape), session)
        learnable = sum(int(np.prod(v.shape)) for v in tf.compat.v1.trainable_variables())
        return session.run(logits), learnable


if __name__ == "__main__":
    found = {}
    for height, width in ((64, 64), (97, 75), (224, 224)):
        found[f"{height}x{width}"], found["learnable"] = outputs(height, width)
    np.savez_compressed(GOLDEN / "inception_slim.npz", **found)
