"""Writes tests/golden/torch_retinanet.npz: torchvision's RetinaNet under formula weights.

Run by hand, in the environment of torch_reference.py:

    PYTHONPATH=. tv/bin/python tests/parity/retinanet_reference.py
"""

from __future__ import annotations

import re

import numpy as np
import torch

from tests.parity import formula
from tests.parity.torch_reference import (
    CLASSES,
    GOLDEN,
    fill,
    import_torchvision,
    pictures,
    resnet_name,
)


def retinanet_name(name: str, tensor) -> str:
    """torchvision's RetinaNet -> our layers."""
    layer, variable = name.rsplit(".", 1)
    if layer.startswith("backbone.body."):
        return resnet_name(name.removeprefix("backbone.body."), tensor)
    kind = "kernel" if variable == "weight" else "bias"
    if parts := re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.0", layer):
        return f"fpn_{parts[1]}{int(parts[2]) + 1}/{kind}"
    if parts := re.fullmatch(r"backbone\.fpn\.extra_blocks\.(p\d)", layer):
        return f"fpn_{parts[1]}/{kind}"
    part = "cls" if "classification" in layer else "box"
    if parts := re.fullmatch(r".*\.conv\.(\d)\.0", layer):
        return f"{part}_conv{int(parts[1]) + 1}/{kind}"
    return f"{part}_{'logits' if part == 'cls' else 'codes'}/{kind}"


def retinanet(torchvision, variant: str):
    """torchvision's; "_c5" and on ResNet-18 with the map of stride 64 from the backbone's last."""
    detection = torchvision.models.detection
    if variant == "retinanet_resnet50_fpn":
        network = detection.retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=CLASSES
        )
    else:
        depth = 50 if "50" in variant else 18
        extra = torchvision.ops.feature_pyramid_network.LastLevelP6P7(
            {50: 2048, 18: 512}[depth], 256
        )
        body = detection.backbone_utils.resnet_fpn_backbone(
            backbone_name=f"resnet{depth}",
            weights=None,
            returned_layers=[2, 3, 4],
            extra_blocks=extra,
            norm_layer=torchvision.ops.misc.FrozenBatchNorm2d,
        )
        network = detection.RetinaNet(body, CLASSES)
    fill(network, retinanet_name)
    return network.eval()


def retinanets(torchvision) -> None:
    """Outputs at two sizes; of torchvision's own network also anchors, losses and detections."""
    found = {}
    image_list = torchvision.models.detection.image_list.ImageList
    swap, step = [1, 0, 3, 2], slice(None, None, 149)
    for variant in ("retinanet", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_c5"):
        network = retinanet(torchvision, variant)
        for height, width in ((96, 128), (150, 221)):
            image = pictures("torch", 2, height, width)
            maps = list(network.backbone(image).values())
            outputs = network.head(maps)
            case = f"{variant}_{height}x{width}"
            found[f"{case}_cls"] = outputs["cls_logits"][:, step].numpy()
            found[f"{case}_box"] = outputs["bbox_regression"][:, step][..., swap].numpy()
            if variant != "retinanet_resnet50_fpn":
                continue
            listing = image_list(image, [(height, width)] * 2)
            anchors = network.anchor_generator(listing, maps)
            found[f"{case}_anchors"] = anchors[0][step][:, swap].numpy()
            for index, (boxes, classes) in enumerate(formula.objects()):
                target = {
                    "boxes": torch.from_numpy(boxes[:, swap] * height / 300),
                    "labels": torch.from_numpy(classes % CLASSES),
                }
                one = {key: value[index : index + 1] for key, value in outputs.items()}
                losses = network.compute_loss([target], one, [anchors[0]])
                for name, value in losses.items():
                    found[f"{case}_{name}{index}"] = value.numpy()
            counts = [x.shape[2] * x.shape[3] * 9 for x in maps]
            split = {key: list(value.split(counts, dim=1)) for key, value in outputs.items()}
            levels = [list(anchors[0].split(counts))] * 2
            for index, answer in enumerate(
                network.postprocess_detections(split, levels, listing.image_sizes)
            ):
                found[f"{case}_boxes{index}"] = answer["boxes"][:25][:, swap].numpy()
                found[f"{case}_scores{index}"] = answer["scores"][:25].numpy()
                found[f"{case}_labels{index}"] = answer["labels"][:25].numpy()
                print(case, index, answer["scores"][:5], len(answer["scores"]))
    np.savez_compressed(GOLDEN / "torch_retinanet.npz", **found)


if __name__ == "__main__":
    with torch.no_grad():
        _library, vision = import_torchvision()
        retinanets(vision)
