"""Writes tests/golden/torch_*.npz: outputs of torchvision's networks under formula weights.

The two of 200 layers are timm's. Run by hand, in an environment of its own:

    python3 -m venv tv && tv/bin/pip install torch==2.13.0 numpy pillow timm==1.0.31
    tv/bin/pip install --no-deps torchvision==0.28.0
    PYTHONPATH=. tv/bin/python tests/parity/torch_reference.py

torchvision's compiled operators need a CUDA build of torch; with others the stubs below let it
import. Of them only suppression runs here, in plain PyTorch.
"""

from __future__ import annotations

import pathlib
import re
import sys
import types

import numpy as np
import torch

from tests.parity import formula

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CLASSES = 10
SIZES = ((64, 64), (75, 81))


def import_torchvision():
    """(what must live as long as torchvision is used, torchvision)."""
    library = None
    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", nms, "CPU")
        library.define(
            "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
            "int pooled_width, int sampling_ratio, bool aligned) -> Tensor"
        )
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("stub")
    import torchvision
    import torchvision.models.detection

    if library is not None:
        torchvision.extension._has_ops = lambda: True
    return library, torchvision


def fill(module, name_of) -> None:
    """Sets every tensor of `module`; name_of maps torch's name to our "layer/variable"."""
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        ours = name_of(name, tensor)
        shape = tuple(tensor.shape)
        if tensor.ndim == 4:
            values = formula.weight(ours, (shape[2], shape[3], shape[1], shape[0]))
            values = values.transpose(3, 2, 0, 1)
        elif tensor.ndim == 2:
            values = formula.weight(ours, shape[::-1]).T
        else:
            values = formula.weight(ours, shape)
        if re.fullmatch(
            r"(level\d_box|box_codes)/.*", ours
        ):  # (y, x, h, w) here, (x, y, w, h) there
            by_prior = values.reshape(-1, 4, *values.shape[1:])
            values = by_prior[:, [1, 0, 3, 2]].reshape(shape)
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


VARIABLES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def resnet_name(name: str, tensor) -> str:
    layer, variable = name.rsplit(".", 1)
    if layer == "fc":
        return f"logits/{'kernel' if variable == 'weight' else 'bias'}"
    if layer == "conv1":
        return "stem_conv/kernel"
    if layer == "bn1":
        return f"stem_norm/{VARIABLES[variable]}"
    stage, block, part = re.fullmatch(r"layer(\d)\.(\d+)\.(.*)", layer).groups()
    part = {"downsample.0": "shortcut_conv", "downsample.1": "shortcut_norm"}.get(
        part, part.replace("bn", "norm")
    )
    kind = VARIABLES[variable] if "norm" in part else "kernel"
    return f"stage{stage}_block{int(block) + 1}_{part}/{kind}"


PIXELS = {
    "torch": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "cifar": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    "caffe": ([103.939 / 255, 116.779 / 255, 123.68 / 255], [1 / 255] * 3),
}


def pictures(kind: str, count: int, height: int, width: int):
    """[count, 3, height, width], normalised; "caffe" is blue first."""
    mean, std = (torch.tensor(v)[:, None, None] for v in PIXELS[kind])
    image = torch.from_numpy(formula.pictures(count, height, width)).permute(0, 3, 1, 2)
    if kind == "caffe":
        image = image.flip(1)
    return (image / 255 - mean) / std


def resnet(torchvision, variant: str):
    """The network in inference mode; "_v1" moves the strides of torchvision's to the first 1x1."""
    name = variant.removesuffix("_v1")
    if name == "resnet200":
        import timm

        network = timm.create_model(name, num_classes=CLASSES)
    else:
        network = getattr(torchvision.models, name)(num_classes=CLASSES)
    fill(network, resnet_name)
    for block in network.modules() if variant != name else ():
        if hasattr(block, "conv3"):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return network.eval()


def resnets(torchvision) -> None:
    found = {}
    for variant in ("18", "34", "50", "101", "152", "200", "200_v1"):
        network = resnet(torchvision, f"resnet{variant}")
        kind = "caffe" if variant.endswith("_v1") else "torch"
        for height, width in SIZES:
            logits = network(pictures(kind, 2, height, width))
            found[f"resnet{variant}_{height}x{width}"] = logits.numpy()
    np.savez_compressed(GOLDEN / "torch_resnet.npz", **found)


def weldon(torchvision) -> None:
    """The authors' two steps on torchvision's ResNet-101: classes by 1x1, then the extreme fifths.

    Sorted scores of a class: the mean of the highest and the mean of the lowest, halved.
    """
    found = {}
    network = resnet(torchvision, "resnet101")
    kernel = torch.from_numpy(formula.weight("scores/kernel", (1, 1, 2048, CLASSES))[0, 0])
    bias = torch.from_numpy(formula.weight("scores/bias", (CLASSES,)))
    body = torch.nn.Sequential(*list(network.children())[:-2])  # no average, no classes
    for height, width in ((64, 96), (161, 129)):
        maps = body(pictures("torch", 2, height, width)).permute(0, 2, 3, 1)
        scores = (maps @ kernel + bias).flatten(1, 2).sort(dim=1).values
        extreme = round(0.2 * scores.shape[1])
        logits = (scores[:, -extreme:].mean(1) + scores[:, :extreme].mean(1)) / 2
        found[f"{height}x{width}"] = logits.numpy()
    np.savez_compressed(GOLDEN / "torch_weldon.npz", **found)


def vgg_names() -> dict[str, str]:
    """torchvision's backbone.* positions -> our layers, for SSD300 and SSD512."""
    names, position = {}, 0
    for block, depth in enumerate((2, 2, 3, 3), start=1):
        for index in range(1, depth + 1):
            names[f"features.{position}"] = f"block{block}_conv{index}"
            position += 2
        position += 1
    for index in range(1, 4):  # pool4 is extra.0.0
        names[f"extra.0.{2 * index - 1}"] = f"block5_conv{index}"
    names |= {"extra.0.7.1": "fc6", "extra.0.7.3": "fc7"}
    for level in range(6, 11):
        names[f"extra.{level - 5}.0"] = f"conv{level}_1"
        names[f"extra.{level - 5}.2"] = f"conv{level}_2"
    return names


def ssd_name(name: str, tensor) -> str:
    if name == "backbone.scale_weight":
        return "block4_scale/scale"
    layer, variable = name.rsplit(".", 1)
    variable = "kernel" if variable == "weight" else "bias"
    if layer.startswith("head."):
        kind, index = re.fullmatch(r"head\.(\w+)_head\.module_list\.(\d)", layer).groups()
        kind = {"classification": "cls", "regression": "box"}[kind]
        return f"level{int(index) + 1}_{kind}/{variable}"
    return f"{vgg_names()[layer.removeprefix('backbone.')]}/{variable}"


def ssd512(torchvision) -> None:
    """torchvision's parts for 512 px, their extra layers with the paper's strides and padding."""
    ssd = torchvision.models.detection.ssd
    vgg = torchvision.models.vgg16(weights=None)
    network = torch.nn.Module()
    network.backbone = ssd._vgg_extractor(vgg, highres=True, trainable_layers=5)
    for block in network.backbone.extra[3:5]:
        block[2].stride, block[2].padding = (2, 2), (1, 1)
    network.backbone.extra[5][2].padding = (1, 1)
    channels = [512, 1024, 512, 256, 256, 256, 256]
    network.head = ssd.SSDHead(channels, [4, 6, 6, 6, 6, 4, 4], CLASSES + 1)
    fill(network, ssd_name)
    network.eval()
    mean = torch.tensor([123.0, 117.0, 104.0])[:, None, None]
    image = torch.from_numpy(formula.pictures(1, 512, 512)).permute(0, 3, 1, 2) - mean
    outputs = network.head(list(network.backbone(image).values()))
    rows = slice(None, None, 311)
    np.savez_compressed(
        GOLDEN / "torch_ssd512.npz",
        cls=outputs["cls_logits"][:, rows].numpy(),
        box=outputs["bbox_regression"][:, rows][..., [1, 0, 3, 2]].numpy(),
    )
    print("ssd512", outputs["cls_logits"].shape)


def ssd(torchvision) -> None:
    detection = torchvision.models.detection
    network = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=21)
    fill(network, ssd_name)
    network.eval()
    mean = torch.tensor([123.0, 117.0, 104.0])[:, None, None]
    image = torch.from_numpy(formula.pictures(2, 300, 300)).permute(0, 3, 1, 2) - mean
    maps = list(network.backbone(image).values())
    outputs = network.head(maps)
    sizes = [30, 60, 111, 162, 213, 264, 315]
    generator = detection.anchor_utils.DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[size / 300 for size in sizes],
        steps=[8, 16, 32, 64, 100, 300],
        clip=False,
    )
    listing = detection.image_list.ImageList(image, [(300, 300), (300, 300)])
    priors = generator(listing, maps)
    swap = [1, 0, 3, 2]
    targets, matched = [], []
    for (boxes, classes), prior in zip(formula.objects(), priors, strict=True):
        boxes = torch.from_numpy(boxes[:, swap])
        targets.append({"boxes": boxes, "labels": torch.from_numpy(classes) + 1})
        if len(boxes) == 0:
            matched.append(torch.full((len(prior),), -1))
        else:
            iou = torchvision.ops.box_iou(boxes, prior)
            matched.append(network.proposal_matcher(iou))
    losses = network.compute_loss(targets, outputs, priors, matched)
    step = slice(None, None, 113)
    np.savez_compressed(
        GOLDEN / "torch_ssd300.npz",
        cls=outputs["cls_logits"][:, step].numpy(),
        box=outputs["bbox_regression"][:, step][..., swap].numpy(),
        priors=priors[0][step][:, swap].numpy(),
        prior_sum=priors[0].double().sum(0)[swap].numpy(),
        matched=np.stack([(m >= 0).sum() for m in matched]),
        cls_loss=losses["classification"].numpy(),
        box_loss=losses["bbox_regression"].numpy(),
    )


def nms(boxes, scores, threshold: float):
    """Of torchvision's stubs the one that is run here: rows that stay, the best first."""
    order, kept = scores.argsort(descending=True, stable=True), []
    while len(order):
        kept.append(order[0])
        overlap = sys.modules["torchvision.ops.boxes"].box_iou(boxes[order[:1]], boxes[order])[0]
        order = order[~(overlap > threshold)]  # boxes without area overlap by 0 / 0
        order = order[order != kept[-1]]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        _library, vision = import_torchvision()
        resnets(vision)
        weldon(vision)
        ssd(vision)
        ssd512(vision)
