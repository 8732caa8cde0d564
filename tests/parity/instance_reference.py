"""Writes tests/golden/instance_torchvision.npz: Mask R-CNN under formula weights.

Run by hand, in the environment that torch_reference.py tells of, as two_stage_reference.py, whose
operators stand in for the compiled ones:

    PYTHONPATH=. tv/bin/python tests/parity/instance_reference.py
"""

from __future__ import annotations

import re

import numpy as np
import torch

from tests.parity import formula, two_stage_reference
from tests.parity.torch_reference import GOLDEN, fill, import_torchvision

NAMES, SIZES, CLASSES = (
    ("mask_rcnn_resnet50_fpn", "mask_rcnn_resnet101_fpn"),
    ((96, 96), (128, 160)),
    4,
)
GIVEN = ((3.5, 10.25, 60.0, 41.0), (0.0, 0.0, 96.0, 96.0), (40.0, 50.0, 44.0, 95.5))  # y0 x0 y1 x1


def name_of(name: str, tensor) -> str:
    """torchvision's name -> our "layer/variable"."""
    layer, variable = name.rsplit(".", 1)
    variable = "kernel" if variable == "weight" else "bias"
    if head := re.fullmatch(r"roi_heads\.mask_head\.(\d)\.0", layer):
        return f"mask_conv{int(head[1]) + 1}/{variable}"
    own = {"conv5_mask": "mask_deconv", "mask_fcn_logits": "mask_logits"}
    part = layer.removeprefix("roi_heads.mask_predictor.")
    return f"{own[part]}/{variable}" if part in own else two_stage_reference.name_of(name, tensor)


def built(torchvision, name: str, size):
    """The network of `size`, filled."""
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    depth = re.search(r"resnet\d+", name)[0]
    body = resnet_fpn_backbone(
        backbone_name=depth,
        weights=None,
        norm_layer=torchvision.ops.misc.FrozenBatchNorm2d,
        trainable_layers=3,
    )
    limits = {"min_size": min(size), "max_size": max(size)}
    network = torchvision.models.detection.MaskRCNN(body, CLASSES + 1, **limits).eval()
    fill(network, name_of)
    two_stage_reference.arrange(network.state_dict())
    return network


@torch.no_grad()
def results(torchvision, name: str, size) -> dict:
    """Of one picture all masks of GIVEN: logits [3, 28, 28, K + 1].

    What is found is no reference: scores of untrained networks lie so near to each other that a
    last digit decides which of two boxes is suppressed. Boxes are Faster R-CNN's, compared by
    two_stage_reference.py.
    """
    network = built(torchvision, name, size)
    pictures = torch.from_numpy(formula.pictures(1, *size).transpose(0, 3, 1, 2)) / 255
    images, _ = network.transform(list(pictures))
    maps = network.backbone(images.tensors)
    boxes = torch.tensor(GIVEN)[:, [1, 0, 3, 2]]
    heads = network.roi_heads
    pooled = heads.mask_roi_pool(maps, [boxes], images.image_sizes)
    return {"given": heads.mask_predictor(heads.mask_head(pooled)).permute(0, 2, 3, 1).numpy()}


def main() -> None:
    library, torchvision = import_torchvision()
    two_stage_reference.stand_in(library)
    arrays = {
        f"{name}_{height}x{width}_{key}": value
        for name in NAMES
        for height, width in SIZES
        for key, value in results(torchvision, name, (height, width)).items()
    }
    np.savez_compressed(GOLDEN / "instance_torchvision.npz", **arrays)
    print({key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main()
