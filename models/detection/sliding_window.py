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
from convoy.models.keras_internals import train_part
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
    """Pictures [B, H, W, C] -> the same windows [B, N, 4] of each.

    The random numbers by which windows are chosen to learn are the layer's, so that they are kept
    with the network.
    """

    def __init__(self, smallest=SMALLEST, seed=None, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.smallest = float(smallest)
        self.seed_generator = keras.random.SeedGenerator(seed, name="sampling")

    def call(self, image):
        boxes = ops.convert_to_tensor(windows(image.shape[1:3], self.smallest))
        return ops.broadcast_to(boxes[None], (ops.shape(image)[0], *boxes.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *windows(input_shape[1:3], self.smallest).shape)

    def get_config(self):
        return {**super().get_config(), "smallest": self.smallest}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    crop: tuple[int, int] = (32, 32),
) -> Task:
    """A detector of `num_classes` (background not counted); crop: what the classifier sees."""
    why = "windows are read from it"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    places = Windows(name="windows")
    boxes = places(backbone.input)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(rcnn.seen(backbone, boxes, crop, 1.0))
    x = keras.layers.Dense(num_classes + 1, dtype="float32", name="logits")(x)
    logits = rcnn.Apart(dtype="float32", name="cls")(x, boxes)
    model = keras.Model(backbone.input, {"proposals": boxes, "cls": logits}, name=info.name)
    return detector(
        model,
        info,
        encode=functools.partial(two_stage.objects_of, classes=num_classes),
        loss=margins.loss,
        decode=functools.partial(decode, size=info.preprocess.size),
        wiring=sampled,
    )


def sampled(model, batch) -> dict:
    """The outputs in training, of the windows that the batch's objects chose."""
    places, boxes = model.get_layer("windows"), model.output["proposals"]
    image = ops.convert_to_tensor(batch["image"])
    given = {**batch, "proposals": places(image)}
    regions = fast_rcnn.chosen_regions(given, PLAN, places.seed_generator)
    values = [image, regions.pop("rois")]
    outputs = train_part([model.input, boxes], {"cls": model.output["cls"]}, values)
    return {**outputs, **regions}


def decode(outputs, score_threshold=0.5, iou_threshold=0.3, max_detections=100, *, size):
    """Scores of the windows -> a detector's `decode`."""
    import tensorflow as tf

    from convoy.models.boxes import clip
    from convoy.models.decode import suppress

    scores = tf.nn.softmax(tf.cast(outputs["cls"], tf.float32))[..., 1:]
    boxes = clip(outputs["proposals"], size)
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections)
