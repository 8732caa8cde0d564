"""SSD: boxes and classes from convolutions on maps of several strides, against fixed priors.

Papers: Liu 2015 https://arxiv.org/abs/1512.02325 (ssd300_vgg16, ssd512_vgg16);
Howard 2017 https://arxiv.org/abs/1704.04861 and Sandler 2018 https://arxiv.org/abs/1801.04381
(separable heads), in the spirit of which `ssd` is built on any backbone, ssd_mobilenet_v1 on one.

ssd300_vgg16 and ssd512_vgg16 follow the authors' Caffe: 8732 and 24,564 unclipped priors, of VOC's
sizes or, smaller by a third, COCO's; conv4_3 scaled to norm 20. Differences: every prior box takes
part in decoding (Caffe keeps 400 a class before suppression, we keep at most 400 a class after it).

`ssd` is ours, made to train from scratch in minutes: maps of stride 8, 16, 32 and extra levels
until a map is one cell or there are six; BatchNorm everywhere; heads are one 3x3 depthwise layer
followed by two 1x1 ones. Prior sizes are 0.1, 0.2, 0.37, 0.54, 0.71, 0.88 (and 1.05) of the
input's side, sqrt(height * width) where it is not square.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import keras

from convoy.models import anchors, layers, losses
from convoy.models.classification import mobilenet
from convoy.models.detection.task import detector
from convoy.models.spec import ModelInfo, Priors, Task

RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))


@dataclasses.dataclass(frozen=True)
class OnVGG:
    """An SSD of the paper: its maps behind conv4_3 and fc7, and the priors of all of them."""

    side: int  # of the input, pixels
    extras: tuple[tuple[int, int, int, int, int], ...]  # 1x1, filters, kernel, stride, padding
    steps_px: tuple[int, ...]
    ratios: tuple[tuple[int, ...], ...]
    sizes_px: Mapping[str, tuple[float, ...]]  # by data set: of each level, and one more


_HALVING, _LESS = (128, 256, 3, 2, 1), (128, 256, 3, 1, 0)
VGG = {
    "ssd300_vgg16": OnVGG(
        300,
        ((256, 512, 3, 2, 1), _HALVING, _LESS, _LESS),
        (8, 16, 32, 64, 100, 300),
        RATIOS,
        {"voc": (30, 60, 111, 162, 213, 264, 315), "coco": (21, 45, 99, 153, 207, 261, 315)},
    ),
    "ssd512_vgg16": OnVGG(
        512,
        ((256, 512, 3, 2, 1), _HALVING, _HALVING, _HALVING, (128, 256, 4, 1, 1)),
        (8, 16, 32, 64, 128, 256, 512),
        ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        {
            "voc": (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
            "coco": (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72),
        },
    ),
}
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
    priors: str = "voc",
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's maps by stride.

    priors: "voc" or "coco", whose sizes an SSD of the paper has.
    """
    if variant in VGG:
        return on_vgg(variant, info, backbone, num_classes, priors)
    return separable(variant, info, backbone, num_classes, width)


def on_vgg(variant: str, info: ModelInfo, backbone, num_classes: int, priors: str) -> Task:
    v = VGG[variant]
    why = "steps and sizes of its priors are made for this size"
    layers.check_input(variant, info.preprocess.size, exact=v.side, why=why)
    if priors not in v.sizes_px:
        raise ValueError(
            f"{variant}: priors: expected {' or '.join(v.sizes_px)}, got {priors!r}: the data set "
            "for whose boxes its sizes are"
        )
    sizes, sources = v.sizes_px[priors], _vgg_sources(backbone.output, v)
    levels = [
        anchors.Level(
            grid=tuple(source.shape[1:3]),
            step=(step, step),
            shapes=anchors.ssd_shapes(*sizes[i : i + 2], v.ratios[i]),
        )
        for i, (source, step) in enumerate(zip(sources, v.steps_px, strict=True))
    ]
    return multibox(backbone.input, sources, levels, _conv_head, num_classes, info)


def _vgg_sources(maps: dict, v: OnVGG) -> list:
    """Maps of 38, 19, 10, 5, 3 and 1 cells a side, of ssd512 64, 32, 16, 8, 4, 2 and 1."""
    x = keras.layers.MaxPooling2D(3, 1, padding="same", name="block5_pool")(maps["s16"])
    x = _conv(x, 1024, 3, name="fc6", dilation_rate=6)
    x = _conv(x, 1024, 1, name="fc7")
    sources = [layers.L2Normalization(20.0, name="block4_scale")(maps["s8"]), x]
    for index, (reduced, filters, kernel, stride, padding) in enumerate(v.extras, start=6):
        x = _conv(x, reduced, 1, name=f"conv{index}_1")
        if padding:
            x = keras.layers.ZeroPadding2D(padding, name=f"conv{index}_pad")(x)
        x = _conv(x, filters, kernel, name=f"conv{index}_2", strides=stride, padding="valid")
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


def _decode(
    outputs,
    score_threshold=0.01,
    iou_threshold=0.45,
    max_detections=200,
    suppression="hard",
    *,
    priors,
    size,
):
    from convoy.models import decode

    return decode.decode_softmax(
        outputs, priors, size, score_threshold, iou_threshold, max_detections, suppression
    )
