"""Writes tests/golden/two_stage_torchvision.npz: Faster R-CNN under formula weights.

Run by hand, in the environment that torch_reference.py tells of:

    PYTHONPATH=. tv/bin/python tests/parity/two_stage_reference.py

torchvision's own operators are stood in for by the two below, written by their documentation: its
compiled ones need a CUDA build of torch. Everything else is torchvision's: the anchors, the choice
of proposals per level and over all, the level of each region, both heads.
"""

from __future__ import annotations

import re
import sys

import numpy as np
import torch

from tests.parity import formula
from tests.parity.torch_reference import GOLDEN, fill, import_torchvision, resnet_name

NAME, SIZES, CLASSES = "faster_rcnn_resnet50_fpn", ((96, 96), (128, 160)), 4
BOXES = ("rpn.head.bbox_pred", "roi_heads.box_predictor.bbox_pred")
CALM = 0.1  # factor of box layers: else e^4 of a code makes pixels of the last bits


def nms(boxes, scores, threshold):
    """[N, 4] x0, y0, x1, y1: rows that are kept, the best first."""
    order = torch.argsort(scores, descending=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        order = order[shared <= threshold * (area[best] + area[order] - shared)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def roi_align(x, rois, scale, height, width, ratio, aligned):
    """torchvision's definition by its bilinear samples; aligned is False in its detectors."""
    assert not aligned
    assert ratio == 2
    if not len(rois):
        return torch.zeros(0, x.shape[1], height, width)
    index, corners = rois[:, 0].long(), rois[:, 1:] * scale
    size = (corners[:, 2:] - corners[:, :2]).clamp(min=1.0)  # x, y
    samples = []
    for axis, count in ((0, width), (1, height)):
        step = (torch.arange(count * ratio) + 0.5) / (count * ratio)
        samples.append(corners[:, axis, None] + step * size[:, axis, None])
    columns, rows = samples
    found = torch.zeros(len(rois), x.shape[1], len(rows[0]), len(columns[0]))
    taps = []
    for at, side in ((rows, x.shape[2]), (columns, x.shape[3])):
        there = (at >= -1) & (at <= side)
        at = at.clamp(0, side - 1)
        low = at.floor().long()
        high = (low + 1).clamp(max=side - 1)
        taps.append(((low, (1 - (at - low)) * there), (high, (at - low) * there)))
    for row, row_weight in taps[0]:
        for column, column_weight in taps[1]:
            values = x[index[:, None, None], :, row[:, :, None], column[:, None, :]]
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            found += (values * weight[..., None]).permute(0, 3, 1, 2)
    return found.reshape(len(rois), x.shape[1], height, ratio, width, ratio).mean((3, 5))


def name_of(name: str, tensor) -> str:
    """torchvision's name -> our "layer/variable"."""
    if name.startswith("backbone.body."):
        return resnet_name(name.removeprefix("backbone.body."), tensor)
    layer, variable = name.rsplit(".", 1)
    variable = "kernel" if variable == "weight" else "bias"
    fpn = re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0", layer)
    if fpn:
        return f"fpn_{fpn[1]}{int(fpn[2]) + 1}/{variable}"
    ours = {
        "rpn.head.conv.0.0": "rpn_conv",
        "rpn.head.cls_logits": "rpn_cls",
        "rpn.head.bbox_pred": "rpn_box",
        "roi_heads.box_head.fc6": "fc6",
        "roi_heads.box_head.fc7": "fc7",
        "roi_heads.box_predictor.cls_score": "roi_cls",
        "roi_heads.box_predictor.bbox_pred": "roi_box",
    }
    return f"{ours[layer]}/{variable}"


def swapped(values, shape):
    """Rows (y, x, h, w) of ours as (x, y, w, h)."""
    return values.reshape(-1, 4, *shape[1:])[:, [1, 0, 3, 2]].reshape(shape)


@torch.no_grad()
def arrange(state) -> None:
    """The boxes of a filled network as ours has them, and calm; fc6 by its inputs' order."""
    for layer in BOXES:
        for variable in ("weight", "bias"):
            tensor = state[f"{layer}.{variable}"]
            values = CALM * swapped(tensor.numpy(), tuple(tensor.shape))
            tensor.copy_(torch.from_numpy(values))
    fc6 = state["roi_heads.box_head.fc6.weight"]  # ours sees (h, w, c), torch (c, h, w)
    fc6.copy_(fc6.reshape(-1, 7, 7, 256).permute(0, 3, 1, 2).reshape(fc6.shape).clone())


@torch.no_grad()
def results(torchvision, size) -> dict:
    """Of two pictures of `size`: what the stages say, and the detections."""
    network = torchvision.models.detection.fasterrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=min(size),
        max_size=max(size),
    ).eval()
    fill(network, name_of)
    arrange(network.state_dict())
    pictures = torch.from_numpy(formula.pictures(2, *size).transpose(0, 3, 1, 2)) / 255
    images, _ = network.transform(list(pictures))
    maps = network.backbone(images.tensors)
    logits, _ = network.rpn.head(list(maps.values()))
    proposals, _ = network.rpn(images, maps)
    pooled = network.roi_heads.box_roi_pool(maps, proposals, images.image_sizes)
    cls, box = network.roi_heads.box_predictor(network.roi_heads.box_head(pooled))
    values = {
        "counts": [len(each) for each in proposals],
        "logits": np.concatenate([x.permute(0, 2, 3, 1).reshape(2, -1) for x in logits], axis=1),
        "proposals": torch.cat(proposals)[:, [1, 0, 3, 2]],
        "cls": cls,
        "box": box.reshape(len(box), -1, 4)[:, :, [1, 0, 3, 2]].reshape(len(box), -1),
    }
    for index, answer in enumerate(network(list(pictures))):
        values |= {f"{key}{index}": value for key, value in answer.items()}
    return values


def stand_in(library) -> None:
    """The operators above in place of torchvision's compiled ones, where those do not load."""
    if library is None:
        return
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CPU")
    for module in ("boxes", "roi_align"):  # which look for the compiled operators
        sys.modules[f"torchvision.ops.{module}"]._assert_has_ops = lambda: None
    # The stand-in written in Python reads the border where the compiled one, beyond it, gives 0.
    sys.modules["torchvision.ops.roi_align"]._has_ops = lambda: True


def main() -> None:
    library, torchvision = import_torchvision()
    stand_in(library)
    arrays = {
        f"{NAME}_{height}x{width}_{key}": np.asarray(value)
        for height, width in SIZES
        for key, value in results(torchvision, (height, width)).items()
    }
    np.savez_compressed(GOLDEN / "two_stage_torchvision.npz", **arrays)
    print({key: value.shape for key, value in arrays.items()})


if __name__ == "__main__":
    main()
