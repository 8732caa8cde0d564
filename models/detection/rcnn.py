"""R-CNN: every given region of a picture warped to a classifier's input, and classified.

Paper: Girshick 2013 https://arxiv.org/abs/1311.2524 (rcnn_alexnet: AlexNet at 227 px, its last
layer for K + 1 classes; section A for the warp). A region grows by 16 of the classifier's 227
pixels on each side, as context, then its height and width become 227 whatever they were; beyond the
picture is the mean colour, 0 after normalisation. 32 regions with IoU >= 0.5 and 96 others of each
picture learn (there: of each batch of pictures). What is fitted afterwards is in margins.py.

Differences from the paper: regions are read from the picture as it fits into 500 x 500 px, the size
at which its proposals were searched; corners are not rounded to pixels before the warp; a mean
colour, not a mean picture; Caffe's alexnet of the table; dropout of fc6 and fc7 (there 0.5) is the
caller's. Each region costs a run of the classifier, about 0.7 GMACs of AlexNet; where it is served
and evaluated, AT_ONCE of them run at a time.

Another classifier may stand in: regions then have its own default size, and its last map is what
fc6 and the box regression see. `width` narrows fc6 and fc7.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.detection import margins, two_stage
from convoy.models.keras_internals import repeated
from convoy.models.roi import RoIAlign
from convoy.models.spec import ModelInfo, Task

PLAN = two_stage.Plan(roi_samples=128, roi_share=0.25, roi_object=0.5, roi_none=0.0)
CONTEXT = 227 / (227 - 2 * 16)  # how much larger a region is read than it is
WIDTHS = (4096, 4096)
AT_ONCE = 32  # regions of each picture whose maps are in memory
MINIMUM = 64


@keras.saving.register_keras_serializable("convoy")
class Grown(keras.layers.Layer):
    """Boxes [B, R, 4] -> the same centres, sides `factor` times as long; not cut to the picture."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**{"autocast": False, **kwargs, "dtype": "float32"})
        self.factor = float(factor)

    def call(self, boxes):
        low, high = boxes[..., :2], boxes[..., 2:]
        center, half = (low + high) / 2, (high - low) / 2 * self.factor
        return ops.concatenate([center - half, center + half], axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("convoy")
class Together(keras.layers.Layer):
    """[B, R, H, W, C] -> [B * R, H, W, C]: regions as pictures of one batch."""

    def call(self, x):
        return ops.reshape(x, (-1, *x.shape[2:]))

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable("convoy")
class Apart(keras.layers.Layer):
    """([B * R, ...], boxes [B, R, 4]) -> [B, R, ...]: pictures as regions of theirs again."""

    def call(self, x, boxes):
        return ops.reshape(x, (-1, ops.shape(boxes)[1], *x.shape[1:]))

    def compute_output_shape(self, x_shape, boxes_shape):
        return (*boxes_shape[:2], *x_shape[1:])


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
    dropout: float = 0.0,
) -> Task:
    """A detector of `num_classes` (background not counted) by a backbone that sees regions."""
    why = "regions are read from it"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    proposals = keras.Input((None, 4), dtype="float32", name="proposals")
    image, pixels = layers.image_input(info.preprocess)
    x = seen(pixels, proposals, backbone, CONTEXT)
    maps = Apart(name="regions_apart")(x, proposals)
    widths = [int(each * width) for each in WIDTHS]
    start = margins.paper_start()
    outputs = margins.heads(
        margins.flattened(maps), widths, num_classes, dropout, start, bias="ones"
    )
    return margins.on_given(image, proposals, outputs, info, PLAN, AT_ONCE)


def seen(pixels, boxes, backbone: keras.Model, context: float):
    """The last map of a backbone that sees each box [B, R, 4] by itself: [B * R, h, w, C].

    A box grows by the factor `context` around its middle and is warped to the backbone's input,
    which is square. pixels [B, H, W, C] are normalised.
    """
    regions = Grown(context, name="context")(boxes)
    # One sample in the middle of each pixel: bilinear, as a plain resize; 0 beyond the picture.
    side = backbone.input.shape[1]
    warped = RoIAlign(side, (1.0,), 1, aligned=True, dtype="float32", name="warp")(pixels, regions)
    last = list(backbone.output.values())[-1]
    normalized = backbone.get_layer("normalize").output
    return repeated([normalized], [last], [Together(name="regions_together")(warped)])[0]
