"""YOLOv2 and its tiny version: five anchors per cell of one map, one class per box.

Paper: Redmon 2016 https://arxiv.org/abs/1612.08242; the layers are those of the authors'
yolov2-voc.cfg and yolov2-tiny-voc.cfg, in their order, with their anchors for VOC, k-means of its
boxes; yolov2.cfg is the first with other anchors. Parts of cells, anchors and which row learns an
object: models/detection/yolo.py.

Loss of one picture, summed over rows i; t are raw values, p = sigmoid(t), stars mark what the
object of a row asks for, and every squared error is halved:

    xy   sum over rows with an object of (p_x - x*)^2 + (p_y - y*)^2
    wh   sum over rows with an object of (t_w - t_w*)^2 + (t_h - t_h*)^2
    obj  5 sum over rows with an object of (p_o - IoU of its box with the object)^2, and over the
         others of p_o^2, but for those whose box overlaps any object by more than 0.6
    cls  sum over rows with an object of the cross entropy of softmax(t_1 ... t_K)

The paper names no loss but YOLOv1's squared errors; these are the gradients of Darknet's
region_layer with the scales of the .cfg: coord 1, object 5, noobject 1, class 1, rescore. No
gradient flows through the IoU. The normalizer of all parts is the number of pictures, Darknet's.

Differences: Darknet draws all boxes a little to their anchors during the first 12,800 pictures, and
trains at sizes that change every ten batches; those of yolov3.py. yolov2-tiny.cfg, for COCO, has
half as many channels in its last layer but one: its file does not fit here.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers, losses
from convoy.models.classification import darknet
from convoy.models.detection import yolo
from convoy.models.iou import iou
from convoy.models.spec import ModelInfo, Task

# (width, height) in cells.
ANCHORS = (
    *((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892)),
    *((9.47112, 4.84053), (11.2364, 10.0071)),
)
ANCHORS_TINY = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))
IGNORE = 0.6  # overlap with an object from which on a row is not told that there is none
OBJECT = 5.0  # weight of the objectness of rows with an object


@keras.saving.register_keras_serializable("convoy")
class Reorg(keras.layers.Layer):
    """Darknet's reorg of stride 2: [B, H, W, C] -> [B, H / 2, W / 2, 4 C], a permutation.

    Not space to depth. Darknet's map [C, H, W] in memory is read as one of [C / 4, 2 H, 2 W], whose
    four interleaved maps [C / 4, H, W] follow one another, and are read as [4 C, H / 2, W / 2].
    C is a multiple of 4, H and W of 2.
    """

    def call(self, x):
        height, width, channels = x.shape[1:]
        x = ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, channels // 4, height, 2, width, 2))
        x = ops.transpose(x, (0, 3, 5, 1, 2, 4))
        x = ops.reshape(x, (-1, 4 * channels, height // 2, width // 2))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height // 2, width // 2, 4 * channels)


def build(
    variant: str, info: ModelInfo, backbone: keras.Model, *, num_classes: int = 20, anchors=()
) -> Task:
    """A detector of `num_classes` on a backbone's maps of stride 16 (not tiny) and 32."""
    yolo.check_size(variant, info.preprocess.size)
    tiny = variant == "yolov2_tiny"
    if tiny:
        (x,) = layers.maps_of(variant, backbone, ("s32",))
        x = keras.layers.MaxPooling2D(2, 1, padding="same", name="s32_pool")(x)
    else:
        fine, x = layers.maps_of(variant, backbone, ("s16", "s32"))
    x = darknet.conv(x, 1024, 3, name="s32_conv1")
    x = darknet.conv(x, 1024, 3, name="s32_conv2")
    if not tiny:
        fine = darknet.conv(fine, 64, 1, name="s32_passthrough")
        fine = Reorg(name="s32_reorg")(fine)
        x = keras.layers.Concatenate(name="s32_concat")([fine, x])
        x = darknet.conv(x, 1024, 3, name="s32_join")
    own = [(32 * w, 32 * h) for w, h in (ANCHORS_TINY if tiny else ANCHORS)]
    level = yolo.level(x, 32, yolo.shapes_by_stride(variant, anchors, {32: own})[32])
    outputs = [yolo.rows(x, level, num_classes, name="s32")]
    return yolo.on_grid(backbone.input, outputs, [level], info, loss, scores)


def loss(targets, outputs, *, grid: yolo.Grid) -> dict:
    """{"xy", "wh", "obj", "cls"}: (sum over the batch, number of pictures). Without objects only
    obj is more than 0."""
    outputs = ops.cast(outputs, "float32")
    labels, box = targets["cls"], targets["box"]
    learns = ops.cast(labels > 0, "float32")
    xy = 0.5 * ops.sum(ops.square(ops.sigmoid(outputs[..., :2]) - box[..., :2]), axis=-1)
    wh = 0.5 * ops.sum(ops.square(outputs[..., 2:4] - box[..., 2:]), axis=-1)

    boxes = ops.stop_gradient(yolo.boxes_of(outputs, grid))
    own = iou(boxes, yolo.placed(box[..., :2], box[..., 2:], grid))
    near = yolo.best_overlap(boxes, targets["truth"]) > IGNORE
    objectness = ops.sigmoid(outputs[..., 4])
    without = ops.where(near, 0.0, ops.square(objectness))
    obj = 0.5 * ops.where(labels > 0, OBJECT * ops.square(objectness - own), without)
    cls = losses.cross_entropy(ops.maximum(labels - 1, 0), outputs[..., 5:])

    pictures = ops.cast(ops.shape(outputs)[0], "float32")
    sums = {"xy": learns * xy, "wh": learns * wh, "obj": obj, "cls": learns * cls}
    return {name: (ops.sum(each), pictures) for name, each in sums.items()}


def scores(rows):
    """objectness * P(class | object) of one of the classes: [B, N, 5 + K] -> [B, N, K]."""
    # Keras warns of a softmax over one class.
    return ops.sigmoid(rows[..., 4:5]) * ops.exp(ops.log_softmax(rows[..., 5:], axis=-1))
