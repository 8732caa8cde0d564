"""YOLOv1: a grid of cells, each of which has a few boxes and one distribution of classes.

Paper: Redmon 2015 https://arxiv.org/abs/1506.02640. yolov1 is the paper's: 24 convolutions with
biases and leaky ReLUs, a full layer of 4096 and one of 7 x 7 x 30, two boxes per cell. The map of a
cell is box by box x, y, sqrt w, sqrt h, confidence, then the classes. yolov1_darknet is the
authors' yolov1.cfg, another network: BatchNorm, a `local` layer of 256 maps (models/local.py) in
place of the full one, three boxes per cell, and a vector of all classes, then all confidences, then
all boxes. Of both: x and y of a centre are parts of its cell, w and h parts of the picture; every
output is linear.

Loss of one picture (equation 3): of the cells i that hold an object's centre, with the box j of the
cell that overlaps it most (where none does, the one nearest to it by squared differences)

    xy     5 sum over i of (x - x*)^2 + (y - y*)^2
    wh     5 sum over i of (sqrt w - sqrt w*)^2 + (sqrt h - sqrt h*)^2
    obj    sum over i of (c - IoU of the box with the object)^2
    noobj  0.5 sum over all other boxes of c^2
    cls    sum over i and classes k of (p_k - [k is the object's])^2

No gradient flows through the IoU and the choice of j. The normalizer of all parts is the number of
pictures. Where two centres fall into one cell the last object is learnt (Darknet takes one by
chance).

Differences: the grid is the input's size over 64, so that other sizes than 448 x 448 have other
full layers; `width` narrows all layers but the last. The first twenty convolutions are no network
of their own here, so that no classifier's weights go into them. Both start as Darknet's layers:
convolutions normal with variance 2 / fan-in, the others uniform in +-sqrt(2 / fan-in); Darknet's
`local` gives that to its first position alone and zeros to the rest, here all have it.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from convoy.models import layers
from convoy.models.classification import darknet
from convoy.models.classification.cspdarknet import uniform
from convoy.models.detection.task import detector
from convoy.models.iou import iou
from convoy.models.local import Local
from convoy.models.spec import Preprocess

STRIDE = 64  # of the cells
# Kernel sides and filters between the poolings; the last convolution but two has stride 2.
STAGES = (
    ((7, 64),),
    ((3, 192),),
    ((1, 128), (3, 256), (1, 256), (3, 512)),
    (*((1, 256), (3, 512)) * 4, (1, 512), (3, 1024)),
    (*((1, 512), (3, 1024)) * 2, (3, 1024), (3, 1024), (3, 1024), (3, 1024)),
)
PRETRAINED = 20  # convolutions; those behind are the detector's
STRIDED = (1, 22)  # numbers of the convolutions of stride 2
BOXES = {"yolov1": 2, "yolov1_darknet": 3}  # per cell
COORD, NOOBJ = 5.0, 0.5  # weights of the loss


@keras.saving.register_keras_serializable("convoy")
class Part(keras.layers.Layer):
    """[..., C] -> [..., start:stop]."""

    def __init__(self, start, stop, **kwargs):
        super().__init__(**kwargs)
        self.start, self.stop = int(start), int(stop)

    def call(self, x):
        return x[..., self.start : self.stop]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.stop - self.start)

    def get_config(self):
        return {**super().get_config(), "start": self.start, "stop": self.stop}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 20,
    width: float = 1.0,
    dropout: float = 0.0,
):
    """A detector's Task without its ModelInfo, which the registry adds; None: maps by stride."""
    size = preprocess.size
    if num_classes is not None and any(side % STRIDE for side in size):
        raise ValueError(
            f"{variant}: expected an input with sides that are multiples of {STRIDE} px, got "
            f"{size[0]}x{size[1]}: each cell is {STRIDE} px"
        )
    normed = variant == "yolov1_darknet"
    image, x = layers.image_input(preprocess)
    x, maps = _convolutions(x, width, normed, pretrained=num_classes is None)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    grid, boxes = tuple(n // STRIDE for n in size), BOXES[variant]
    if normed:
        limit = (2 / (9 * x.shape[-1])) ** 0.5
        start = keras.initializers.RandomUniform(-limit, limit)
        x = Local(int(256 * width), 3, kernel_initializer=start, name="local")(x)
        x = keras.layers.LeakyReLU(0.1, name="local_act")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    if not normed:
        x = keras.layers.Dense(int(4096 * width), kernel_initializer=uniform(), name="fc")(x)
        x = keras.layers.LeakyReLU(0.1, name="fc_act")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    count = grid[0] * grid[1] * (5 * boxes + num_classes)
    x = keras.layers.Dense(
        count, kernel_initializer=uniform(), dtype="float32", name="cells_logits"
    )(x)
    outputs = (_parts if normed else _cells)(x, grid[0] * grid[1], boxes, num_classes)
    return detector(
        keras.Model(image, outputs, name=variant),
        None,
        encode=functools.partial(encode, grid=grid, size=size, num_classes=num_classes),
        loss=functools.partial(loss, grid=grid),
        decode=functools.partial(decode, grid=grid, size=size),
    )


def _convolutions(x, width: float, normed: bool, pretrained: bool):
    """(the last map, {stride: map}); pretrained: the first twenty convolutions alone."""
    number, maps = 0, {}
    for stage, convolutions in enumerate(STAGES, start=1):
        if stage > 1:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool")(x)
        for side, filters in convolutions:
            if pretrained and number == PRETRAINED:
                break
            number += 1
            stride = 2 if number in STRIDED else 1
            x = _conv(x, int(filters * width), side, stride, normed, name=f"conv{number}")
            if number == PRETRAINED:
                maps["s32"] = x
        if 1 < stage < 5:
            maps[f"s{2**stage}"] = x
    return x, {key: maps[key] for key in ("s4", "s8", "s16", "s32")}


def _conv(x, filters: int, side: int, stride: int, normed: bool, *, name: str):
    if normed:
        return darknet.conv(x, filters, side, stride, name=name)
    if stride > 1:
        x = keras.layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    x = keras.layers.Conv2D(
        filters, side, stride, padding=padding, kernel_initializer=darknet.normal(), name=name
    )(x)
    return keras.layers.LeakyReLU(0.1, name=f"{name}_act")(x)


def _cells(x, cells: int, boxes: int, num_classes: int) -> dict:
    """The paper's 7 x 7 x 30: cell by cell its boxes with their confidences, then its classes."""
    x = _shaped(x, (cells, 5 * boxes + num_classes), "cells")
    pairs = _shaped(_part(x, 0, 5 * boxes, "boxes"), (cells, boxes, 5), "rows")
    return {
        "cls": _part(x, 5 * boxes, 5 * boxes + num_classes, "cls"),
        "obj": _shaped(_part(pairs, 4, 5, "confidences"), (cells, boxes), "obj"),
        "box": _part(pairs, 0, 4, "box"),
    }


def _parts(x, cells: int, boxes: int, num_classes: int) -> dict:
    """Darknet's vector: all classes, all confidences, all boxes."""
    a, b = cells * num_classes, cells * (num_classes + boxes)
    return {
        "cls": _shaped(_part(x, 0, a, "classes"), (cells, num_classes), "cls"),
        "obj": _shaped(_part(x, a, b, "confidences"), (cells, boxes), "obj"),
        "box": _shaped(_part(x, b, b + 4 * cells * boxes, "boxes"), (cells, boxes, 4), "box"),
    }


def _part(x, start: int, stop: int, name: str):
    return Part(start, stop, dtype="float32", name=name)(x)


def _shaped(x, shape: tuple[int, ...], name: str):
    return keras.layers.Reshape(shape, dtype="float32", name=name)(x)


def corners(grid: tuple[int, int]) -> np.ndarray:
    """[S, 2] float32: x, y of each cell's corner, in cells."""
    y, x = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.stack([x, y], axis=1).astype(np.float32)


def boxes_of(box, grid: tuple[int, int]):
    """x, y, sqrt w, sqrt h [..., S, n, 4] -> boxes [..., S, n, 4] in parts of the picture."""
    center = (box[..., :2] + corners(grid)[:, None]) / np.float32(grid[::-1])
    half = ops.square(box[..., 2:]) / 2
    low, high = ops.flip(center - half, axis=-1), ops.flip(center + half, axis=-1)
    return ops.concatenate([low, high], axis=-1)


def loss(targets, outputs, *, grid: tuple[int, int]) -> dict:
    """{"xy", "wh", "obj", "noobj", "cls"}: (sum over the batch, number of pictures). Without
    objects only noobj is more than 0."""
    labels, truth = targets["cls"], targets["box"][:, :, None]
    has = ops.cast(labels > 0, "float32")
    box, confidence = ops.cast(outputs["box"], "float32"), ops.cast(outputs["obj"], "float32")
    own = ops.stop_gradient(boxes_of(box, grid))
    # Of parts of the picture, so that no overlap is lost to the smallest area divided by.
    overlap = iou(own * 1e3, boxes_of(truth, grid) * 1e3)
    apart = ops.sum(ops.square(_center_size(own) - _center_size(boxes_of(truth, grid))), axis=-1)
    touches = ops.max(overlap, axis=-1, keepdims=True) > 0
    chosen = ops.argmax(ops.where(touches, overlap, -apart), axis=-1)
    responsible = ops.one_hot(chosen, box.shape[-2], dtype="float32") * has[..., None]

    off = ops.square(box - truth)
    kinds = ops.one_hot(labels - 1, outputs["cls"].shape[-1], dtype="float32")
    cls = ops.sum(ops.square(ops.cast(outputs["cls"], "float32") - kinds), axis=-1)
    sums = {
        "xy": COORD * responsible * ops.sum(off[..., :2], axis=-1),
        "wh": COORD * responsible * ops.sum(off[..., 2:], axis=-1),
        "obj": responsible * ops.square(confidence - overlap),
        "noobj": NOOBJ * (1.0 - responsible) * ops.square(confidence),
        "cls": has * cls,
    }
    pictures = ops.cast(ops.shape(confidence)[0], "float32")
    return {name: (ops.sum(each), pictures) for name, each in sums.items()}


def _center_size(box):
    low, high = box[..., :2], box[..., 2:]
    return ops.concatenate([(low + high) / 2, high - low], axis=-1)


# What runs in tf.data and in the exported graph is TensorFlow: networks and losses do without it.
def encode(annotation, *, grid: tuple[int, int], size: tuple[int, int], num_classes: int):
    """What the S cells of one picture learn; M may be 0.

    cls [S] int32: class + 1 of the cell's object, 0 without one; box [S, 4] float32: x and y as
    parts of the cell, the roots of w and h as parts of the picture.
    """
    import tensorflow as tf

    from convoy.models import assign

    boxes = tf.cast(annotation["boxes"], tf.float32)
    classes = tf.cast(annotation["classes"], tf.int32)
    keep = assign.usable(boxes, classes, annotation["valid"], num_classes)
    boxes, classes = tf.boolean_mask(boxes, keep), tf.boolean_mask(classes, keep)
    place = (boxes[:, :2] + boxes[:, 2:]) / 2 / STRIDE  # y, x in cells
    cell = tf.clip_by_value(tf.cast(tf.floor(place), tf.int32), 0, [grid[0] - 1, grid[1] - 1])
    numbers = tf.range(tf.shape(boxes)[0])
    row = cell[:, 0] * grid[1] + cell[:, 1]
    learnt = tf.math.unsorted_segment_max(numbers, row, grid[0] * grid[1])  # the last of each
    chosen = tf.where(learnt >= 0)
    index = tf.gather_nd(learnt, chosen)
    part = tf.clip_by_value(place - tf.cast(cell, tf.float32), 0.0, 1.0)
    sides = tf.sqrt((boxes[:, 2:] - boxes[:, :2]) / np.float32(size))
    codes = tf.concat([part[:, ::-1], sides[:, ::-1]], axis=1)
    count = grid[0] * grid[1]
    return {
        "cls": tf.scatter_nd(chosen, tf.gather(classes, index) + 1, [count]),
        "box": tf.scatter_nd(chosen, tf.gather(codes, index), [count, 4]),
    }


def decode(
    outputs,
    score_threshold=0.2,
    iou_threshold=0.5,
    max_detections=98,
    suppression="hard",
    *,
    grid,
    size,
):
    """A detector's `decode`: of every box its confidence times its cell's classes."""
    import tensorflow as tf

    from convoy.models.decode import suppress

    boxes = boxes_of(ops.cast(outputs["box"], "float32"), grid) * np.float32([*size, *size])
    # Linear outputs are no probabilities: two negative ones would make a score.
    confidence, kinds = (
        ops.clip(ops.cast(outputs[key], "float32"), 0.0, 1.0) for key in ("obj", "cls")
    )
    scores = confidence[..., None] * kinds[:, :, None]
    rows = grid[0] * grid[1] * outputs["obj"].shape[-1]
    boxes = tf.reshape(boxes, [-1, rows, 4])
    scores = tf.reshape(scores, [-1, rows, outputs["cls"].shape[-1]])
    return suppress(boxes, scores, score_threshold, iou_threshold, max_detections, suppression)
