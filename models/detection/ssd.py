"""SSD: boxes and classes from convolutions on maps of several strides, against fixed priors.

Papers: Liu 2015 https://arxiv.org/abs/1512.02325 (ssd300_vgg16);
Howard 2017 https://arxiv.org/abs/1704.04861 and Sandler 2018 https://arxiv.org/abs/1801.04381
(separable heads), in the spirit of which `ssd` is built on any backbone, ssd_mobilenet_v1 on one.

ssd300_vgg16 follows the authors' Caffe: 8732 unclipped priors of VOC's sizes, conv4_3 scaled to
norm 20. Differences: every prior box takes part in decoding (Caffe keeps 400 a class before
suppression, we keep at most 400 a class after it).

`ssd` is ours, made to train from scratch in minutes: maps of stride 8, 16, 32 and extra levels
until a map is one cell or there are six; BatchNorm everywhere; heads are one 3x3 depthwise layer
followed by two 1x1 ones. Prior sizes are 0.1, 0.2, 0.37, 0.54, 0.71, 0.88 (and 1.05) of the
input's side, sqrt(height * width) where it is not square.
"""

from __future__ import annotations

import functools
import math

import keras

from convoy.models import anchors, layers, losses
from convoy.models.classification import mobilenet
from convoy.models.detection.task import detector
from convoy.models.spec import ModelInfo, Priors, Task

RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
SSD300_SIZES_PX = (30, 60, 111, 162, 213, 264, 315)
SSD300_STEPS_PX = (8, 16, 32, 64, 100, 300)
RELATIVE_SIZES = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)
STRIDES = ("s8", "s16", "s32")
MINIMUM = 64
THRESHOLD = 0.5  # least overlap of an object and a prior that learns it


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's maps by stride."""
    make = ssd300 if variant == "ssd300_vgg16" else separable
    return make(variant, info, backbone, num_classes, width)


def ssd300(variant: str, info: ModelInfo, backbone, num_classes: int, width: float = 1.0) -> Task:
    why = "steps and sizes of its 8732 priors are made for this size"
    layers.check_input(variant, info.preprocess.size, exact=300, why=why)
    sources = _vgg_sources(backbone.output)
    levels = [
        anchors.Level(
            grid=tuple(source.shape[1:3]),
            step=(step, step),
            shapes=anchors.ssd_shapes(*SSD300_SIZES_PX[i : i + 2], RATIOS[i]),
        )
        for i, (source, step) in enumerate(zip(sources, SSD300_STEPS_PX, strict=True))
    ]
    return multibox(backbone.input, sources, levels, _conv_head, num_classes, info)


def _vgg_sources(maps: dict) -> list:
    """Six maps of 38, 19, 10, 5, 3 and 1 cells a side."""
    x = keras.layers.MaxPooling2D(3, 1, padding="same", name="block5_pool")(maps["s16"])
    x = _conv(x, 1024, 3, name="fc6", dilation_rate=6)
    x = _conv(x, 1024, 1, name="fc7")
    sources = [layers.L2Normalization(20.0, name="block4_scale")(maps["s8"]), x]
    for index, (reduced, filters, stride) in enumerate(
        ((256, 512, 2), (128, 256, 2), (128, 256, 1), (128, 256, 1)), start=6
    ):
        x = _conv(x, reduced, 1, name=f"conv{index}_1")
        if stride == 2:
            x = keras.layers.ZeroPadding2D(1, name=f"conv{index}_pad")(x)
        x = _conv(x, filters, 3, name=f"conv{index}_2", strides=stride, padding="valid")
        sources.append(x)
    return sources


def _conv(x, filters: int, kernel: int, *, name: str, padding: str = "same", **options):
    return keras.layers.Conv2D(
        filters,
        kernel,
        padding=padding,
        activation="relu",
        kernel_initializer=layers.HE,
        name=name,
        **options,
    )(x)


def separable(variant: str, info: ModelInfo, backbone, num_classes: int, width: float) -> Task:
    height, columns = info.preprocess.size
    why = "smaller inputs leave fewer than four levels of priors"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    sources = list(layers.maps_of(variant, backbone, STRIDES))
    for index, filters in enumerate((512, 256, 256), start=1):
        if max(sources[-1].shape[1:3]) == 1:
            break
        reduced = mobilenet.conv(sources[-1], int(filters * width) // 2, name=f"extra{index}_1")
        sources.append(mobilenet.conv(reduced, int(filters * width), 3, 2, name=f"extra{index}_2"))
    sizes = [relative * math.sqrt(height * columns) for relative in RELATIVE_SIZES]
    levels = [
        anchors.Level(
            grid=tuple(source.shape[1:3]),
            step=(height / source.shape[1], columns / source.shape[2]),
            shapes=anchors.ssd_shapes(sizes[i], sizes[i + 1], RATIOS[i]),
        )
        for i, source in enumerate(sources)
    ]
    return multibox(backbone.input, sources, levels, _separable_head, num_classes, info)


def _conv_head(x, priors: int, channels: dict[str, int], *, name: str) -> dict:
    """One 3x3 convolution an output, as in the paper."""
    return {
        key: keras.layers.Conv2D(
            priors * count,
            3,
            padding="same",
            kernel_initializer="glorot_uniform",
            dtype="float32",
            name=f"{name}_{key}",
        )(x)
        for key, count in channels.items()
    }


def _separable_head(x, priors: int, channels: dict[str, int], *, name: str) -> dict:
    """One 3x3 depthwise layer for both outputs, then a 1x1 convolution each."""
    x = mobilenet.depthwise(x, name=f"{name}_depthwise")
    return {
        key: keras.layers.Conv2D(
            priors * count,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.03),
            dtype="float32",
            name=f"{name}_{key}",
        )(x)
        for key, count in channels.items()
    }


def multibox(image, sources, levels, head, num_classes: int, info: ModelInfo) -> Task:
    """The SSD meta-architecture: a head on each source map, one row per prior in anchors' order.

    image is the model's input, sources the maps of any backbone, levels their priors, and
    head(x, priors, channels, name=) draws the maps {"cls", "box"} of one level.
    """
    size = info.preprocess.size
    channels = {"cls": num_classes + 1, "box": 4}
    rows = {key: [] for key in channels}
    for index, (source, level) in enumerate(zip(sources, levels, strict=True), start=1):
        drawn = head(source, len(level.shapes), channels, name=f"level{index}")
        for key, count in channels.items():
            flat = keras.layers.Reshape(
                (level.count, count), dtype="float32", name=f"level{index}_{key}_rows"
            )
            rows[key].append(flat(drawn[key]))
    outputs = {
        key: keras.layers.Concatenate(axis=1, dtype="float32", name=key)(parts)
        for key, parts in rows.items()
    }
    priors = Priors(anchors.priors(levels), THRESHOLD)
    return detector(
        keras.Model(image, outputs, name=info.name),
        info,
        encode=functools.partial(_encode, priors=priors, num_classes=num_classes),
        loss=losses.multibox,
        decode=functools.partial(_decode, priors=priors.boxes, size=size),
        priors=priors,
    )


# What runs in tf.data and in the exported graph is TensorFlow: networks and losses do without it.
def _encode(annotation, *, priors: Priors, num_classes: int):
    from convoy.models import assign

    objects = (annotation[name] for name in ("boxes", "classes", "valid"))
    return assign.encode_ssd(*objects, priors.boxes, num_classes, priors.threshold)


def _decode(outputs, score_threshold=0.01, iou_threshold=0.45, max_detections=200, *, priors, size):
    from convoy.models import decode

    return decode.decode_softmax(
        outputs, priors, size, score_threshold, iou_threshold, max_detections
    )
