"""Does each family learn as well from our first weights as from its reference's?

    python -m tests.bench.initial FOLDER [NAME ...] [--seeds 2] [--threads 1] [--epochs N]

FOLDER holds train/CLASS/*.jpg and test/CLASS/*.jpg (CIFAR-10's pictures, say). For each network one
plain Keras loop trains it per seed as it is built here and as its reference begins: "keras" is
keras.applications' own build, its BatchNorm's momentum set to ours, since running statistics with
0.99 or 0.999 lag behind a training of a few hundred steps; "glorot" is our network with Keras'
default, Glorot's kernels and biases of zero. Pictures, their order, flips, shifts and the optimizer
are the same for both. Prints one JSON line per training and a table of accuracies on the test
pictures.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from convoy import models
from convoy.models.layers import Normalize

BATCH, RATE, MOMENTUM = 32, 1e-3, 0.9


class Trial(NamedTuple):
    side: int  # of the pictures, pixels
    epochs: int
    options: Mapping = MappingProxyType({})  # of models.build
    keras: Callable | None = None  # (shape, classes) -> keras.applications' network; None: "glorot"
    rate: float = RATE


def application(name: str, **options):
    """keras.applications' network by its name, as a function of shape and classes."""

    def build(shape, classes):
        make = getattr(keras.applications, name)
        return make(
            weights=None,
            input_shape=shape,
            classes=classes,
            classifier_activation=None,
            **options,
        )

    return build


TRIALS = {
    "mobilenet_v1": Trial(96, 6, {"width": 0.5}, application("MobileNet", alpha=0.5, dropout=0)),
    "mobilenet_v2": Trial(64, 6, {"width": 0.35}, application("MobileNetV2", alpha=0.35)),
    "mobilenet_v3_small": Trial(
        64,
        6,
        {"width": 0.75},
        application("MobileNetV3Small", alpha=0.75, dropout_rate=0, include_preprocessing=False),
    ),
    "resnet18": Trial(32, 6),
    "resnet18_v2": Trial(32, 6),
    "lm_resnet20": Trial(32, 6),
    "vgg11": Trial(32, 6, rate=1e-4),
    "vgg11_bn": Trial(32, 4),
    "googlenet": Trial(48, 6, rate=1e-4),
    "googlenet_bn": Trial(48, 6),
    "inception_v2": Trial(48, 6),
    "darknet19": Trial(48, 6),
    "cspdarknet53": Trial(32, 4),
    "alexnet": Trial(64, 6, rate=1e-4),
    "alexnet_owt": Trial(64, 6, rate=1e-4),
    "zfnet": Trial(64, 6, rate=1e-4),
    "overfeat_fast": Trial(71, 6, rate=1e-4),
    "spp_net_zf5": Trial(64, 6, rate=1e-4),
    "caltech_convnet": Trial(83, 6),
    "lenet5": Trial(28, 6),
    "lenet5_1998": Trial(32, 6),
    "lecun1989": Trial(16, 6),
}


def pictures(folder: pathlib.Path, side: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(images [N, side, side, C] uint8, labels [N]) of a folder per class; mode "RGB" or "L"."""
    images, labels = [], []
    for label, kind in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(kind.iterdir()):
            picture = Image.open(path).convert(mode).resize((side, side), Image.BILINEAR)
            images.append(np.asarray(picture).reshape(side, side, -1))
            labels.append(label)
    return np.stack(images), np.asarray(labels, np.int64)


def batches(images: np.ndarray, labels: np.ndarray, epoch: int):
    """One epoch of (images [B, H, W, C] float32, labels [B]), shuffled, flipped and shifted.

    Up to an eighth of the side to each direction; the same for every network.
    """
    draw = np.random.default_rng(epoch)
    order = draw.permutation(len(images))
    reach = images.shape[1] // 8
    for start in range(0, len(order) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        batch = images[chosen].astype(np.float32)
        padded = np.pad(batch, [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
        for row, picture in enumerate(padded):
            y, x = draw.integers(0, 2 * reach + 1, 2)
            cut = picture[y : y + images.shape[1], x : x + images.shape[2]]
            batch[row] = cut[:, ::-1] if draw.random() < 0.5 else cut
        yield batch, labels[chosen]


def begin_as_glorot(network: keras.Model) -> None:
    """Every kernel from Glorot's uniform distribution by Keras' own fans, every bias zero.

    Other numbers, LeNet's coefficients for instance, stay as they are.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            continue
        for weight in layer.weights:
            if weight.name == "bias":
                weight.assign(np.zeros(weight.shape))
            elif weight.ndim > 1:
                weight.assign(keras.initializers.GlorotUniform()(weight.shape))


def build(name: str, trial: Trial, kind: str, classes: int) -> keras.Model:
    """kind: "ours" | "glorot" | "keras"."""
    size = (trial.side, trial.side)
    if kind == "keras":
        p = models.describe(name).preprocess
        image = keras.Input((*size, p.channels))
        x = Normalize(p.scale, p.mean, p.std, p.channel_order)(image)
        reference = trial.keras((*size, p.channels), classes)
        for layer in reference.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = MOMENTUM
        return keras.Model(image, reference(x))
    network = models.build(name, num_classes=classes, input_size=size, **trial.options)
    if isinstance(network.output, dict):  # auxiliary heads are left out
        network = keras.Model(network.input, network.output["logits"], name=name)
    if kind == "glorot":
        begin_as_glorot(network)
    return network


def train(network, trial: Trial, train_set, test_set) -> dict:
    """Trains and measures: top-1 and cross entropy on the test pictures, the last epoch's loss."""
    optimizer = keras.optimizers.Adam(trial.rate)
    optimizer.build(network.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = cross_entropy(labels, network(images, training=True))
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = []
    for epoch in range(trial.epochs):
        losses = [float(step(*batch)) for batch in batches(*train_set, epoch)]
    images, labels = test_set
    answer = tf.function(lambda x: network(x, training=False), reduce_retracing=True)
    logits = np.concatenate(
        [answer(images[i : i + 100].astype(np.float32)) for i in range(0, len(images), 100)]
    )
    return {
        "top1": round(float((logits.argmax(-1) == labels).mean()), 4),
        "test_loss": round(float(cross_entropy(labels, logits)), 4),
        "train_loss": round(float(np.mean(losses)), 4),
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=list(TRIALS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, help="for all networks, instead of the table's")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_intermixed_args(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    tf.config.threading.set_inter_op_parallelism_threads(given.threads)
    rows = []
    for name in given.names:
        trial = TRIALS[name]._replace(epochs=given.epochs or TRIALS[name].epochs)
        mode = "RGB" if models.describe(name).preprocess.channels == 3 else "L"
        train_set = pictures(given.folder / "train", trial.side, mode)
        test_set = pictures(given.folder / "test", trial.side, mode)
        classes = int(train_set[1].max()) + 1
        for kind in ("ours", "keras" if trial.keras else "glorot"):
            accuracies = []
            for seed in range(given.seeds):
                keras.utils.set_random_seed(seed)
                start = time.time()
                found = train(build(name, trial, kind, classes), trial, train_set, test_set)
                line = {"name": name, "first": kind, "seed": seed, **found}
                line["seconds"] = round(time.time() - start)
                print(json.dumps(line), file=sys.stderr, flush=True)
                accuracies.append(found["top1"])
            rows.append((name, kind, *accuracies))
    print("| network | first weights |", *(f"seed {seed} |" for seed in range(given.seeds)))
    print("|---|---|" + "---|" * given.seeds)
    for name, kind, *accuracies in rows:
        print(f"| {name} | {kind} |", *(f"{top1:.3f} |" for top1 in accuracies))


if __name__ == "__main__":
    main(sys.argv[1:])
