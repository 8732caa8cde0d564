"""SRCNN 9-1-5 learns for some minutes, and its PSNR on other pictures beside bicubic's.

    python -m tests.bench.srcnn TRAIN TEST [MINUTES [SCALE]]

TRAIN, TEST: folders of pictures. The network and its first weights are the paper's, its sub-images
too; the optimiser is Adam, 0.001 falling to 0 by a cosine over the minutes, batches of 64, and the
last layer's steps are a tenth of the others', as in the paper.
"""

from __future__ import annotations

import math
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from convoy.models.restoration import bicubic, pieces, srcnn
from convoy.pipeline.evaluation.restoration import Closeness
from tests.bench.bicubic import listed, reduced

NAME, BATCH, RATE, LAST = "srcnn_915", 64, 0.001, 0.1


def examples(folder: str, scale: int):
    """(enlarged, true) Y, float32 [H, W, 1], of each picture."""
    for path in listed(folder):
        truth, small = reduced(path, scale)
        yield bicubic.resize(tf.constant(small[..., None]), truth.shape), truth[..., None]


def measured(model: keras.Model, folder: str, scale: int) -> tuple[dict, dict]:
    """The numbers of the network and of bicubic."""
    whole = srcnn.build(NAME, (None, None), padding="replicate")
    whole.set_weights(model.get_weights())
    ours, bicubics = Closeness(scale), Closeness(scale)
    for large, truth in examples(folder, scale):
        for numbers, y in ((ours, whole(large[None])[0]), (bicubics, large)):
            found = np.clip(np.floor(np.asarray(y) + 0.5), 0, 255).astype(np.uint8)
            numbers.update(truth[..., 0], found[..., 0])
    return ours.result(), bicubics.result()


def learn(model: keras.Model, inputs, targets, seconds: float) -> int:
    """Trains for `seconds`; returns the steps."""
    optimizer = keras.optimizers.Adam(RATE)
    variables = model.trainable_variables
    optimizer.build(variables)
    last = model.get_layer("conv3").trainable_variables

    @tf.function
    def step(image, truth):
        with tf.GradientTape() as tape:
            error = (model(image, training=True) - truth) / 255.0
            loss = tf.reduce_mean(tf.square(error))
        gradients = tape.gradient(loss, variables)
        before = [tf.identity(variable) for variable in last]
        optimizer.apply(gradients, variables)
        for variable, old in zip(last, before, strict=True):
            variable.assign(old + LAST * (variable - old))
        return loss

    data = tf.data.Dataset.from_tensor_slices((inputs, targets)).shuffle(len(inputs), seed=0)
    began, steps, total = time.monotonic(), 0, 0.0
    for image, truth in data.repeat().batch(BATCH, drop_remainder=True):
        spent = (time.monotonic() - began) / seconds
        if spent >= 1:
            break
        optimizer.learning_rate.assign(RATE * (1 + math.cos(math.pi * spent)) / 2)
        total += float(step(image, truth))
        steps += 1
        if steps % 200 == 0:
            print(f"step {steps}, loss {total / 200:.6f}", file=sys.stderr, flush=True)
            total = 0.0
    return steps


def main(train: str, test: str, minutes: str = "15", scale: str = "3") -> None:
    keras.utils.set_random_seed(0)
    factor, margin = int(scale), srcnn.margin(NAME)
    parts = [pieces.pairs(large, truth, margin) for large, truth in examples(train, factor)]
    inputs, targets = (tf.concat(each, 0) for each in zip(*parts, strict=True))
    model = srcnn.build(NAME)
    steps = learn(model, inputs, targets, 60 * float(minutes))
    ours, bicubics = measured(model, test, factor)
    print(
        f"{NAME}: {len(inputs)} sub-images, {steps} steps of {BATCH}: PSNR {ours['PSNR']:.3f} dB, "
        f"SSIM {ours['SSIM']:.4f}; bicubic {bicubics['PSNR']:.3f} dB, {bicubics['SSIM']:.4f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
