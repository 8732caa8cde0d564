"""SPP-net as a detector: pyramids of bins over given regions of one picture's maps.

Paper: He 2014 https://arxiv.org/abs/1406.4729 (section 4; the appendix for which cells a region
has). ZF-5's convolutions see the picture once, at a short side of 688 px, the best single scale of
the paper's table 10; of each region 6x6, 3x3, 2x2 and 1x1 maxima of conv5, 12,800 numbers, go
through fc6 and fc7. What is fitted afterwards is in margins.py.

Cell i of conv5 looks at the pixels around 16 i + 20, as the convolutions are not padded by half
their kernels. A region has the cells from floor((ymin - 20) / 16) + 1 to ceil((ymax - 20) / 16) - 1
of the paper's appendix, and one at least.

Differences from the paper: one scale, not the one of five at which a region is closest to 224 x 224
px; those of zfnet.py, whose convolutions these are; the authors keep the convolutions as they are
and fine-tune the full layers alone, which here `train.stages` chooses; dropout is the caller's.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.detection import margins, two_stage
from convoy.models.roi import RoIPool
from convoy.models.spec import ModelInfo, Task

PLAN = two_stage.Plan(roi_samples=128, roi_share=0.25, roi_object=0.5, roi_none=0.1)
LEVELS = (6, 3, 2, 1)
WIDTHS = (4096, 4096)
STRIDE, FIRST = 16.0, 20.0  # pixels between cells, and where the first one looks
MINIMUM = 64


@keras.saving.register_keras_serializable("convoy")
class Cells(keras.layers.Layer):
    """Boxes [B, R, 4] in pixels -> in cells, the first one's number and that behind the last."""

    def __init__(self, stride=STRIDE, first=FIRST, **kwargs):
        super().__init__(**{"autocast": False, **kwargs, "dtype": "float32"})
        self.stride, self.first = float(stride), float(first)

    def call(self, boxes):
        placed = (boxes - self.first) / self.stride
        low = ops.maximum(ops.floor(placed[..., :2]) + 1.0, 0.0)
        high = ops.maximum(ops.ceil(placed[..., 2:]) - 1.0, low)
        return ops.concatenate([low, high + 1.0], axis=-1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "stride": self.stride, "first": self.first}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    dropout: float = 0.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on ZF-5's conv5."""
    why = "smaller inputs leave too few cells of 16 px"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    proposals = keras.Input((None, 4), dtype="float32", name="proposals")
    cells = Cells(name="cells")(proposals)
    bins = []
    for level in LEVELS:
        pooled = RoIPool(level, 1.0, name=f"pyramid{level}")(x, cells)
        flat = (-1, level * level * x.shape[-1])
        bins.append(keras.layers.Reshape(flat, name=f"pyramid{level}_flat")(pooled))
    flat = keras.layers.Concatenate(name="pyramid")(bins)
    outputs = margins.heads(flat, WIDTHS, num_classes, dropout, margins.paper_start())
    return margins.on_given(backbone.input, proposals, outputs, info, PLAN)
