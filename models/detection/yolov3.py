"""YOLOv3, YOLOv3-SPP and YOLOv3-tiny: boxes from two or three maps, classes that may coexist.

Paper: Redmon 2018 https://arxiv.org/abs/1804.02767; the layers are those of the authors'
yolov3.cfg, yolov3-spp.cfg and yolov3-tiny.cfg, in their order. Parts of cells, anchors and which
row learns an object: models/detection/yolo.py.

Loss of one picture, summed over rows i; t and p are logits and their sigmoids, BCE(q, t) the cross
entropy of a probability q with sigmoid(t), stars mark what the object of a row asks for:

    xy   sum over rows with an object of (2 - w h) [BCE(x*, t_x) + BCE(y*, t_y)]
    wh   sum over rows with an object of (2 - w h) [(t_w - t_w*)^2 + (t_h - t_h*)^2] / 2
    obj  sum over rows with an object of BCE(1, t_o), and over the others of BCE(0, t_o), but for
         those whose box overlaps any object by more than 0.5
    cls  sum over rows with an object and classes k of BCE(k = class, t_k)

w h is the object's part of the picture. obj and cls are section 2.1 and 2.2 of the paper. For xy
the paper says squared error with the gradient x* - p_x: that is the gradient of BCE, as Darknet's
yolo_layer has it; so is (2 - w h), of which the paper does not speak. The normalizer of all parts
is the number of pictures, Darknet's. 0.5 is the paper's; yolov3.cfg says 0.7.

Differences: a letterbox is placed to a part of a pixel, Darknet's to whole ones; t_w and t_h end at
8; momentum and epsilon of BatchNorm are those of models/classification/darknet.py.
"""

from __future__ import annotations

import functools

import keras
from keras import ops

from convoy.models import layers, losses
from convoy.models.classification import darknet
from convoy.models.detection import yolo
from convoy.models.spec import ModelInfo, Task

# Anchors (width, height) in pixels by stride.
ANCHORS = {
    32: ((116, 90), (156, 198), (373, 326)),
    16: ((30, 61), (62, 45), (59, 119)),
    8: ((10, 13), (16, 30), (33, 23)),
}
ANCHORS_TINY = {32: ((81, 82), (135, 169), (344, 319)), 16: ((10, 14), (23, 27), (37, 58))}
FILTERS = {32: 512, 16: 256, 8: 128}  # of the 1x1 convolutions by stride; 3x3 ones have twice those
POOLS = (13, 9, 5)  # sides of SPP's poolings, in the order in which they are joined
IGNORE = 0.5  # overlap with an object from which on a row is not told that there is none


def build(
    variant: str, info: ModelInfo, backbone: keras.Model, *, num_classes: int = 80, anchors=()
) -> Task:
    """A detector of `num_classes` on a backbone's maps of stride 8 (not tiny), 16 and 32."""
    yolo.check_size(variant, info.preprocess.size)
    tiny = variant == "yolov3_tiny"
    shapes = yolo.shapes_by_stride(variant, anchors, ANCHORS_TINY if tiny else ANCHORS)
    strides = [f"s{stride}" for stride in shapes]
    maps = dict(zip(shapes, layers.maps_of(variant, backbone, strides), strict=True))
    make = _tiny if tiny else functools.partial(_pyramid, pools=variant == "yolov3_spp")
    outputs, levels = [], []
    for stride, x in make(maps):
        levels.append(yolo.level(x, stride, shapes[stride]))
        outputs.append(yolo.rows(x, levels[-1], num_classes, name=f"s{stride}"))
    return yolo.on_grid(backbone.input, outputs, levels, info, loss, scores)


def _pyramid(maps: dict, *, pools: bool):
    """Yields (stride, map before the head); what goes on to the next level is one layer earlier."""
    x = maps[32]
    for stride, filters in FILTERS.items():
        if stride < 32:
            x = _joined(x, maps[stride], filters, name=f"s{stride}")
        joins = pools and stride == 32  # poolings behind the third convolution
        kernels = (1, 3, 1, 1, 3, 1, 3) if joins else (1, 3, 1, 3, 1, 3)
        for index, kernel in enumerate(kernels, start=1):
            before = x
            if joins and index == 4:
                x = spp(x)
            width = filters if kernel == 1 else 2 * filters
            x = darknet.conv(x, width, kernel, name=f"s{stride}_conv{index}")
        yield stride, x
        x = before


def spp(x):
    """The map beside its maxima of 13x13, 9x9 and 5x5: He 2014 https://arxiv.org/abs/1406.4729."""
    pools = [
        keras.layers.MaxPooling2D(side, 1, padding="same", name=f"spp_pool{side}")(x)
        for side in POOLS
    ]
    return keras.layers.Concatenate(name="spp_concat")([*pools, x])


def _tiny(maps: dict):
    x = keras.layers.MaxPooling2D(2, 1, padding="same", name="s32_pool")(maps[32])
    x = darknet.conv(x, 1024, 3, name="s32_conv1")
    x = darknet.conv(x, 256, 1, name="s32_conv2")
    yield 32, darknet.conv(x, 512, 3, name="s32_conv3")
    x = _joined(x, maps[16], 128, name="s16")
    yield 16, darknet.conv(x, 256, 3, name="s16_conv1")


def _joined(x, lateral, filters: int, *, name: str):
    """x reduced to `filters` and twice as large, then the backbone's map."""
    x = darknet.conv(x, filters, 1, name=f"{name}_reduce")
    x = keras.layers.UpSampling2D(2, name=f"{name}_upsample")(x)
    return keras.layers.Concatenate(name=f"{name}_concat")([x, lateral])


def loss(targets, outputs, *, grid: yolo.Grid) -> dict:
    """{"xy", "wh", "obj", "cls"}: (sum over the batch, number of pictures). Without objects only
    obj is more than 0."""
    outputs = ops.cast(outputs, "float32")
    labels, box = targets["cls"], targets["box"]
    learns = ops.cast(labels > 0, "float32")
    part = ops.prod(grid.anchor, axis=-1) / (grid.size[0] * grid.size[1])
    weight = learns * (2.0 - part * ops.exp(ops.sum(box[..., 2:], axis=-1)))

    xy = ops.sum(losses.binary_cross_entropy(box[..., :2], outputs[..., :2]), axis=-1)
    wh = 0.5 * ops.sum(ops.square(box[..., 2:] - outputs[..., 2:4]), axis=-1)
    near = yolo.best_overlap(yolo.boxes_of(outputs, grid), targets["truth"]) > IGNORE
    judged = ops.cast(ops.logical_or(labels > 0, ~near), "float32")
    obj = losses.binary_cross_entropy(learns, outputs[..., 4])
    truth = ops.one_hot(labels - 1, outputs.shape[-1] - 5, dtype="float32")
    cls = ops.sum(losses.binary_cross_entropy(truth, outputs[..., 5:]), axis=-1)

    pictures = ops.cast(ops.shape(outputs)[0], "float32")
    sums = {"xy": weight * xy, "wh": weight * wh, "obj": judged * obj, "cls": learns * cls}
    return {name: (ops.sum(each), pictures) for name, each in sums.items()}


def scores(rows):
    """objectness * P(class | object), each a probability of its own: [B, N, 5 + K] -> [B, N, K]."""
    return ops.sigmoid(rows[..., 4:5]) * ops.sigmoid(rows[..., 5:])
