"""YOLOv4 and YOLOv4-tiny: a pyramid that goes down and up again, boxes learnt by their overlap.

Papers: Bochkovskiy 2020 https://arxiv.org/abs/2004.10934; Wang 2020 https://arxiv.org/abs/2011.08036
(tiny). The layers are those of the authors' yolov4.cfg and yolov4-tiny.cfg. YOLOv4: SPP on the map
of stride 32, a path of lateral convolutions up to stride 8 and one of strided convolutions down
again (Liu 2018, PANet, https://arxiv.org/abs/1803.01534, with maps joined instead of added); its
anchors go the other way round, the smallest to stride 8. Parts of cells, reach, anchors and which
rows learn an object: models/detection/yolo.py.

Loss of one picture, summed over rows i; p = sigmoid(t), BCE(q, t) the cross entropy of q with
sigmoid(t):

    box  5 sum over rows with an object of 1 - CIoU of its box with the object
    obj  sum over rows with an object of BCE(1, t_o), and over the others of BCE(0, t_o), but for
         those whose box overlaps any object by more than 0.7
    cls  sum over rows with an object and classes k of BCE(q_k, t_k): q is 1 for the object's class,
         0 for others; smoothed by e, q (1 - e) + e / 2

All anchors of the object's cell whose shapes overlap it by more than 0.213 learn it (iou_thresh of
the .cfg), of tiny the best alone. The normalizer of all parts is the number of pictures, Darknet's.

Differences: box is the loss of the paper (section 3.4) with its own gradient. Darknet's .cfg says
0.07 instead of 5, but its gradients are in parts of the picture and leave the sigmoid's slope and
the anchor's size out, so that one number does not fit both. Of a pair of the best anchor alone,
10 x 14 of tiny, no row learns in Darknet: no map has that anchor; here the best of the anchors that
there are does. Ignored rows need no class of more than 0.25 here. Self-adversarial training and
CutMix (of the classifier) are left out; mosaic is augment.mosaic. DropBlock, which the paper's
table 4 lists and the .cfg lacks, is `dropout`: before the head's last but one convolution. Those of
yolov3.py.
"""

from __future__ import annotations

import functools

import keras
from keras import ops

from convoy.models import iou, layers, losses
from convoy.models.classification import darknet
from convoy.models.classification.cspdarknet import uniform
from convoy.models.detection import yolo, yolov3
from convoy.models.dropblock import DropBlock
from convoy.models.spec import ModelInfo, Task

# Anchors (width, height) in pixels by stride.
ANCHORS = {
    8: ((12, 16), (19, 36), (40, 28)),
    16: ((36, 75), (76, 55), (72, 146)),
    32: ((142, 110), (192, 243), (459, 401)),
}
ANCHORS_TINY = {32: ((81, 82), (135, 169), (344, 319)), 16: ((23, 27), (37, 58), (81, 82))}
REACHES = {8: 1.2, 16: 1.1, 32: 1.05}  # scale_x_y of the .cfg
REACH_TINY = 1.05
ALSO = 0.213  # overlap of shapes from which on an anchor beside the best one learns an object
IGNORE = 0.7  # overlap with an object from which on a row is not told that there is none
BOX = 5.0  # weight of 1 - CIoU
DROP_SIDE = 7  # of DropBlock's squares

_conv = functools.partial(darknet.conv, start=uniform)


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 80,
    anchors=(),
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
) -> Task:
    """A detector of `num_classes` on a backbone's maps of stride 8 (not tiny), 16 and 32."""
    yolo.check_size(variant, info.preprocess.size)
    tiny = variant == "yolov4_tiny"
    shapes = yolo.shapes_by_stride(variant, anchors, ANCHORS_TINY if tiny else ANCHORS)
    strides = [f"s{stride}" for stride in sorted(shapes)]
    maps = dict(zip(sorted(shapes), layers.maps_of(variant, backbone, strides), strict=True))
    outputs, levels = [], []
    for stride, x in (_tiny if tiny else _pyramid)(maps, dropout):
        levels.append(yolo.level(x, stride, shapes[stride]))
        outputs.append(yolo.rows(x, levels[-1], num_classes, name=f"s{stride}", start=uniform))
    return yolo.on_grid(
        backbone.input,
        outputs,
        levels,
        info,
        functools.partial(loss, label_smoothing=label_smoothing),
        yolov3.scores,
        reaches=[REACH_TINY if tiny else REACHES[stride] for stride in shapes],
        also=1.0 if tiny else ALSO,
    )


def _pyramid(maps: dict, dropout: float):
    """Yields (stride, map before the head), the finest first, as in the .cfg."""
    x = _alternate(maps[32], 512, 3, name="neck32")
    up = {32: _alternate(yolov3.spp(x), 512, 3, name="neck32", first=4)}
    for stride, filters in ((16, 256), (8, 128)):
        name = f"neck{stride}"
        x = _conv(up[2 * stride], filters, 1, name=f"{name}_reduce")
        x = keras.layers.UpSampling2D(2, name=f"{name}_upsample")(x)
        lateral = _conv(maps[stride], filters, 1, name=f"{name}_lateral")
        x = keras.layers.Concatenate(name=f"{name}_concat")([lateral, x])
        up[stride] = _alternate(x, filters, 5, name=name)
    x = up[8]
    yield 8, _head(x, 256, dropout, name="s8_conv1")
    for stride, filters in ((16, 256), (32, 512)):
        name = f"s{stride}"
        x = _conv(x, filters, 3, 2, name=f"{name}_down")
        x = keras.layers.Concatenate(name=f"{name}_concat")([x, up[stride]])
        x = _alternate(x, filters, 5, name=name)
        yield stride, _head(x, 2 * filters, dropout, name=f"{name}_conv6")


def _alternate(x, filters: int, count: int, *, name: str, first: int = 1):
    """`count` convolutions: 1x1 to `filters` and 3x3 to twice as many by turns."""
    for index in range(count):
        wide = index % 2
        x = _conv(x, (1 + wide) * filters, 1 + 2 * wide, name=f"{name}_conv{first + index}")
    return x


def _tiny(maps: dict, dropout: float):
    x = _conv(maps[32], 256, 1, name="s32_conv1")
    yield 32, _head(x, 512, dropout, name="s32_conv2")
    x = _conv(x, 128, 1, name="s16_reduce")
    x = keras.layers.UpSampling2D(2, name="s16_upsample")(x)
    x = keras.layers.Concatenate(name="s16_concat")([x, maps[16]])
    yield 16, _head(x, 256, dropout, name="s16_conv1")


def _head(x, filters: int, dropout: float, *, name: str):
    if dropout:
        x = DropBlock(dropout, DROP_SIDE, name=f"{name}_drop")(x)
    return _conv(x, filters, 3, name=name)


def loss(targets, outputs, *, grid: yolo.Grid, label_smoothing: float = 0.0) -> dict:
    """{"box", "obj", "cls"}: (sum over the batch, number of pictures). Without objects only obj is
    more than 0."""
    outputs = ops.cast(outputs, "float32")
    labels, box = targets["cls"], targets["box"]
    learns = ops.cast(labels > 0, "float32")
    boxes = yolo.boxes_of(outputs, grid)
    truth = yolo.placed(box[..., :2], box[..., 2:], grid)
    apart = 1.0 - iou.ciou(boxes, truth)

    near = yolo.best_overlap(boxes, targets["truth"]) > IGNORE
    judged = ops.cast(ops.logical_or(labels > 0, ~near), "float32")
    obj = losses.binary_cross_entropy(learns, outputs[..., 4])
    kinds = ops.one_hot(labels - 1, outputs.shape[-1] - 5, dtype="float32")
    kinds = kinds * (1.0 - label_smoothing) + 0.5 * label_smoothing
    cls = ops.sum(losses.binary_cross_entropy(kinds, outputs[..., 5:]), axis=-1)

    pictures = ops.cast(ops.shape(outputs)[0], "float32")
    sums = {"box": BOX * learns * apart, "obj": judged * obj, "cls": learns * cls}
    return {name: (ops.sum(each), pictures) for name, each in sums.items()}
