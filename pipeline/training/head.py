"""The linear layer on features that were computed once: softmax regression, or scikit-learn's.

svm:      one linear SVM per class against the rest, hinge loss, as R-CNN's
          (https://arxiv.org/abs/1311.2524): its bias is multiplied by 10 while it is fitted, which
          frees it from the penalty; the cost is `train.head_c` (there 0.001). R-CNN doubles the
          weight of positives, which are rare among its boxes; pictures of classes are all equal
          here. Scores are the softmax of the margins: they rank classes, but are no probabilities.
logistic: multinomial logistic regression, fitted to its optimum with penalty |w|^2 / 2.
linear:   the same loss by `train.optimizer`, schedule, epochs and batch size. The loss is convex,
          so the last weights are kept, not the best on data.val.

feature_scale "rcnn" multiplies all features by one number, so that their mean L2 norm over the
training pictures is 20 (R-CNN's; its cost was chosen for that). It is folded into the weights; "l2"
makes each vector one of length 1, by a layer of the network.
"""

from __future__ import annotations

import math
import pathlib

import keras
import numpy as np

from convoy.models.classification import extraction
from convoy.models.spec import Task
from convoy.pipeline.components import feature_gen
from convoy.pipeline.config import Train
from convoy.pipeline.networks.network import WEIGHTS
from convoy.pipeline.training import loop, optimizers
from convoy.pipeline.training.progress import Progress

MEAN_NORM = 20.0  # R-CNN's
BIAS = 10.0  # R-CNN's multiplier of the bias
NEVER = -1e4  # logit of a class that has no picture to learn from


def train(
    task: Task,
    features: pathlib.Path,
    params: Train,
    workdir: pathlib.Path,
    *,
    split: str,
    held_out: str | None,
) -> int:
    """Fits the head of a network of `models.classification.extraction`; returns its parameters.

    Writes model.weights.h5 and metrics.jsonl. Cheap: a stopped one starts again.
    """
    x, y = feature_gen.load(features, split)
    factor = 1.0
    if params.feature_scale == "rcnn":
        factor = MEAN_NORM / float(np.linalg.norm(x, axis=1).mean())
    x = scaled(x, params.feature_scale, factor)
    classes = task.info.num_classes
    at_once = params.batch_size if params.head == "linear" else len(x)
    progress = Progress(workdir, 1, at_once, len(x))
    progress.say(f"{task.info.name}: {x.shape[1]} features of {len(x)} pictures, {params.head}")
    if params.head == "linear":
        kernel, bias = _softmax(x, y, classes, params, progress)
    else:
        kernel, bias = fit(x, y, classes, params.head, params.head_c)
        loss = _cross_entropy(x @ kernel + bias, y)
        progress.train(1, {"loss": loss, "learning_rate": 0.0})
    if held_out:
        inputs, truth = feature_gen.load(features, held_out)
        logits = scaled(inputs, params.feature_scale, factor) @ kernel + bias
        top1 = float((logits.argmax(1) == truth).mean())
        progress.validate(progress.total_steps, {"top1": top1})
    task.model.get_layer(extraction.HEAD).set_weights([kernel * factor, bias])
    loop.save_weights(task.model, workdir / WEIGHTS)
    progress.save()
    return kernel.size + bias.size


def scaled(x: np.ndarray, kind: str, factor: float) -> np.ndarray:
    """What the linear layer sees of features [N, D]."""
    if kind == "l2":
        return np.asarray(keras.layers.UnitNormalization()(x))
    return x * np.float32(factor)


def fit(x: np.ndarray, y: np.ndarray, classes: int, head: str, c: float):
    """(kernel [D, K], bias [K]) of scikit-learn's fit; its logits are the decision function."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    present = np.unique(y)
    if len(present) < 2:
        raise ValueError(f"train.head {head}: expected pictures of two classes, got {len(present)}")
    if head == "svm":
        model = LinearSVC(
            C=c, loss="hinge", intercept_scaling=BIAS, max_iter=20_000, random_state=0
        )
    else:
        model = LogisticRegression(C=c, max_iter=2_000)
    model.fit(x, y)
    rows, biases = model.coef_, model.intercept_
    if len(present) == 2:  # one function that tells the second class from the first
        rows, biases = np.concatenate([-rows, rows]) / 2, np.concatenate([-biases, biases]) / 2
    kernel = np.zeros((x.shape[1], classes), np.float32)
    bias = np.full(classes, NEVER, np.float32)
    kernel[:, present], bias[present] = rows.T, biases
    return kernel, bias


def _softmax(x, y, classes: int, params: Train, progress: Progress):
    """Softmax regression from zero, by the recipe's optimizer."""
    per_epoch = math.ceil(len(x) / params.batch_size)
    epochs = math.ceil(params.epochs)
    progress.total_steps = epochs * per_epoch
    params = params.model_copy(update={"precision": "float32"})
    optimizer = optimizers.build(
        params, total_steps=progress.total_steps, steps_per_epoch=per_epoch
    )
    decay = 0.0 if params.optimizer == "adamw" else 0.5 * params.weight_decay
    dense = keras.layers.Dense(
        classes,
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(decay) if decay else None,
        dtype="float32",
    )
    head = keras.Sequential([keras.Input((x.shape[1],)), dense])
    rate = optimizers.rate_of(optimizer)
    if params.label_smoothing:
        y = keras.ops.one_hot(y, classes)
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=params.label_smoothing
        )
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(optimizer, loss)

    def report_epoch(epoch, logs):
        step = (epoch + 1) * per_epoch
        progress.train(step, {"loss": logs["loss"], "learning_rate": rate(step)})

    head.fit(
        x,
        y,
        batch_size=params.batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=report_epoch)],
    )
    kernel, bias = head.get_weights()
    if not np.isfinite(kernel).all():
        raise loop.NonFiniteLoss(
            f"the head's weights are not finite after {epochs} epochs: lower train.learning_rate "
            "or set train.feature_scale"
        )
    return kernel, bias


def _cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-log_p[np.arange(len(y)), y].mean())
