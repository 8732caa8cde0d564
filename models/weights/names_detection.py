"""Names and layouts of detectors in PyTorch's files; names.py has those of classifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from convoy.models.weights import names

Layers = dict[str, dict[str, np.ndarray]]
EPSILON = 1e-5  # of a FrozenBatchNorm2d, and of ours

# torchvision's files of before 0.13 count the ReLUs of a head, and lack a level of the pyramid's
# names. They were trained with FrozenBatchNorm2d of epsilon 0, which loading such weights sets.
_OLD = {
    r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)": r"\1.0",
    r"(head\.(?:classification|regression)_head\.conv)\.0": r"\1.0.0",
    r"(head\.(?:classification|regression)_head\.conv)\.2": r"\1.1.0",
    r"(head\.(?:classification|regression)_head\.conv)\.4": r"\1.2.0",
    r"(head\.(?:classification|regression)_head\.conv)\.6": r"\1.3.0",
    r"(rpn\.head\.conv)": r"\1.0.0",
    r"(roi_heads\.mask_head)\.mask_fcn1": r"\1.0.0",
    r"(roi_heads\.mask_head)\.mask_fcn2": r"\1.1.0",
    r"(roi_heads\.mask_head)\.mask_fcn3": r"\1.2.0",
    r"(roi_heads\.mask_head)\.mask_fcn4": r"\1.3.0",
}


def retinanet_torch(layer: str) -> str | None:
    """torchvision's RetinaNet."""
    fixed = {
        "fpn_p6": "backbone.fpn.extra_blocks.p6",
        "fpn_p7": "backbone.fpn.extra_blocks.p7",
        "cls_logits": "head.classification_head.cls_logits",
        "box_codes": "head.regression_head.bbox_reg",
    }
    if parts := re.fullmatch(r"(cls|box)_conv(\d)", layer):
        part = {"cls": "classification_head", "box": "regression_head"}[parts[1]]
        return f"head.{part}.conv.{int(parts[2]) - 1}.0"
    return fixed.get(layer) or _pyramid_torch(layer)


def faster_rcnn_torch(layer: str) -> str | None:
    """torchvision's fasterrcnn_resnet50_fpn."""
    fixed = {
        "rpn_conv": "rpn.head.conv.0.0",
        "rpn_cls": "rpn.head.cls_logits",
        "rpn_box": "rpn.head.bbox_pred",
        "fc6": "roi_heads.box_head.fc6",
        "fc7": "roi_heads.box_head.fc7",
        "roi_cls": "roi_heads.box_predictor.cls_score",
        "roi_box": "roi_heads.box_predictor.bbox_pred",
    }
    return fixed.get(layer) or _pyramid_torch(layer)


def mask_rcnn_torch(layer: str) -> str | None:
    """torchvision's MaskRCNN on a ResNet with a pyramid."""
    if parts := re.fullmatch(r"mask_conv(\d)", layer):
        return f"roi_heads.mask_head.{int(parts[1]) - 1}.0"
    fixed = {
        "mask_deconv": "roi_heads.mask_predictor.conv5_mask",
        "mask_logits": "roi_heads.mask_predictor.mask_fcn_logits",
    }
    return fixed.get(layer) or faster_rcnn_torch(layer)


def _pyramid_torch(layer: str) -> str | None:
    """A ResNet and the feature pyramid on it."""
    if parts := re.fullmatch(r"fpn_(inner|layer)(\d)", layer):
        return f"backbone.fpn.{parts[1]}_blocks.{int(parts[2]) - 1}.0"
    body = names.resnet_torch(layer)
    return f"backbone.body.{body}" if body else None


def torchvision(layers: Mapping[str, Mapping[str, np.ndarray]]) -> Layers:
    """Layers of a file as this version of torchvision names them, boxes as (y, x, h, w)."""
    found: Layers = {}
    old = any(re.fullmatch(next(iter(_OLD)), name) for name in layers)
    for name, parts in layers.items():
        parts = dict(parts)
        if old:
            matches = ((re.fullmatch(a, name), b) for a, b in _OLD.items())
            name = next((match.expand(b) for match, b in matches if match), name)
            if "moving_variance" in parts:
                parts["moving_variance"] = parts["moving_variance"] - np.float32(EPSILON)
        if name.endswith(("bbox_reg", "bbox_pred")):
            parts = {key: _by_rows(value) for key, value in parts.items()}
        found[name] = parts
    return found


def _by_rows(value: np.ndarray) -> np.ndarray:
    """Outputs [A * 4, ...] of A anchors: (x, y, w, h) there, (y, x, h, w) here."""
    return value.reshape(-1, 4, *value.shape[1:])[:, [1, 0, 3, 2]].reshape(value.shape)
