"""The sliding window: a classifier looks at thousands of windows of a picture, one by one.

The way before proposals, as of Dalal 2005, Histograms of Oriented Gradients for Human Detection,
CVPR, https://doi.org/10.1109/CVPR.2005.177: windows of every size and shape, at every place, each
warped to what a classifier sees, and suppression among what it finds. A window of h x w pixels has
(floor((W - w) / (w s)) + 1) (floor((H - h) / (h s)) + 1) places at steps of s = 1/4 of its sides;
sizes grow by sqrt(2) from 0.1 of the input's side (sqrt(height * width)) on, with sides of ratio
1/2, 1 and 2, as long as they fit in.

Any classifier of the table stands behind it, and sees windows at its own default size; its last
layer is of K + 1 classes, the first one of background. In training each picture's objects are
windows as well, and 128 windows learn, at most a quarter of them objects (IoU >= 0.5). What is
found is a window: nothing refines it.
"""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
from keras import ops

from convoy.models import layers
from convoy.models.detection import fast_rcnn, margins, rcnn, two_stage
from convoy.models.detection.task import detector
from convoy.models.spec import ModelInfo, Task

PLAN = two_stage.Plan(roi_samples=128, roi_share=0.25, roi_object=0.5, roi_none=0.0)
SMALLEST, GROWTH = 0.1, math.sqrt(2)
RATIOS = (0.5, 1.0, 2.0)  # height / width
STEP = 0.25  # of a window's side
MINIMUM = 32


def windows(size: tuple[int, int], smallest: float = SMALLEST) -> np.ndarray:
    """[N, 4] float32 windows of an input of (height, width), small ones first, then row by row."""
    found, side = [], smallest * math.sqrt(size[0] * size[1])
    while side <= max(size):
        for ratio in RATIOS:
            shape = (side * math.sqrt(ratio), side / math.sqrt(ratio))
            starts = [
                np.arange(math.floor((whole - part) / (STEP * part)) + 1) * STEP * part
                for whole, part in zip(size, shape, strict=True)
                if part <= whole
            ]
            if len(starts) == 2:
                low = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
                found.append(np.concatenate([low, low + shape], axis=1))
        side *= GROWTH
    return np.concatenate(found).astype(np.float32)


@keras.saving.register_keras_serializable("convoy")
class Windows(keras.layers.Layer):
    """Windows [B, N, 4] as they are, and the random numbers by which some are chosen to learn.

    So these numbers are kept with the network.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.seed_generator = keras.random.SeedGenerator(seed, name="sampling")

    def call(self, boxes):
        return boxes

    def compute_output_shape(self, input_shape):
        return input_shape


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
) -> Task:
    """A detector of `num_classes` (background not counted) by a backbone that sees windows."""
    why = "windows are read from it"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    image, pixels = layers.image_input(info.preprocess)
    given = keras.Input((None, 4), dtype="float32", name="proposals")
    boxes = Windows(name="windows")(given)
    x = rcnn.seen(pixels, boxes, backbone, context=1.0)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(num_classes + 1, dtype="float32", name="roi_cls")(x)
    logits = rcnn.Apart(dtype="float32", name="cls")(x, boxes)
    size = info.preprocess.size
    places = windows(size)
    return detector(
        keras.Model([image, given], {"proposals": boxes, "cls": logits}, name=info.name),
        info,
        encode=functools.partial(two_stage.objects_of, classes=num_classes),
        loss=margins.loss,
        decode=functools.partial(decode, size=size),
        wiring=functools.partial(sampled, places=places),
        windows=places,
        at_once=rcnn.AT_ONCE,
    )


def sampled(model, batch, *, places: np.ndarray) -> dict:
    """The outputs in training, of the windows that the batch's objects chose."""
    seeds = model.get_layer("windows").seed_generator
    given = {**batch, "proposals": of_each(places, ops.shape(batch["image"])[0])}
    regions = fast_rcnn.chosen_regions(given, PLAN, seeds)
    image = ops.convert_to_tensor(batch["image"])
    return {**model([image, regions.pop("rois")], training=True), **regions}


def of_each(places: np.ndarray, pictures):
    """[N, 4] -> [pictures, N, 4]."""
    return ops.broadcast_to(ops.convert_to_tensor(places)[None], (pictures, *places.shape))


def decode(
    outputs, score_threshold=0.5, iou_threshold=0.3, max_detections=100, suppression="hard", *, size
):
    """Scores of the windows -> a detector's `decode`."""
    import tensorflow as tf

    from convoy.models.boxes import clip
    from convoy.models.decode import suppress

    scores = tf.nn.softmax(tf.cast(outputs["cls"], tf.float32))[..., 1:]
    # Rows without area fill up the last piece of windows.
    scores = tf.where(fast_rcnn.solid(outputs["proposals"])[..., None], scores, 0.0)
    boxes = clip(outputs["proposals"], size)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)
