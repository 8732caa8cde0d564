"""The table of networks that give every object a mask: name -> Row."""

from __future__ import annotations

from convoy.models.rows import Family, Row
from convoy.models.rows_detection import CENTERED_600, TORCH_800

MASK_RCNN = Family(
    "convoy.models.instance.mask_rcnn",
    "instance",
    "He, Mask R-CNN, https://arxiv.org/abs/1703.06870",
    2017,
)
MASK_RCNN_ON_ANY = MASK_RCNN._replace(options=("width", "backbone", "dropout"))

ROWS = {
    "mask_rcnn": Row(MASK_RCNN_ON_ANY, 18_981_626, 9_187_046_272, 20, CENTERED_600, "mobilenet_v1"),
    "mask_rcnn_resnet50_fpn": Row(
        MASK_RCNN, 44_454_513, 216_519_019_776, 90, TORCH_800, "resnet50"
    ),
    "mask_rcnn_resnet101_fpn": Row(
        MASK_RCNN, 63_446_641, 296_066_616_576, 90, TORCH_800, "resnet101"
    ),
}
